"""Trains a network. A killed run resumes bit for bit. OTOv3 can prune a ConvNeXt while it trains.

No random number depends on earlier ones: the order of the images of an epoch, and the crops, flips and stochastic
depth of a step, come from seeds made of (the recipe's seed, purpose, index). So a checkpoint needs no state of a
generator.
"""

from __future__ import annotations

import logging
import math
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm

from edgeai_repro.compress.unstructured import prunable, prune
from edgeai_repro.data.cifar import DATASETS, Split, load_split
from edgeai_repro.data.transforms import augment, normalise
from edgeai_repro.errors import Interrupted, UserError
from edgeai_repro.interruption import step_to_its_end
from edgeai_repro.measure.accuracy import bf16_is_faster, evaluate
from edgeai_repro.networks.fast_cpu.depthwise import fast_depthwise
from edgeai_repro.networks.fast_cpu.small_maps import fast_small_maps
from edgeai_repro.training.checkpoint import Checkpoint, load_checkpoint, restoring, save_checkpoint
from edgeai_repro.training.initial_weights import start
from edgeai_repro.training.progress import Progress, Report
from edgeai_repro.training.recipe import Recipe, derived_seed, learning_rate, pruning_schedule

CHECKPOINT = "checkpoint.pt"
CHECKPOINT_SECONDS = 240  # "at least every 5 minutes", with room for a slow step

if TYPE_CHECKING:
    from edgeai_repro.compress.structured import StructuredPruner

log = logging.getLogger(__name__)


