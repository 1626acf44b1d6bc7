"""Structured pruning with OTOv3: whole hidden channels of ConvNeXt's MLPs, chosen by HESSO, taken out for good.

Source: Chen et al., *OTOv3: Automatic Architecture-Agnostic Neural Network Training and Compression* (arXiv
2312.09411), through the library `only_train_once`. A group is one hidden channel of one block: a row of the first
Linear of its MLP with that row's bias. Where both are zero the channel is GELU(0) = 0, so that taking it out, and
with it a column of the second Linear, changes no output.

Groups of the residual stream are left alone. The library takes them by default, but what it then builds does not
run (it knows no LayerNorm2d and does not write `layer_scale` back), and where it is made to run the outputs differ,
because LayerNorm's mean changes with the width.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torchvision.models.convnext import CNBlock, ConvNeXt

from edgeai_repro.compress import otov3_compat
from edgeai_repro.compress.hesso import Hesso, select_redundant_groups
from edgeai_repro.errors import UserError
from edgeai_repro.networks.convnext import blocks, draw_seeds, hidden_widths, random_images

HIGHEST_TARGET = 0.999  # HESSO stops there, whatever it is asked for


@dataclass(frozen=True)
class PruningSteps:
    """How the training-free tier prunes: steps of HESSO on generated images, the last of which makes the cut.

    Which layers are cut, and so the bytes at a target, depends on all of this. Observed on ConvNeXt-Small with
    random weights at a target of 0.8: about 74 % of the bytes saved with these values, 75 % at a learning rate of
    0, and 71 % after 14 steps at 1e-3.
    """

    lr: float = 3e-4
    weight_decay: float = 1e-2
    batch_size: int = 4
    steps: int = 5


RECIPE = PruningSteps()


class StructuredPruner:
    """OTOv3's dependency graph over one dense ConvNeXt, traced once and usable for several targets.

    `model` is torchvision's ConvNeXt in any widths, depths and stem stride, on any device. Nothing of it is changed
    here; its parameters are what `optimizer()` trains. `resolution` is the height and width in pixels of the image
    that the trace runs on. `scope` names the groups to prune: "hidden" is the only one.

    Raises UserError for another scope, another kind of model, a model that the library's tracer can't follow, and
    one without groups to prune.
    """

    def __init__(self, model: ConvNeXt, *, resolution: int = 32, scope: str = "hidden") -> None:
        _check_kind(model, scope)
        self.model = model
        self._oto = otov3_compat.trace_graph(model, generated_batch(model, 1, resolution, seed=0)[0])
        # Every group that holds a layer_scale is part of the residual stream, and the other way round.
        names = [name for name, _ in model.named_parameters()]
        self._oto.mark_unprunable_by_param_names([name for name in names if name.endswith("layer_scale")])
        self._layers = _prunable_layers(model, self._oto)

    @property
    def groups(self) -> int:
        """The number of groups that may be pruned: all hidden channels of all MLPs that are trained."""
        return sum(layer.out_features for layer in self._layers)

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
        """Return HESSO over all parameters, set to prune the share `target` of the groups, (0, 1).

        Pruning begins at step `start_step` and is over `pruning_steps` later, in `pruning_periods` equal periods.
        Raises UserError for a target that takes no group or a layer's last one, and for an impossible schedule.
        """
        _check_target(target, [layer.out_features for layer in self._layers])
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
        """Return a new, smaller model in eval mode, without the groups that are zero by now (see `compressed`)."""
        return compressed(self.model)

    def cut(self, saliency: Tensor, target: float) -> ConvNeXt:
        """Return a new model in eval mode without the share `target` of the groups, those of the least `saliency`.

        `saliency` is what HESSO scored, (groups,). Equals a HESSO whose one period of one step chooses by it.
        """
        sizes = [layer.out_features for layer in self._layers]
        none = torch.zeros_like(saliency, dtype=torch.bool)
        _, redundant = select_redundant_groups(
            saliency, int(len(saliency) * target), sizes, listed=none, pruned=none
        )
        return _drop_channels(dict(zip(self._layers, torch.split(redundant, sizes), strict=True)), self.model)


def compressed(model: ConvNeXt) -> ConvNeXt:
    """Return a copy of `model`, in eval mode, without the hidden channels whose weights and bias are all zero.

    Its outputs are those of `model` to rounding; `models.hidden_widths` reads its widths. `model` is left as it is.
    Raises UserError where a layer would be left without a channel.
    """
    layers = [block.block[3] for block in blocks(model)]
    return _drop_channels({layer: (layer.weight == 0).all(dim=1) & (layer.bias == 0) for layer in layers}, model)


def prune(
    model: ConvNeXt,
    targets: Sequence[float],
    *,
    resolution: int = 32,
    seed: int = 0,
    scope: str = "hidden",
    recipe: PruningSteps = RECIPE,
) -> Iterator[tuple[float, ConvNeXt]]:
    """Prune without training: yield each target with a compressed copy of `model`, in eval mode.

    A target is the share of the hidden channels to take out, (0, 1). HESSO runs on `seed`'s random images of
    `resolution` × `resolution` pixels with random labels: the outcome has the size, shape and speed of a pruned
    model and says nothing of its accuracy. HESSO's steps don't depend on the target up to the cut, so the targets
    share them. `model` is left as it is. The same seed gives the same widths.

    Raises UserError, before any work, for what `StructuredPruner` and its `optimizer` refuse.
    """
    targets = tuple(targets)
    _check_kind(model, scope)
    for target in targets:
        _check_target(target, hidden_widths(model))
    return _cuts(model, targets, resolution, seed, recipe) if targets else iter(())


def _cuts(
    model: ConvNeXt, targets: Sequence[float], resolution: int, seed: int, recipe: PruningSteps
) -> Iterator[tuple[float, ConvNeXt]]:
    pruner = StructuredPruner(copy.deepcopy(model).eval(), resolution=resolution)
    saliency = _settle(pruner, targets[0], resolution, seed, recipe)
    for target in targets:
        yield target, pruner.cut(saliency, target)


@torch.enable_grad()
def _settle(pruner: StructuredPruner, target: float, resolution: int, seed: int, recipe: PruningSteps) -> Tensor:
    """Run the recipe's steps without the cut, which would be due one step later; return the last one's saliency."""
    optimizer = pruner.optimizer(
        target, lr=recipe.lr, weight_decay=recipe.weight_decay, start_step=recipe.steps + 1
    )
    for step, own in enumerate(draw_seeds(seed, recipe.steps), start=1):
        images, labels = generated_batch(pruner.model, recipe.batch_size, resolution, own)
        optimizer.zero_grad()
        torch.autograd.backward(nn.functional.cross_entropy(pruner.model(images), labels))
        if step == recipe.steps:
            saliency = optimizer.saliency()
        optimizer.step()
    optimizer.zero_grad()
    return saliency


def generated_batch(model: ConvNeXt, size: int, resolution: int, seed: int) -> tuple[Tensor, Tensor]:
    """Return random images (size, 3, resolution, resolution) and labels (size,), on the model's device."""
    head = model.classifier[-1]
    labels = torch.randint(head.out_features, (size,), generator=torch.Generator().manual_seed(seed))
    return random_images(size, resolution, seed).to(head.weight.device), labels.to(head.weight.device)


