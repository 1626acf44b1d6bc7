"""Exports a model in four variants, and checks each against torch before the bundle is written."""

from __future__ import annotations

import logging
import platform
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from tqdm import tqdm

from edgeai_repro.claims.registry import UNCOMPRESSED
from edgeai_repro.compress.techniques import apply
from edgeai_repro.data import cifar
from edgeai_repro.data.transforms import MEAN, STD, normalise
from edgeai_repro.edge import bundle, export
from edgeai_repro.edge.bundle import Bundle, BundledModel, Counts, InputSpec, ModelEntry
from edgeai_repro.edge.model_source import PRUNED, ModelSource, random_source
from edgeai_repro.edge.model_source import read_source as read_source
from edgeai_repro.edge.runtime import Network
from edgeai_repro.errors import MissingRequirement, UserError
from edgeai_repro.evidence import environment
from edgeai_repro.measure import counts
from edgeai_repro.networks import convnext

log = logging.getLogger(__name__)
Images = NDArray[np.uint8]
Logits = NDArray[np.float32]
TARGET = 0.8  # default share of hidden channels to prune
PROBES = 8  # random images, and as many of the test split if there are data
# Largest difference of a logit from torch's, relative to the largest logit. 1e-6 was observed with ConvNeXt-Small,
# torch 2.15 and ONNX Runtime 1.31.
FP32_TOLERANCE = 1e-4
# The root mean square of int8's errors may be this multiple of torch's. ONNX Runtime has one scale per channel and
# torch one per layer, so it is usually smaller: 0.5 to 0.7 of torch's with ConvNeXt-Atto and exact int8 products.
INT8_FACTOR = 2.0


def build(
    source: ModelSource, folder: Path, *, dense: ModelSource | None = None, target: float, test_split: bool
) -> Bundle:
    """Write the bundle of a model into a new folder: fp32, int8, pruned, and pruned + int8.

    A dense source is pruned to `target`, without training. A pruned source needs a dense model for fp32 and int8:
    `dense`, or by default one with random weights. Random weights take the same time; the manifest marks them, and
    their accuracy isn't measured.

    Raises UserError if `dense` doesn't fit, the folder exists, or the outputs of an exported model differ from
    torch's, and MissingRequirement if the test split is wanted and there are no data.
    """
    dense, pruned = _dense_and_pruned(source, dense, target)
    split = cifar.load_arrays(cifar.data_folder(), "test") if test_split else None
    probes = _probes()
    shape = (1, 3, source.resolution, source.resolution)
    spec = InputSpec(name=export.INPUT, shape=shape, mean=MEAN, std=STD)

    pairs: list[tuple[BundledModel, BundledModel, ModelSource]] = [
        ("fp32", "int8", dense),
        ("pruned", "pruned-int8", pruned),
    ]

    def fill(folder: Path) -> dict[str, Any]:
        np.save(folder / bundle.PROBES, probes)
        models: dict[BundledModel, ModelEntry] = {}
        for fp32, int8, model in tqdm(pairs, disable=None, desc=f"bundle of {source.name}", leave=False):
            models |= _export(model, fp32, int8, folder, probes, spec)
        return {
            "model": source.name,
            "num_classes": source.num_classes,
            "stem_stride": source.stem_stride,
            "input": spec,
            "models": models,
            "data_sha256": None if split is None else _write_split(folder, *split),
            "versions": _versions(),
        }

    return bundle.load(bundle.write(folder, fill))


def _dense_and_pruned(
    source: ModelSource, dense: ModelSource | None, target: float
) -> tuple[ModelSource, ModelSource]:
    """Return the dense and the pruned source of a bundle."""
    if source.technique == UNCOMPRESSED:
        if dense is not None:
            raise UserError("'--dense' must go with a pruned model (got a dense one); leave it out")
        settings = {"target": target}
        network = apply(source.network, PRUNED, settings)
        return source, ModelSource(source.name, network, PRUNED, settings, source.resolution, source.origin)
    if dense is None:
        log.warning("fp32 and int8 get random weights, so only their time can be measured; --dense names others")
        dense = random_source(source.name, like=source)
    if dense.technique != UNCOMPRESSED or dense.format != source.format:
        raise UserError(
            f"'--dense' must be an unpruned {source.format} (got {dense.technique} of {dense.format}); name another"
        )
    return dense, source


