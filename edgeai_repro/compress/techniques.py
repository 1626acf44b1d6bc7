"""The paper's techniques under the names that claims use, and how to apply them. torch is imported on use only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from edgeai_repro.claims.registry import TECHNIQUES, UNCOMPRESSED, technique
from edgeai_repro.compress.settings import CODE_BITS, PRUNING_SETTINGS
from edgeai_repro.errors import UserError
from edgeai_repro.evidence.measurement import Setting, Settings
from edgeai_repro.networks.variants import IMAGENET_RESOLUTION

Inputs = tuple[Any, ...] | None  # of a network; None for an RGB image

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
    inputs: Inputs = None,
) -> nn.Module:
    """Return `network` compressed by a technique, and before that by the technique that it starts from, if any.

    `inputs` are the arguments that the network runs with, None for an RGB image of 224 × 224 pixels.
    `cache` belongs to one network. It keeps every compressed form by `Variant.of("", technique, settings)`, and a
    form that it has is not made again.
    """
    if technique == UNCOMPRESSED:
        return network
    settings, cache = settings or {}, {} if cache is None else cache
    variant = Variant.of("", technique, settings)
    if variant not in cache:
        base = apply(network, TECHNIQUES[technique].base, settings, cache, inputs)
        cache[variant] = next(TECHNIQUES[technique].run(base, [settings], inputs))
    return cache[variant]


def apply_all(
    network: nn.Module,
    wanted: Mapping[str, Sequence[Settings]],
    base: str = UNCOMPRESSED,
    inputs: Inputs = None,
) -> Iterator[tuple[str, Settings, nn.Module]]:
    """Yield (technique, settings, compressed network) for each of the `wanted` settings of each technique.

    `network` is the result of the technique `base`. The settings of one technique share work, such as a trace or a
    ranking of weights. Techniques that start from the same result share it. Each network is made when it is needed
    and then dropped; if the caller drops it too, only few are in memory at a time. `inputs` are those of `apply`.
    """
    for name, step in TECHNIQUES.items():
        grid = _with_dependents(name, wanted) if step.base == base else []
        results = step.run(network, grid, inputs) if grid else iter(())
        for settings in grid:
            result = next(results)
            if settings in wanted.get(name, ()):
                yield name, settings, result
            same = {other: [entry for entry in wanted[other] if entry == settings] for other in wanted}
            yield from apply_all(result, same, name, inputs)
            del result


def notes_on(network: nn.Module, technique: str) -> Settings:
    """Return what a row adds for the reader about the result of a technique."""
    return {} if technique == UNCOMPRESSED else TECHNIQUES[technique].notes(network)


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


@technique("structured_pruning", settings=("target",), optional=PRUNING_SETTINGS, takes_inputs=True)
def structured_pruning(
    model: nn.Module, settings: Sequence[Settings], inputs: Inputs = None
) -> Iterator[nn.Module]:
    """Channels removed without training: MLP widths of ConvNeXt by OTOv3 (HESSO), other networks' by DepGraph."""
    from edgeai_repro.compress.pruning_choice import prune_to_each

    yield from prune_to_each(model, settings, inputs)


@technique("filter_pruning", optional=("plan", "widths", "rate", "ranking", "retraining"))
def filter_pruning(model: nn.Module, settings: Sequence[Settings]) -> Iterator[nn.Module]:
    """Filters of a CIFAR network cut by a plan, to widths or at a rate, ranked by layer; not retrained here."""
    from edgeai_repro.claims.recipe_files import read_plan
    from edgeai_repro.compress.filter_pruning import prune_filters, prune_to_widths, sites
    from edgeai_repro.networks.resnet_cifar import ResNetCifar
    from edgeai_repro.networks.vgg_cifar import VggCifar

    if not isinstance(model, ResNetCifar | VggCifar):
        raise UserError(f"'filter_pruning' must be applied to a CIFAR network (got {type(model).__name__})")
    for setting in settings:
        ranking = cast("Ranking", setting.get("ranking", "l1"))
        rule = _the_one(setting, ("plan", "widths", "rate"), "filter_pruning")
        if rule == "widths":
            yield prune_to_widths(model, _numbers("widths", str(setting["widths"])), ranking=ranking)
        elif rule == "plan":
            yield prune_filters(model, read_plan(str(setting["plan"])).layer_rates(), ranking=ranking)
        else:
            yield prune_filters(model, dict.fromkeys(sites(model), float(setting["rate"])), ranking=ranking)