def _check_kind(model: nn.Module, scope: str) -> None:
    if scope != "hidden":
        raise UserError(
            f"'scope' must be 'hidden' (got {scope!r}); a ConvNeXt whose residual stream is pruned does not run, "
            "for the library knows neither LayerNorm2d nor layer_scale, and LayerNorm's mean would change"
        )
    if not isinstance(model, ConvNeXt):
        raise UserError(
            f"'model' must be torchvision's ConvNeXt (got {type(model).__name__}); build it with models.build()"
        )


def _check_target(target: float, sizes: Sequence[int]) -> None:
    """Refuse a target that can't be met in layers of these widths."""
    groups = sum(sizes)
    if groups == 0:
        raise UserError("'model' must have hidden channels to prune (got none); give one whose MLPs are trained")
    if not 0 < target < 1:
        raise UserError(
            f"'target' must be between 0 and 1, ends excluded (got {target!r}); 0.8 takes 80 % of the groups"
        )
    if not 1 <= int(groups * target) <= groups - len(sizes) or target > HIGHEST_TARGET:
        highest = min(HIGHEST_TARGET, 1 - len(sizes) / groups)
        raise UserError(
            f"'target' must take one of the {groups} groups at least and leave one in each of {len(sizes)} layers "
            f"(got {target!r}); give {1 / groups:.5f} to {highest:.5f}"
        )


def _prunable_layers(model: ConvNeXt, oto: Any) -> list[nn.Linear]:
    """Return the first Linear of each MLP that may be pruned, in the order of the library's groups."""
    named = [(name, module) for name, module in model.named_modules() if isinstance(module, CNBlock)]
    hidden = {f"{name}.block.3": cast(nn.Linear, block.block[3]) for name, block in named}
    trained = {name for name, layer in hidden.items() if layer.weight.requires_grad}
    found = {frozenset(group["p_names"]): group["num_groups"] for group in otov3_compat.prunable_groups(oto)}
    expected = {frozenset((f"{name}.weight", f"{name}.bias")): hidden[name].out_features for name in trained}
    if not expected and not found:
        raise UserError("'model' must have hidden channels to prune (got none that is trained); unfreeze its MLPs")
    if found != expected:
        raise UserError(
            f"'model' must be one whose every MLP only_train_once can follow (got channels of {len(found)} layers "
            f"for {len(expected)} MLPs); build it with models.build()"
        )
    return [hidden[group["p_names"][0].rpartition(".")[0]] for group in otov3_compat.prunable_groups(oto)]


def _drop_channels(redundant: Mapping[nn.Module, Tensor], model: ConvNeXt) -> ConvNeXt:
    """Copy `model` without the channels that are marked for an MLP's first Linear, (channels,) bool."""
    replaced: dict[int, object] = {}
    for number, block in enumerate(blocks(model)):
        expand, reduce = block.block[3], block.block[5]
        if expand not in redundant:
            continue
        kept = (~redundant[expand]).nonzero().flatten()
        if not len(kept):
            raise UserError(
                f"'model' must keep a hidden channel in every layer (got none in block {number}); "
                "prune to a lower target"
            )
        replaced[id(expand)] = _linear(expand.weight.index_select(0, kept), expand.bias.index_select(0, kept))
        replaced[id(reduce)] = _linear(reduce.weight.index_select(1, kept), reduce.bias.clone())
    return copy.deepcopy(model, replaced).eval()  # deepcopy takes from its memo what is there: the smaller layers


def _linear(weight: Tensor, bias: Tensor) -> nn.Linear:
    with torch.device("meta"):
        layer = nn.Linear(weight.shape[1], weight.shape[0])
    layer.weight, layer.bias = nn.Parameter(weight.detach()), nn.Parameter(bias.detach())
    return layer
