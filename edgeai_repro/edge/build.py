"""Building a bundle: a model in four forms, exported, and each held against torch before it is let out."""

from __future__ import annotations

import logging
import platform
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from tqdm import tqdm

import edgeai_repro.compress.techniques  # noqa: F401 - for what it registers
from edgeai_repro.claims.registry import TECHNIQUES, UNCOMPRESSED
from edgeai_repro.compress import saved_models
from edgeai_repro.data import cifar
from edgeai_repro.data.transforms import MEAN, STD, normalise
from edgeai_repro.edge import bundle, export
from edgeai_repro.edge.bundle import Bundle, Counts, InputSpec, ModelEntry, Origin, Variant
from edgeai_repro.edge.runtime import Network
from edgeai_repro.errors import MissingRequirement, UserError, did_you_mean
from edgeai_repro.evidence.measurement import Setting
from edgeai_repro.evidence.training_record import RESULT, load_record
from edgeai_repro.measure import counts
from edgeai_repro.networks import convnext
from edgeai_repro.networks.variants import CONVNEXT_VARIANTS

log = logging.getLogger(__name__)
TARGET = 0.8  # share of hidden channels that is pruned where the user names none
PROBES = 8  # images of a kind: random ones, and real ones where there are data
VISIBLE_LAYER_SCALE = (
    0.1  # layer scale of a model with random weights: at 1e-6 no check of outputs would see a block
)
# Of a logit, relative to the largest: 1e-6 was seen (ConvNeXt-Small, torch 2.15, ONNX Runtime 1.31).
FP32_TOLERANCE = 1e-4
# Of the root mean square of int8's errors, ours over torch's: ours has a scale a channel, torch's one a layer.
INT8_FACTOR = 2.0


@dataclass(frozen=True)
class Source:
    """An unquantized model to deploy: its name, how it was compressed so far, and where its weights are from."""

    name: str
    network: nn.Module
    technique: str
    params: Mapping[str, Setting]
    resolution: int
    origin: Origin

    @property
    def stem_stride(self) -> int:
        """The stride of the stem."""
        return convnext.stem_stride(self.network)

    @property
    def shape(self) -> str:
        """What two models must share to be compared."""
        taken = f"{self.resolution} pixels and {self.num_classes} classes"
        return f"{self.name} for {taken}, stem stride {self.stem_stride}"

    @property
    def num_classes(self) -> int:
        """The number of logits."""
        return convnext.num_classes(self.network)


def read_source(given: str) -> Source:
    """Return the model of the folder of a saved model or training run, or of a known name with random weights.

    Raises UserError, in one line, for anything else, and for a model that is quantized already.
    """
    folder = Path(given)
    if (folder / RESULT).is_file():
        return _trained(folder)
    if folder.is_dir():
        return _saved(folder)
    if given not in CONVNEXT_VARIANTS:
        raise UserError(
            f"'source' must be a model, or the folder of a saved model or training run (got {given!r}); "
            f"{did_you_mean(given, CONVNEXT_VARIANTS)}"
        )
    return _random(given)


def build(source: Source, folder: Path, *, dense: Source | None = None, target: float, test_split: bool) -> Bundle:
    """Write the bundle of a model into a new folder: fp32, int8, pruned, and pruned + int8.

    A source that isn't pruned is pruned to `target`, without training. The dense model beside a pruned source is
    `dense`, else one with random weights, which is as fast and says nothing of accuracy; the manifest tells. Raises
    UserError where `dense` doesn't fit, the folder is there, or an exported model answers otherwise than torch's;
    ConditionMissing where the test split is asked for and isn't here.
    """
    dense, pruned = _pair(source, dense, target)
    images = _test_images() if test_split else None
    probes = _probes()

    def fill(folder: Path) -> dict[str, Any]:
        np.save(folder / bundle.PROBES, probes)
        described: dict[Variant, ModelEntry] = {}
        wanted = InputSpec(
            name=export.INPUT, shape=(1, 3, source.resolution, source.resolution), mean=MEAN, std=STD
        )
        forms: list[tuple[Variant, Variant, Source]] = [
            ("fp32", "int8", dense),
            ("pruned", "pruned-int8", pruned),
        ]
        for variant, int8, form in tqdm(forms, disable=None, desc=f"bundle of {source.name}", leave=False):
            described |= _export(form, variant, int8, folder, probes, wanted)
        digest = None if images is None else _write_split(folder, *images)
        return {
            "model": source.name,
            "num_classes": source.num_classes,
            "stem_stride": source.stem_stride,
            "input": wanted,
            "models": described,
            "data_sha256": digest,
            "versions": _versions(),
        }

    return bundle.load(bundle.write(folder, fill))


def _pair(source: Source, dense: Source | None, target: float) -> tuple[Source, Source]:
    """Return the dense and the pruned source of a bundle."""
    if source.technique == UNCOMPRESSED:
        if dense is not None:
            raise UserError("'--dense' must go with a pruned model (got one that isn't); leave it out")
        cut = next(TECHNIQUES["structured_pruning"].apply(source.network, [{"target": target}]))
        params = {"target": target}
        return source, Source(source.name, cut, "structured_pruning", params, source.resolution, source.origin)
    if dense is None:
        log.warning("fp32 and int8 get random weights: fit to be timed only; name theirs by --dense")
        dense = _random(source.name, like=source)
    if dense.technique != UNCOMPRESSED or dense.shape != source.shape:
        raise UserError(
            f"'--dense' must be an unpruned {source.shape} (got {dense.technique} of {dense.shape}); name another"
        )
    return dense, source


