"""The techniques of the paper, as a claim names them. No torch until one is applied."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, cast

from edgeai_repro.claims.registry import technique
from edgeai_repro.errors import UserError
from edgeai_repro.evidence.measurement import Settings

if TYPE_CHECKING:
    from torch import nn

    from edgeai_repro.compress.filter_pruning import Ranking


@technique("dynamic_quantization")
def dynamic_quantization(model: nn.Module, settings: Sequence[Settings]) -> Iterator[nn.Module]:
    """torch's dynamic quantization of every nn.Linear to int8 weights."""
    from edgeai_repro.compress.quantization import quantize

    for _ in settings:
        yield quantize(model)


@technique("unstructured_pruning", settings=("sparsity",))
def unstructured_pruning(model: nn.Module, settings: Sequence[Settings]) -> Iterator[nn.Module]:
    """Global magnitude pruning to a sparsity, masks made permanent."""
    from edgeai_repro.compress.unstructured import sweep

    for _, pruned in sweep(model, [float(setting["sparsity"]) for setting in settings]):
        yield pruned


@technique("structured_pruning", settings=("target",))
def structured_pruning(model: nn.Module, settings: Sequence[Settings]) -> Iterator[nn.Module]:
    """OTOv3 (HESSO) pruning of the MLP widths to a target, without training."""
    from edgeai_repro.compress.structured import prune

    for _, pruned in prune(model, [float(setting["target"]) for setting in settings]):
        yield pruned


@technique("filter_pruning", settings=("plan", "ranking", "retraining"))
def filter_pruning(model: nn.Module, settings: Sequence[Settings]) -> Iterator[nn.Module]:
    """Filters of a CIFAR network cut by a plan of `claims/training`, ranked within a layer; not retrained here."""
    from edgeai_repro.claims.recipe_files import read_plan
    from edgeai_repro.compress.filter_pruning import prune_filters
    from edgeai_repro.networks.resnet_cifar import ResNetCifar
    from edgeai_repro.networks.vgg_cifar import VggCifar

    if not isinstance(model, ResNetCifar | VggCifar):
        raise UserError(f"'filter_pruning' must be applied to a CIFAR network (got {type(model).__name__})")
    for setting in settings:
        rates = read_plan(str(setting["plan"])).layer_rates()
        yield prune_filters(model, rates, ranking=cast("Ranking", setting["ranking"]))


@technique("combined", base="structured_pruning", settings=("target",))
def combined(model: nn.Module, settings: Sequence[Settings]) -> Iterator[nn.Module]:
    """OTOv3 structured pruning, then dynamic quantization of what is left."""
    yield from dynamic_quantization(model, settings)
