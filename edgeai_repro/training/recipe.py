"""The recipe of a training run, and its schedules of learning rate and pruning. No torch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgeai_repro.errors import UserError, did_you_mean
from edgeai_repro.files import is_file
from edgeai_repro.networks.variants import CIFAR_NETWORKS, CIFAR_SIDE, CONVNEXT_VARIANTS

DATASET_NAMES = ("cifar10", "cifar100_pool")
PRECISIONS = ("auto", "bf16", "fp32")
OPTIMIZERS = ("adamw", "sgd")
SCHEDULES = ("cosine", "steps", "constant")
RANKINGS = ("l1", "random", "largest")
PURPOSES = ("order", "step")  # of the random numbers of a run


@dataclass(frozen=True)
class Recipe:
    """The recipe of a training run. Equal recipes and data give equal weights on the same machine.

    `init` is `scratch`, `imagenet` (torchvision's weights) or the path of a safetensors `state_dict` of the
    unpruned network. `warmup`, `prune_from`, `prune_until` and `milestones` are fractions of the steps of the run.

    `structured` is OTOv3's target: the fraction of hidden MLP groups that is pruned during training. `unstructured`
    is the fraction of weights of convolutions and Linear layers that is zero from the start and stays zero: the
    smallest weights of `init`. Without both, the network is trained dense.

    `momentum` belongs to SGD. The schedule "steps" multiplies the learning rate by `decay` at each of
    `milestones`. `widths` are the widths of a smaller CIFAR network, separated by commas. `filters` are the rates
    at which filters of a CIFAR network are removed before training, in the form of `parse_rates`; `ranking` selects
    them by the weights of `init`. From scratch, the smaller network gets new random weights. `plan` is the name of
    these rates.
    """

    model: str
    epochs: int
    stem_stride: int = 4
    resolution: int = 32
    batch_size: int = 128
    lr: float = 2e-3
    weight_decay: float = 0.05
    label_smoothing: float = 0.1
    warmup: float = 0.08
    seed: int = 0
    structured: float | None = None
    prune_from: float = 0.1
    prune_until: float = 0.5
    prune_periods: int = 10
    unstructured: float | None = None
    init: str = "scratch"
    dataset: str = "cifar10"
    precision: str = "auto"
    optimizer: str = "adamw"
    momentum: float = 0.9
    schedule: str = "cosine"
    milestones: str = ""
    decay: float = 0.1
    widths: str | None = None
    plan: str | None = None
    filters: str | None = None
    ranking: str = "l1"

    def __post_init__(self) -> None:
        """Raise UserError for the first value that breaks its rule."""
        _one_of("model", self.model, [*CONVNEXT_VARIANTS, *CIFAR_NETWORKS])
        _one_of("optimizer", self.optimizer, OPTIMIZERS)
        _one_of("schedule", self.schedule, SCHEDULES)
        _one_of("ranking", self.ranking, RANKINGS)
        _must("momentum", 0 <= self.momentum < 1, "in [0, 1)", self.momentum)
        _must("decay", 0 < self.decay <= 1, "in (0, 1]", self.decay)
        _must("milestones", self.shares == sorted(self.shares), "shares in ascending order", self.milestones)
        _one_of("dataset", self.dataset, DATASET_NAMES)
        _one_of("precision", self.precision, PRECISIONS)
        for name in ("epochs", "stem_stride", "batch_size", "prune_periods"):
            _must(name, getattr(self, name) >= 1, "at least 1", getattr(self, name))
        _must("lr", self.lr > 0 and math.isfinite(self.lr), "a positive number", self.lr)
        _must("weight_decay", self.weight_decay >= 0, "at least 0", self.weight_decay)
        _must("label_smoothing", 0 <= self.label_smoothing < 1, "in [0, 1)", self.label_smoothing)
        _must("warmup", 0 <= self.warmup < 1, "a share in [0, 1)", self.warmup)
        _must("seed", self.seed >= 0, "at least 0", self.seed)
        if self.is_convnext:
            self._check_convnext()
        else:
            self._check_cifar_network()
        if self.structured is not None:
            _must("structured", 0 < self.structured < 1, "a share in (0, 1)", self.structured)
            _must("optimizer", self.optimizer == "adamw", "adamw if 'structured' is set", self.optimizer)
            ordered = 0 <= self.prune_from < self.prune_until <= 1
            _must("prune_from", ordered, f"a share below 'prune_until', {self.prune_until}", self.prune_from)
        if self.unstructured is not None:
            _must("unstructured", 0 < self.unstructured < 1, "a share in (0, 1)", self.unstructured)
            _must("unstructured", self.structured is None, "unset if 'structured' is set", self.unstructured)
            _must("init", self.init != "scratch", "trained weights if 'unstructured' is set", self.init)
        if self.init == "imagenet":
            _must("init", self.is_convnext, "scratch or a safetensors file for a CIFAR network", self.init)
            _must("stem_stride", self.stem_stride == 4, "4 with the weights of ImageNet", self.stem_stride)
            _must("init", self.model != "convnext_atto", "other than imagenet for convnext_atto", self.init)
        elif self.init != "scratch":
            step = did_you_mean(self.init, ["scratch", "imagenet"])
            _must("init", is_file(Path(self.init)), "scratch, imagenet or a safetensors file", self.init, step)

    @property
    def is_convnext(self) -> bool:
        """Whether the network is a ConvNeXt."""
        return self.model in CONVNEXT_VARIANTS

    @property
    def shares(self) -> list[float]:
        """The milestones as numbers."""
        try:
            return [float(share) for share in self.milestones.split(",") if share]
        except ValueError:
            raise UserError(
                f"'milestones' must be numbers with commas (got {self.milestones!r}); 0.5,0.75 are two"
            ) from None

    @property
    def width_list(self) -> list[int] | None:
        """The widths as numbers; None if they are the network's own."""
        if self.widths is None:
            return None
        try:
            return [int(width) for width in self.widths.split(",")]
        except ValueError:
            raise UserError(f"'widths' must be numbers with commas (got {self.widths!r}); 32,64 are two") from None

    def _check_convnext(self) -> None:
        multiple = 8 * self.stem_stride
        sides = self.resolution >= multiple and self.resolution % multiple == 0
        _must("resolution", sides, f"a multiple of {multiple}, 8 × the stem's stride", self.resolution)
        for name in ("widths", "filters", "plan"):
            _must(name, getattr(self, name) is None, "unset for a ConvNeXt", getattr(self, name))

    def _check_cifar_network(self) -> None:
        _must("resolution", self.resolution == CIFAR_SIDE, "32 for a CIFAR network", self.resolution)
        for name in ("structured", "unstructured"):
            _must(name, getattr(self, name) is None, "unset for a CIFAR network", getattr(self, name))
        if self.widths is not None:
            _must("widths", self.filters is None, "unset if 'filters' is set", self.widths)
            _must("widths", min(self.width_list or [0]) > 0, "positive", self.widths)
        if self.filters is not None:
            parse_rates(self.filters)

    def as_dict(self) -> dict[str, Any]:
        """Return the recipe as plain values."""
        return asdict(self)


def _one_of(name: str, value: str, known: Any) -> None:
    if value not in known:
        raise UserError(f"{name!r} must be a known one (got {value!r}); {did_you_mean(value, known)}")


def _must(name: str, holds: bool, rule: str, value: object, step: str = "change it and start again") -> None:
    if not holds:
        raise UserError(f"{name!r} must be {rule} (got {value!r}); {step}")


def parse_rates(text: str) -> dict[int, float]:
    """Return the rate of each layer of a text like "2:0.6 4:0.6". Raises UserError for any other text."""
    try:
        pairs = [entry.split(":") for entry in text.split()]
        rates = {int(layer): float(rate) for layer, rate in pairs}
    except ValueError:
        rates = {}
    _must("filters", bool(rates), "rates by layer, such as '2:0.6 4:0.6'", text)
    return rates


def format_rates(rates: Mapping[int, float]) -> str:
    """Return the text of the rates that `parse_rates` reads."""
    return " ".join(f"{layer}:{rate:g}" for layer, rate in rates.items())


def learning_rate(recipe: Recipe, step: int, steps: int) -> float:
    """Return the learning rate of a step, 0 … steps - 1: a linear warm-up, followed by the schedule of the recipe.

    "cosine" falls along half a cosine to almost 0, "steps" falls at each milestone, "constant" does not change.
    """
    warmup = max(1, round(recipe.warmup * steps))
    if step < warmup:
        return recipe.lr * (step + 1) / warmup
    if recipe.schedule != "cosine":
        passed = sum(step >= round(share * steps) for share in recipe.shares)
        return recipe.lr * (recipe.decay**passed if recipe.schedule == "steps" else 1.0)
    return recipe.lr * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


def derived_seed(seed: int, purpose: str, index: int) -> int:
    """Return a 64-bit seed that differs for each (seed, purpose, index)."""
    entropy = (seed, PURPOSES.index(purpose), index)
    return int(np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0] >> np.uint64(1))


@dataclass(frozen=True)
class PruningSchedule:
    """The part of a run in which OTOv3 prunes: `steps` optimizer steps from `start`, in `periods` portions."""

    start: int
    steps: int
    periods: int


def pruning_schedule(recipe: Recipe, steps: int) -> PruningSchedule:
    """Return the pruning schedule of a run of `steps` steps. Raises UserError if a portion has no step."""
    start, end = (round(share * steps) for share in (recipe.prune_from, recipe.prune_until))
    enough = f"at most the {end - start} steps between 'prune_from' and 'prune_until'"
    _must("prune_periods", end - start >= recipe.prune_periods, enough, recipe.prune_periods)
    return PruningSchedule(start, end - start, recipe.prune_periods)