def _export(
    form: Source, variant: Variant, int8: Variant, folder: Path, probes: NDArray[np.uint8], wanted: InputSpec
) -> Iterator[tuple[Variant, ModelEntry]]:
    """Write one network in fp32 and in int8, and yield both as the manifest has them."""
    quantized = next(TECHNIQUES["dynamic_quantization"].apply(form.network, [{}]))
    export.export(form.network, folder / f"{variant}.onnx", resolution=form.resolution)
    export.quantize(folder / f"{variant}.onnx", folder / f"{int8}.onnx")
    exact = _answers(form.network, probes, form.resolution)
    by_torch = _answers(quantized, probes, form.resolution)
    scale = float(np.abs(exact).max())
    for name, network in ((variant, form.network), (int8, quantized)):
        path = folder / f"{name}.onnx"
        found = Network(path, wanted).predict(probes)
        error = float(np.abs(found - exact).max())
        allowed = FP32_TOLERANCE * scale
        if name == int8:
            allowed += INT8_FACTOR * _rms(by_torch - exact)
        seen = error if name == variant else _rms(found - exact)
        if not seen <= allowed:
            raise UserError(
                f"{path.name}: must answer as torch does, to {allowed:.1e} (got {seen:.1e} off on {len(probes)} "
                "images); try another version of onnxruntime"
            )
        counted = counts.actual(network, form.resolution)
        yield (
            name,
            ModelEntry(
                file=path.name,
                weights=export.weights_file(path).name,
                technique=bundle.TECHNIQUE_OF_VARIANT[name],
                params=dict(form.params),
                hidden_widths=convnext.hidden_widths(form.network),
                origin=form.origin,
                counts=Counts(
                    parameters=counted.parameters, macs=counted.macs, bit_operations=counted.bit_operations
                ),
                error=error,
                expected=tuple(tuple(float(logit) for logit in row) for row in found),
            ),
        )


@torch.inference_mode()
def _answers(network: nn.Module, images: NDArray[np.uint8], resolution: int) -> NDArray[np.float32]:
    """Return torch's logits, float32 (n, classes), one image at a time."""
    inputs = normalise(torch.from_numpy(images), resolution)
    return np.asarray(torch.cat([network(image[None]) for image in inputs]).numpy(), np.float32)


def _rms(values: NDArray[np.float32]) -> float:
    return float(np.sqrt(np.mean(values.astype(np.float64) ** 2)))


def _probes() -> NDArray[np.uint8]:
    random = np.random.default_rng(0).integers(0, 256, (PROBES, 3, cifar.SIDE, cifar.SIDE), dtype=np.uint8)
    try:
        real, _ = cifar.load_arrays(cifar.data_folder(), "test")
    except MissingRequirement as missing:
        log.info("checked on random images alone: %s", missing)
        return random
    return np.concatenate([random, real[:PROBES]])


def _test_images() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    return cifar.load_arrays(cifar.data_folder(), "test")


def _write_split(folder: Path, images: NDArray[np.uint8], labels: NDArray[np.uint8]) -> str:
    from edgeai_repro.data.packing import mosaic

    (folder / bundle.TEST_IMAGES).write_bytes(mosaic(images))
    np.save(folder / bundle.TEST_LABELS, labels)
    return cifar.arrays_sha256(images, labels)


def _trained(folder: Path) -> Source:
    from edgeai_repro.evidence.trained_run import TrainedRun
    from edgeai_repro.training.grading import load

    record = load_record(folder / RESULT)
    recipe = record.recipe
    if recipe["unstructured"] is not None:
        raise UserError(f"{folder}: must be dense or structurally pruned (got zeroed weights); name another run")
    network = load(TrainedRun(folder.name, folder, record))
    target = recipe["structured"]
    return Source(
        name=str(recipe["model"]),
        network=network,
        technique=UNCOMPRESSED if target is None else "structured_pruning",
        params={} if target is None else {"target": target},
        resolution=int(recipe["resolution"] or cifar.SIDE),
        origin=Origin(sha256=record.weights_sha256, recipe=recipe),
    )


def _saved(folder: Path) -> Source:
    described = saved_models.read(folder)
    if described.engine is not None or described.technique not in (UNCOMPRESSED, "structured_pruning"):
        raise UserError(
            f"{folder}: must hold fp32 weights, dense or structurally pruned (got {described.technique}); "
            "name the model that it was made from"
        )
    return Source(
        name=described.model,
        network=saved_models.load(folder),
        technique=described.technique,
        params={name: value for name, value in described.settings.items() if value is not None},
        resolution=described.resolution,
        origin=Origin(sha256=described.weights_sha256),
    )


def _random(name: str, like: Source | None = None) -> Source:
    """Return a dense model with random weights, each of which shows in the outputs."""
    classes, stride = (10, 4) if like is None else (like.num_classes, like.stem_stride)
    network = convnext.build(name, num_classes=classes, stem_stride=stride)
    for parameter_name, parameter in network.named_parameters():
        if parameter_name.endswith("layer_scale"):
            parameter.detach().fill_(VISIBLE_LAYER_SCALE)
    resolution = cifar.SIDE if like is None else like.resolution
    return Source(name, network, UNCOMPRESSED, {}, resolution, Origin(sha256=None))


def _versions() -> dict[str, str]:
    packages = ("edgeai-repro", "onnx", "onnxruntime", "torch", "torchvision")
    return {"python": platform.python_version(), **{package: version(package) for package in packages}}