class Trainer:
    """A training run. `run()` takes all steps; `result()` returns the trained network.

    `folder` has the data, `out` the files of the run. A run with a checkpoint in `out` is resumed.
    """

    def __init__(self, recipe: Recipe, folder: Path, out: Path) -> None:
        self.recipe = recipe
        self.out = out
        dataset = DATASETS[recipe.dataset]
        self.train_split = load_split(folder, "train", dataset)
        self.test_split = load_split(folder, "test", dataset) if "test" in dataset.sizes else None
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.bf16 = recipe.precision == "bf16" or (recipe.precision == "auto" and bf16_is_faster(self.device))
        self.epoch_steps = len(self.train_split) // recipe.batch_size
        if not self.epoch_steps:
            raise UserError(
                f"'batch_size' must be at most {len(self.train_split)} images (got {recipe.batch_size})"
            )
        self.steps = self.epoch_steps * recipe.epochs
        self.started = start(recipe, dataset.classes)
        self.model = self.started.model
        if recipe.unstructured is not None:
            self.model.load_state_dict(prune(self.model, recipe.unstructured).state_dict())
        self.model.to(self.device).to(memory_format=torch.channels_last)
        self._zeros = self._unstructured_zeros()
        self.pruner: StructuredPruner | None = None
        self.optimizer = self._optimizer()
        self.done = 0
        self.curve: list[dict[str, float | None]] = []
        self.seconds = 0.0
        self._loss, self._correct = 0.0, 0
        if self.checkpoint.exists():
            self._resume()
        self._step_model: Any = torch.compile(self.model) if self.device.type == "cuda" else self.model

    def _optimizer(self) -> torch.optim.Optimizer:
        recipe = self.recipe
        rates: dict[str, Any] = {"lr": recipe.lr, "weight_decay": recipe.weight_decay}
        if recipe.optimizer == "sgd":
            return torch.optim.SGD(self.model.parameters(), momentum=recipe.momentum, **rates)
        if recipe.structured is None:
            return torch.optim.AdamW(self.model.parameters(), fused=True, **rates)
        from edgeai_repro.compress.structured import StructuredPruner

        schedule = pruning_schedule(recipe, self.steps)
        self.pruner = StructuredPruner(self.model, resolution=recipe.resolution)
        return self.pruner.optimizer(
            recipe.structured,
            **rates,
            start_step=schedule.start,
            pruning_steps=schedule.steps,
            pruning_periods=schedule.periods,
        )

    @property
    def checkpoint(self) -> Path:
        """The path of the checkpoint."""
        return self.out / CHECKPOINT

    @property
    def precision(self) -> str:
        """The precision of the training: bf16 (autocast) or fp32."""
        return "bf16" if self.bf16 else "fp32"

    @property
    def identity(self) -> dict[str, Any]:
        """The values that must be equal to resume a run: recipe, data, starting weights, precision."""
        start = {"data_sha256": self.train_split.sha256, "init": self.started.init_sha256 or self.recipe.init}
        return self.recipe.as_dict() | start | {"precision": self.precision}

    def _resume(self) -> None:
        stored = load_checkpoint(self.checkpoint, self.identity)
        with restoring(self.checkpoint):
            self.model.load_state_dict(stored["model"])
            self.optimizer.load_state_dict(stored["optimizer"])
        self.done, self.curve, self.seconds = stored["done"], stored["curve"], stored["seconds"]
        self._loss, self._correct = stored["loss"], stored["correct"]
        log.info("resumed at step %d of %d", self.done, self.steps)

    def save(self) -> None:
        """Write the checkpoint. Raises UserError if the weights are not finite or the file can't be written."""
        if not all(bool(parameter.isfinite().all()) for parameter in self.model.parameters()):
            raise self._diverged("weights")
        checkpoint: Checkpoint = {
            "identity": self.identity,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "done": self.done,
            "curve": self.curve,
            "seconds": self.seconds,
            "loss": self._loss,
            "correct": self._correct,
        }
        save_checkpoint(self.checkpoint, checkpoint)

    def run(self, report: Report | None = None) -> None:
        """Take all remaining steps, with a checkpoint at least every 5 minutes.

        `report` is called at the start and after each epoch; without it, a terminal shows a progress bar.
        """
        saved = time.monotonic()
        disable = True if report else None  # None: unless it is a terminal
        bar = tqdm(total=self.steps, initial=self.done, unit="step", disable=disable, desc=self.recipe.model)
        if report:
            report(self.progress())
        with (
            step_to_its_end() as interruption,
            bar,
            fast_depthwise(self.model),
            fast_small_maps(self.model),
            torch.random.fork_rng(),
        ):
            while self.done < self.steps:
                started = time.monotonic()
                loss = self.step()
                if self.done % self.epoch_steps == 0:
                    self._end_epoch()
                self.seconds += time.monotonic() - started
                bar.set_postfix(loss=f"{loss:.3f}", refresh=False)
                bar.update()
                due = self.done % self.epoch_steps == 0 or time.monotonic() - saved > CHECKPOINT_SECONDS
                if due or interruption.asked:
                    self.save()
                    saved = time.monotonic()
                if report and self.done % self.epoch_steps == 0:
                    report(self.progress())
                if interruption.asked:
                    raise Interrupted(f"the same command continues at step {self.done} of {self.steps}")
        self.model.eval()

    def progress(self) -> Progress:
        """Return how far the run is. The time left is that of the remaining steps at the speed so far."""
        return Progress(
            epoch=self.done // self.epoch_steps,
            epochs=self.recipe.epochs,
            top1=self.curve[-1]["test_top1"] if self.curve else None,
            seconds_left=self.seconds / self.done * (self.steps - self.done) if self.done else None,
        )

    def step(self) -> float:
        """Take one optimizer step and return its loss. Raises UserError if the loss is not finite."""
        recipe = self.recipe
        epoch, index = divmod(self.done, self.epoch_steps)
        generator = torch.Generator().manual_seed(derived_seed(recipe.seed, "step", self.done))
        # Stochastic depth draws from torch's global generator.
        torch.manual_seed(derived_seed(recipe.seed, "step", self.done))
        chosen = self._order(epoch)[index * recipe.batch_size : (index + 1) * recipe.batch_size]
        images = augment(self.train_split.images[chosen].to(self.device), generator)
        labels = self.train_split.labels[chosen].to(self.device)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(recipe, self.done, self.steps)
        self.model.train()
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            logits: Tensor = self._step_model(normalise(images, recipe.resolution))
        logits = logits.float()
        loss = functional.cross_entropy(logits, labels, label_smoothing=recipe.label_smoothing)
        value = loss.item()
        if not math.isfinite(value):
            raise self._diverged("loss")
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self.optimizer.zero_grad()
        for weight, zeros in self._zeros:
            weight.data.masked_fill_(zeros, 0.0)
        self.done += 1
        self._loss += value
        self._correct += int((logits.argmax(1) == labels).sum())
        return value

    def _unstructured_zeros(self) -> list[tuple[nn.Parameter, Tensor]]:
        if self.recipe.unstructured is None:
            return []
        return [(weight, weight.detach() == 0) for weight in prunable(self.model)]

    def _order(self, epoch: int) -> Tensor:
        generator = torch.Generator().manual_seed(derived_seed(self.recipe.seed, "order", epoch))
        return torch.randperm(len(self.train_split), generator=generator)

    def _end_epoch(self) -> None:
        seen = self.epoch_steps * self.recipe.batch_size
        point: dict[str, float | None] = {
            "epoch": self.done // self.epoch_steps,
            "loss": self._loss / self.epoch_steps,
            "train_top1": 100 * self._correct / seen,
            "test_top1": None if self.test_split is None else self.test_top1(self.test_split),
        }
        self._loss, self._correct = 0.0, 0
        self.curve.append(point)
        log.info("epoch %(epoch)d: loss %(loss).4f, train %(train_top1).2f %%, test %(test_top1)s", point)

    def test_top1(self, split: Split) -> float:
        """Return top-1 accuracy on `split` in percent, in the precision of the training."""
        return evaluate(self.model, split, resolution=self.recipe.resolution, bf16=self.bf16).top1

    def result(self) -> nn.Module:
        """Return the trained network in eval mode, without the groups that were pruned."""
        if self.done < self.steps:
            raise ValueError(f"'result' must be called after the last step (got {self.done} of {self.steps})")
        return self.model.eval() if self.pruner is None else self.pruner.compressed().eval()

    def _diverged(self, what: str) -> UserError:
        last = f"the last good checkpoint is {str(self.checkpoint)!r}"
        kept = last if self.checkpoint.exists() else "none was saved"
        return UserError(f"the {what} must stay finite (they do not at step {self.done}); {kept}, try a lower 'lr'")
