"""The paper's techniques under the names that claims use, and how to apply them. torch is imported on use only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from edgeai_repro.claims.registry import TECHNIQUES, UNCOMPRESSED, technique
from edgeai_repro.errors import UserError
from edgeai_repro.evidence.measurement import Setting, Settings

if TYPE_CHECKING:
    from torch import nn

    from edgeai_repro.compress.filter_pruning import Ranking


@dataclass(frozen=True)
class Variant:
    """One model, compressed in one way: a key for caches of networks and of measurements.

    `model` is the model's name, empty if all keys are of one model. Build it with `Variant.of`, which sorts the
    settings.
    """

    model: str
    technique: str
    settings: tuple[tuple[str, Setting], ...]

    @classmethod
    def of(cls, model: str, technique: str = UNCOMPRESSED, settings: Settings | None = None) -> Variant:
        """Return the key of a model under a technique and its settings."""
        return cls(model, technique, tuple(sorted((settings or {}).items())))


def apply(
    network: nn.Module,
    technique: str,
    settings: Settings | None = None,
    cache: MutableMapping[Variant, nn.Module] | None = None,
) -> nn.Module:
    """Return `network` compressed by a technique, and before that by the technique that it starts from, if any.

    `cache` belongs to one network. It keeps every compressed form by `Variant.of("", technique, settings)`, and a
    form that it has is not made again.
    """
    if technique == UNCOMPRESSED:
        return network
    settings, cache = settings or {}, {} if cache is None else cache
    variant = Variant.of("", technique, settings)
    if variant not in cache:
        base = apply(network, TECHNIQUES[technique].base, settings, cache)
        cache[variant] = next(TECHNIQUES[technique].apply(base, [settings]))
    return cache[variant]


def apply_all(
    network: nn.Module, wanted: Mapping[str, Sequence[Settings]], base: str = UNCOMPRESSED
) -> Iterator[tuple[str, Settings, nn.Module]]:
    """Yield (technique, settings, compressed network) for each of the `wanted` settings of each technique.

    `network` is the result of the technique `base`. The settings of one technique share work, such as a trace or a
    ranking of weights. Techniques that start from the same result share it. Each network is made when it is needed
    and then dropped; if the caller drops it too, only few are in memory at a time.
    """
    for name, step in TECHNIQUES.items():
        grid = _with_dependents(name, wanted) if step.base == base else []
        results = step.apply(network, grid) if grid else iter(())
        for settings in grid:
            result = next(results)
            if settings in wanted.get(name, ()):
                yield name, settings, result
            same = {other: [entry for entry in wanted[other] if entry == settings] for other in wanted}
            yield from apply_all(result, same, name)
            del result


def _with_dependents(name: str, wanted: Mapping[str, Sequence[Settings]]) -> list[Settings]:
    """Return the settings wanted of a technique and of those that start from its result, each once."""
    dependents = [other for other, step in TECHNIQUES.items() if step.base == name]
    grids = [wanted.get(name, ()), *(_with_dependents(other, wanted) for other in dependents)]
    return [dict(entry) for entry in dict.fromkeys(tuple(sorted(s.items())) for grid in grids for s in grid)]


@technique("dynamic_quantization")
def dynamic_quantization(model: nn.Module, settings: Sequence[Settings]) -> Iterator[nn.Module]:
    """torch's dynamic quantization of every nn.Linear to int8 weights."""
    from edgeai_repro.compress.quantization import quantize

    for _ in settings:
        yield quantize(model)


@technique("torchao_int8_dynamic", package="torchao")
def torchao_int8_dynamic(model: nn.Module, settings: Sequence[Settings]) -> Iterator[nn.Module]:
    """torchao's dynamic quantization of every nn.Linear to int8 weights: a control with another API."""
    from edgeai_repro.compress.torchao_int8 import quantize

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
    """OTOv3 structured pruning, then dynamic quantization of the pruned network."""
    yield from dynamic_quantization(model, settings)
