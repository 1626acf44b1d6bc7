"""Structured pruning with OTOv3: whole hidden channels of ConvNeXt's MLPs, selected by HESSO, are removed for good.

Source: Chen et al., *OTOv3: Automatic Architecture-Agnostic Neural Network Training and Compression* (arXiv
2312.09411). The dependency graph and the saliency scores come from its library, `only_train_once`; the removal of
the channels is ours.

A group is one hidden channel of one block: a row of the first Linear of its MLP with that row's bias. If both are
zero, the channel is GELU(0) = 0. Removing it, with a column of the second Linear, then changes no output.

Groups of the residual stream are not pruned. The library would prune them by default, but the model that it then
writes does not run: it knows no LayerNorm2d and does not write `layer_scale` back. If the model is repaired, its
outputs still differ, because the mean in LayerNorm changes with the width.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models.convnext import CNBlock, ConvNeXt

from edgeai_repro.compress import otov3_compat
from edgeai_repro.compress.hesso import Hesso, select_redundant_groups
from edgeai_repro.errors import UserError
from edgeai_repro.memory import release_unused
from edgeai_repro.networks.convnext import (
    blocks,
    draw_seeds,
    drop_hidden_channels,
    hidden_widths,
    mlp,
    num_classes,
    random_images,
)

HIGHEST_TARGET = 0.999  # HESSO prunes no more than this share


@dataclass(frozen=True)
class PruningSteps:
    """The steps of HESSO on random images that pruning without training takes, before it removes channels.

    All of these values affect which layers lose channels, and so the bytes at a target. Observed on ConvNeXt-Small
    with random weights at a target of 0.8: about 74 % of the bytes saved with these values, 75 % with a learning
    rate of 0, and 71 % after 14 steps at 1e-3.
    """

    lr: float = 3e-4
    weight_decay: float = 1e-2
    batch_size: int = 4
    steps: int = 5


PRUNING_STEPS = PruningSteps()


class StructuredPruner:
    """OTOv3's dependency graph of one dense ConvNeXt, traced once and usable for several targets.

    `model` is torchvision's ConvNeXt with any dims, depths and stem stride, on any device. This class does not
    change it; `optimizer()` trains its parameters. `resolution` is the height and width of the traced image in
    pixels.

    Raises UserError for another kind of model, for a model that the library can't trace, and for one without groups
    to prune.
    """

    def __init__(self, model: ConvNeXt, *, resolution: int = 32) -> None:
        _check_kind(model)
        self.model = model
        self._oto = otov3_compat.trace_graph(model, generated_batch(model, 1, resolution, seed=0)[0])
        # A group belongs to the residual stream if, and only if, it contains a layer_scale.
        names = [name for name, _ in model.named_parameters()]
        self._oto.mark_unprunable_by_param_names([name for name in names if name.endswith("layer_scale")])
        self._layers = _prunable_layers(model, self._oto)

    @property
    def group_sizes(self) -> list[int]:
        """The number of groups in each prunable layer: the hidden channels of each MLP that is not frozen."""
        return [layer.out_features for layer in self._layers]

    def optimizer(
        self,
        target: float,
        *,
        lr: float = 1e-3,
        weight_decay: float = 1e-2,
        start_step: int = 0,
        pruning_steps: int = 1,
        pruning_periods: int = 1,
    ) -> Hesso:
        """Return HESSO over all parameters, set to prune the share `target` of the groups, in (0, 1).

        Pruning starts at step `start_step` and takes `pruning_steps` steps, in `pruning_periods` equal periods.
        Raises UserError for an impossible schedule and for a target that takes no group or a layer's last one.
        """
        _check_target(target, self.group_sizes)
        if start_step < 0:
            raise UserError(
                f"'start_step' must be 0 or more (got {start_step}); give the step at which pruning begins"
            )
        if not 1 <= pruning_periods <= pruning_steps:
            raise UserError(
                f"'pruning_periods' must be 1 to 'pruning_steps', here {pruning_steps} (got {pruning_periods}); "
                "give each period one step at least"
            )
        planner = otov3_compat.make_planner(
            self._oto,
            lr=lr,
            weight_decay=weight_decay,
            target_group_sparsity=target,
            start_pruning_step=start_step,
            pruning_steps=pruning_steps,
            pruning_periods=pruning_periods,
        )
        return Hesso(self.model.parameters(), planner)

    def compressed(self) -> ConvNeXt:
        """Return a smaller copy of the model, in eval mode, without the groups that are zero (see `compressed`)."""
        return compressed(self.model)

    def prune_by_saliency(self, saliency: Tensor, target: float) -> ConvNeXt:
        """Return a copy of the model, in eval mode, without the share `target` of the groups of least `saliency`.

        `saliency` are the scores of HESSO, (groups,). The result equals that of HESSO with these scores and a
        single period of one step.
        """
        none = torch.zeros_like(saliency, dtype=torch.bool)
        _, redundant = select_redundant_groups(
            saliency, int(len(saliency) * target), self.group_sizes, selected=none, pruned=none
        )
        by_layer = dict(zip(self._layers, torch.split(redundant, self.group_sizes), strict=True))
        return drop_hidden_channels(self.model, [by_layer.get(mlp(block)[0]) for block in blocks(self.model)])


def compressed(model: ConvNeXt) -> ConvNeXt:
    """Return a copy of `model`, in eval mode, without the hidden channels whose weights and bias are all zero.

    Its outputs equal those of `model` up to rounding. `model` does not change. Raises UserError if a layer would be
    left without channels.
    """
    layers = [mlp(block)[0] for block in blocks(model)]
    return drop_hidden_channels(model, [(layer.weight == 0).all(dim=1) & (layer.bias == 0) for layer in layers])


def prune(
    model: ConvNeXt,
    targets: Sequence[float],
    *,
    resolution: int = 32,
    seed: int = 0,
    steps: PruningSteps = PRUNING_STEPS,
) -> Iterator[tuple[float, ConvNeXt]]:
    """Prune without training: yield each target with a compressed copy of `model`, in eval mode.

    A target is the share of the hidden channels to remove, in (0, 1). HESSO runs on random images of `resolution` ×
    `resolution` pixels with random labels, drawn under `seed`. The results have the size, shape and speed of a
    pruned model, but no useful accuracy. All targets share the steps of HESSO, which depend on the target only when
    channels are removed. `model` does not change. The same seed gives the same widths.

    Raises UserError, before any work, for whatever `StructuredPruner` and its `optimizer` refuse.
    """
    targets = tuple(targets)
    _check_kind(model)
    for target in targets:
        _check_target(target, hidden_widths(model))
    return _prune_to_each(model, targets, resolution, seed, steps) if targets else iter(())


def _prune_to_each(
    model: ConvNeXt, targets: Sequence[float], resolution: int, seed: int, steps: PruningSteps
) -> Iterator[tuple[float, ConvNeXt]]:
    pruner = StructuredPruner(copy.deepcopy(model).eval(), resolution=resolution)
    release_unused()  # the optimizer takes three times the memory of the network
    saliency = _score_groups(pruner, targets[0], resolution, seed, steps)
    for target in targets:
        yield target, pruner.prune_by_saliency(saliency, target)


@torch.enable_grad()
def _score_groups(
    pruner: StructuredPruner, target: float, resolution: int, seed: int, steps: PruningSteps
) -> Tensor:
    """Take the steps of HESSO, all of them before pruning would start; return the saliency of the last one."""
    optimizer = pruner.optimizer(target, lr=steps.lr, weight_decay=steps.weight_decay, start_step=steps.steps + 1)
    for step, batch_seed in enumerate(draw_seeds(seed, steps.steps), start=1):
        images, labels = generated_batch(pruner.model, steps.batch_size, resolution, batch_seed)
        optimizer.zero_grad()
        torch.autograd.backward(nn.functional.cross_entropy(pruner.model(images), labels))
        if step == steps.steps:
            saliency = optimizer.saliency()
        optimizer.step()
    optimizer.zero_grad()
    return saliency


def generated_batch(model: ConvNeXt, size: int, resolution: int, seed: int) -> tuple[Tensor, Tensor]:
    """Return random images (size, 3, resolution, resolution) and labels (size,), on the model's device."""
    device = model.classifier[-1].weight.device
    labels = torch.randint(num_classes(model), (size,), generator=torch.Generator().manual_seed(seed))
    return random_images(size, resolution, seed).to(device), labels.to(device)