def _export(
    source: ModelSource, fp32: BundledModel, int8: BundledModel, folder: Path, probes: Images, spec: InputSpec
) -> dict[BundledModel, ModelEntry]:
    """Write a network in fp32 and in int8, check both against torch, and return their entries of the manifest."""
    quantized = apply(source.network, "dynamic_quantization")
    paths = {variant: folder / f"{variant}.onnx" for variant in (fp32, int8)}
    export.export(source.network, paths[fp32], resolution=source.resolution)
    export.quantize(paths[fp32], paths[int8])

    exact = _torch_logits(source.network, probes, source.resolution)
    logits = {variant: Network(path, spec).predict(probes) for variant, path in paths.items()}
    tolerance = FP32_TOLERANCE * float(np.abs(exact).max())
    _check(paths[fp32], float(np.abs(logits[fp32] - exact).max()), tolerance)
    int8_error = _rms(_torch_logits(quantized, probes, source.resolution) - exact)
    _check(paths[int8], _rms(logits[int8] - exact), tolerance + INT8_FACTOR * int8_error)

    return {
        variant: ModelEntry(
            file=paths[variant].name,
            weights=export.weights_file(paths[variant]).name,
            technique=bundle.TECHNIQUE_OF_VARIANT[variant],
            settings=dict(source.settings),
            hidden_widths=convnext.hidden_widths(source.network),
            origin=source.origin,
            counts=_counts(network, source.resolution),
            error=float(np.abs(logits[variant] - exact).max()),
            expected=tuple(tuple(row) for row in logits[variant].tolist()),
        )
        for variant, network in ((fp32, source.network), (int8, quantized))
    }


def _check(path: Path, difference: float, allowed: float) -> None:
    """Raise UserError unless the difference from torch's logits is allowed; NaN isn't."""
    if not difference <= allowed:
        raise UserError(
            f"{path.name}: must give torch's logits to within {allowed:.1e} (got {difference:.1e}); "
            "try another version of onnxruntime"
        )


def _counts(network: nn.Module, resolution: int) -> Counts:
    actual = counts.actual(network, resolution)
    return Counts(parameters=actual.parameters, macs=actual.macs, bit_operations=actual.bit_operations)


@torch.inference_mode()
def _torch_logits(network: nn.Module, images: Images, resolution: int) -> Logits:
    """Return torch's logits, float32 (n, classes), one image at a time."""
    inputs = normalise(torch.from_numpy(images), resolution)
    return np.asarray(torch.cat([network(image[None]) for image in inputs]).numpy(), np.float32)


def _rms(values: Logits) -> float:
    return float(np.sqrt(np.mean(values.astype(np.float64) ** 2)))


def _probes() -> Images:
    """Return the images that outputs are checked on, uint8 (n, 3, 32, 32)."""
    random = np.random.default_rng(0).integers(0, 256, (PROBES, 3, cifar.SIDE, cifar.SIDE), dtype=np.uint8)
    try:
        real, _ = cifar.load_arrays(cifar.data_folder(), "test")
    except MissingRequirement as missing:
        log.info("outputs are checked on random images only: %s", missing)
        return random
    return np.concatenate([random, real[:PROBES]])


def _write_split(folder: Path, images: Images, labels: Images) -> str:
    """Write the test split into a bundle's folder and return its sha256."""
    from edgeai_repro.data.packing import mosaic

    (folder / bundle.TEST_IMAGES).write_bytes(mosaic(images))
    np.save(folder / bundle.TEST_LABELS, labels)
    return cifar.arrays_sha256(images, labels)


def _versions() -> dict[str, str]:
    packages = environment.versions("edgeai-repro", "onnx", "onnxruntime", "torch", "torchvision")
    return {"python": platform.python_version(), **packages}