@technique("layerwise_pruning", settings=("sparsity",))
def layerwise_pruning(model: nn.Module, settings: Sequence[Settings]) -> Iterator[nn.Module]:
    """Magnitude pruning of each convolution and Linear layer by itself to a sparsity; biases stay."""
    from edgeai_repro.compress.unstructured import prune_layers

    for setting in settings:
        yield prune_layers(model, float(setting["sparsity"]))


@technique("layerwise_pruning_int8", base="layerwise_pruning", settings=("sparsity",))
def layerwise_pruning_int8(model: nn.Module, settings: Sequence[Settings]) -> Iterator[nn.Module]:
    """Magnitude pruning of each layer by itself, then dynamic quantization of the pruned network."""
    yield from dynamic_quantization(model, settings)


def _layers_in_fp32(model: nn.Module) -> Settings:
    from edgeai_repro.compress.quantization import static

    stayed, layers = static().float_layers(model)
    return {"layers_in_fp32": f"{stayed} of {layers}"}


@technique("static_quantization", settings=("random_images",), optional=("pixels",), notes=_layers_in_fp32)
def static_quantization(model: nn.Module, settings: Sequence[Settings]) -> Iterator[nn.Module]:
    """torch's static quantization to int8 weights and activations, calibrated on random images."""
    from edgeai_repro.compress.quantization import static

    for setting in settings:
        pixels = int(setting.get("pixels", IMAGENET_RESOLUTION))
        yield static().quantize(model, static().random_batches(int(setting["random_images"]), pixels))


def _code_sizes(model: nn.Module) -> Settings:
    from edgeai_repro.compress.codebook import coded_size

    size = coded_size(model)
    return {"code_bytes": size.huffman, "code_bytes_before_Huffman": size.quantized}


@technique("codebook", optional=("table", "density", "conv_bits", "linear_bits", "index_bits"), notes=_code_sizes)
def codebook(model: nn.Module, settings: Sequence[Settings]) -> Iterator[nn.Module]:
    """Deep Compression: each layer pruned, its values shared by k-means, positions relative, all Huffman-coded."""
    from edgeai_repro.claims.coding_tables import read_table
    from edgeai_repro.compress.codebook import compress, from_table, uniform

    for setting in settings:
        if _the_one(setting, ("table", "density"), "codebook") == "table":
            yield compress(model, from_table(model, read_table(str(setting["table"]))))
        else:
            bits = (int(setting.get(name, default)) for name, default in CODE_BITS.items())
            yield compress(model, uniform(float(setting["density"]), *bits))


@technique("reparameterize", needs_values=False)
def reparameterize(model: nn.Module, settings: Sequence[Settings]) -> Iterator[nn.Module]:
    """The branches of a training graph merged into the layers that are deployed, as timm does it."""
    from edgeai_repro.compress.reparameterization import reparameterize

    for _ in settings:
        yield reparameterize(model)


@technique("combined", base="structured_pruning", settings=("target",), optional=PRUNING_SETTINGS)
def combined(model: nn.Module, settings: Sequence[Settings]) -> Iterator[nn.Module]:
    """Structured pruning, then dynamic quantization of the pruned network."""
    yield from dynamic_quantization(model, settings)


def _the_one(setting: Settings, names: Sequence[str], technique: str) -> str:
    """Return the only one of several settings that is given. Raises UserError for none and for more."""
    given = [name for name in names if name in setting]
    if len(given) != 1:
        rule = f"must be given one of {', '.join(names)}"
        raise UserError(f"{technique!r} {rule} (got {', '.join(given) or 'none'}); give one")
    return given[0]


def _numbers(name: str, text: str) -> list[int]:
    """Return the positive numbers of a text, which are separated by spaces or commas."""
    entries = text.replace(",", " ").split()
    for place, entry in enumerate(entries, 1):
        if not entry.isdigit():
            raise UserError(f"{name!r} must be whole numbers (got {entry!r} in place {place}); correct it")
    return [int(entry) for entry in entries]