def _check_kind(model: nn.Module) -> None:
    if not isinstance(model, ConvNeXt):
        raise UserError(
            f"'model' must be torchvision's ConvNeXt (got {type(model).__name__}); "
            "build it with networks.convnext.build()"
        )


def _check_target(target: float, group_sizes: Sequence[int]) -> None:
    """Raise UserError for a target that layers with these numbers of groups can't meet."""
    groups = sum(group_sizes)
    if groups == 0:
        raise UserError("'model' must have hidden channels to prune (got none); give one whose MLPs are trained")
    if not 0 < target < 1:
        raise UserError(
            f"'target' must be between 0 and 1, ends excluded (got {target!r}); 0.8 takes 80 % of the groups"
        )
    if not 1 <= int(groups * target) <= groups - len(group_sizes) or target > HIGHEST_TARGET:
        highest = min(HIGHEST_TARGET, 1 - len(group_sizes) / groups)
        raise UserError(
            f"'target' must take one of the {groups} groups at least and leave one in each of {len(group_sizes)} "
            f"layers (got {target!r}); give {1 / groups:.5f} to {highest:.5f}"
        )


def _prunable_layers(model: ConvNeXt, oto: Any) -> list[nn.Linear]:
    """Return the first Linear of each MLP that may be pruned, in the order of the library's groups."""
    named_blocks = [(name, module) for name, module in model.named_modules() if isinstance(module, CNBlock)]
    hidden = {f"{name}.block.3": mlp(block)[0] for name, block in named_blocks}
    trained = {name for name, layer in hidden.items() if layer.weight.requires_grad}
    groups = otov3_compat.prunable_groups(oto)
    actual = {frozenset(group["p_names"]): group["num_groups"] for group in groups}
    expected = {frozenset((f"{name}.weight", f"{name}.bias")): hidden[name].out_features for name in trained}
    if not expected and not actual:
        raise UserError("'model' must have hidden channels to prune (got none that is trained); unfreeze its MLPs")
    if actual != expected:
        raise UserError(
            f"'model' must be one whose every MLP only_train_once can trace (got channels of {len(actual)} layers "
            f"for {len(expected)} MLPs); build it with networks.convnext.build()"
        )
    return [hidden[group["p_names"][0].rpartition(".")[0]] for group in groups]
