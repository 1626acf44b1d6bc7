"""Builds a bundle: exports a network in several variants, and compares each with torch before it is written."""

from __future__ import annotations

import logging
import platform
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from edgeai_repro.claims.registry import UNCOMPRESSED
from edgeai_repro.compress.techniques import apply
from edgeai_repro.data import cifar
from edgeai_repro.edge import bundle, export
from edgeai_repro.edge.any_network import OnnxNetwork
from edgeai_repro.edge.bundle import Bundle
from edgeai_repro.edge.export_variants import Problem, VariantExporter
from edgeai_repro.edge.manifest import PROBES, BundledModel, InputSpec, ModelEntry
from edgeai_repro.edge.model_source import PRUNED, ModelSource, random_source
from edgeai_repro.edge.model_source import read_source as read_source
from edgeai_repro.edge.static_int8 import Calibration, random_calibration
from edgeai_repro.edge.user_images import TestImages
from edgeai_repro.errors import MissingRequirement, UserError, one_line
from edgeai_repro.evidence import environment

log = logging.getLogger(__name__)
Images = NDArray[np.uint8]
TARGET = 0.8  # default share of hidden channels to prune
PROBE_COUNT = 8  # random images, and as many of the test split if there are data
OWN_PROBES = 4  # the same for images of any size, which may be large
DENSE: tuple[BundledModel, ...] = ("fp32", "int8", "static-int8")
PRUNED_VARIANTS: tuple[BundledModel, ...] = ("pruned", "pruned-int8", "pruned-static-int8")


def build(
    source: ModelSource,
    folder: Path,
    *,
    dense: ModelSource | None = None,
    target: float,
    test_split: bool = False,
    images: TestImages | None = None,
    labels: tuple[str, ...] | None = None,
    calibration: Calibration | Problem | None = None,
) -> Bundle:
    """Write the bundle of a network into a new folder: fp32, int8 and static int8, each dense and pruned.

    A dense source is pruned to `target`, without training. A pruned source needs a dense model: `dense`, or by
    default one with random weights. Random weights take the same time; the manifest marks them, and their accuracy
    isn't measured. `images` are test images that the bundle holds, `labels` the names of the classes.

    Static int8 is calibrated on the images of `calibration`; without any, a ConvNeXt has no static int8, and any
    other network is calibrated on random images. If there is a problem with them, static int8 is left out. A
    ConvNeXt has all its other variants or no bundle. Of any other network a variant that can't be made, or whose
    outputs are wrong, is left out with a warning; the manifest has the reason.

    Raises UserError if `dense` doesn't fit, the folder exists, or the outputs of an exported model differ from
    torch's, and MissingRequirement if the test split is wanted and there are no data.
    """
    spec = _input(source)
    problems: dict[BundledModel, str] = {}
    families = list(_families(source, dense, target, problems))
    if calibration is None and not source.is_convnext:
        calibration = random_calibration(source.resolution)
    if isinstance(calibration, Problem):
        for variant in (DENSE[-1], PRUNED_VARIANTS[-1]):
            _leave_out(problems, variant, calibration.reason)
        calibration = None
    split = cifar.load_arrays(cifar.data_folder(), "test") if test_split else None
    probes = _cifar_probes() if source.is_convnext else _probes(source.resolution, images)

    def fill(folder: Path) -> dict[str, Any]:
        np.save(folder / PROBES, probes)
        models: dict[BundledModel, ModelEntry] = {}
        for variants, model in tqdm(families, disable=None, desc=f"bundle of {source.name}", leave=False):
            exporter = VariantExporter(model, variants, folder, probes, spec, calibration)
            for variant, made in exporter.export():
                if isinstance(made, Problem):
                    _leave_out(problems, variant, made.reason)
                else:
                    models[variant] = made
        if images is not None:
            np.save(folder / bundle.OWN_IMAGES, images.images)
            np.save(folder / bundle.OWN_CLASSES, images.classes)
        return {
            "model": source.name,
            "num_classes": source.num_classes,
            "stem_stride": source.stem_stride,
            "input": spec,
            "models": models,
            "data_sha256": None if split is None else _write_split(folder, *split),
            "labels": labels,
            "left_out": problems,
            "versions": _versions(),
        }

    return bundle.load(bundle.write(folder, fill))


def _input(source: ModelSource) -> InputSpec:
    shape = (1, 3, source.resolution, source.resolution)
    return InputSpec(name=export.INPUT, shape=shape, mean=source.mean, std=source.std)


def _families(
    source: ModelSource, dense: ModelSource | None, target: float, problems: dict[BundledModel, str]
) -> Iterator[tuple[tuple[BundledModel, ...], ModelSource]]:
    """Yield the dense and the pruned source of a bundle, each with the names of its variants."""
    if source.is_convnext:
        dense, pruned = _dense_and_pruned(source, dense, target)
        yield from ((DENSE, dense), (PRUNED_VARIANTS, pruned))
        return
    if dense is not None:
        raise UserError(f"'--dense' must go with a pruned ConvNeXt (got {source.name}); leave it out")
    yield DENSE, source
    try:
        yield PRUNED_VARIANTS, _pruned(source, target)
    except Exception as error:  # the libraries that prune may raise anything for a stranger's network
        for variant in PRUNED_VARIANTS:
            problems[variant] = one_line(error)
        log.warning("%s: left out: %s", ", ".join(PRUNED_VARIANTS), one_line(error))


def _dense_and_pruned(
    source: ModelSource, dense: ModelSource | None, target: float
) -> tuple[ModelSource, ModelSource]:
    """Return the dense and the pruned source of a ConvNeXt's bundle."""
    if source.technique == UNCOMPRESSED:
        if dense is not None:
            raise UserError("'--dense' must go with a pruned model (got a dense one); leave it out")
        return source, _pruned(source, target)
    if dense is None:
        log.warning("fp32 and int8 get random weights, so only their time can be measured; --dense names others")
        dense = random_source(source.name, like=source)
    if dense.technique != UNCOMPRESSED or dense.format != source.format:
        raise UserError(
            f"'--dense' must be an unpruned {source.format} (got {dense.technique} of {dense.format}); name another"
        )
    return dense, source


def _pruned(source: ModelSource, target: float) -> ModelSource:
    """Return a dense source after structured pruning, without training."""
    if isinstance(source.network, OnnxNetwork):
        raise UserError("an ONNX file can't be pruned; bundle the network in torch that it was exported from")
    settings = {"target": target}
    inputs = None if source.is_convnext else (torch.zeros(1, 3, source.resolution, source.resolution),)
    network = apply(source.network, PRUNED, settings, inputs=inputs)
    return replace(source, network=network, technique=PRUNED, settings=settings)


def _leave_out(problems: dict[BundledModel, str], variant: BundledModel, reason: str) -> None:
    problems[variant] = reason
    log.warning("%s: left out: %s", variant, reason)


def _probes(side: int, images: TestImages | None) -> Images:
    """Return the images to check outputs on, uint8 (n, 3, side, side): random ones, and some of `images`."""
    random = np.random.default_rng(0).integers(0, 256, (OWN_PROBES, 3, side, side), dtype=np.uint8)
    return random if images is None else np.concatenate([random, images.images[:OWN_PROBES]])


def _cifar_probes() -> Images:
    """Return the images that a ConvNeXt's outputs are checked on, uint8 (n, 3, 32, 32)."""
    random = np.random.default_rng(0).integers(0, 256, (PROBE_COUNT, 3, cifar.SIDE, cifar.SIDE), dtype=np.uint8)
    try:
        real, _ = cifar.load_arrays(cifar.data_folder(), "test")
    except MissingRequirement as missing:
        log.info("outputs are checked on random images only: %s", missing)
        return random
    return np.concatenate([random, real[:PROBE_COUNT]])


def _write_split(folder: Path, images: Images, labels: Images) -> str:
    """Write the test split into a bundle's folder and return its sha256."""
    from edgeai_repro.data.packing import mosaic

    (folder / bundle.TEST_IMAGES).write_bytes(mosaic(images))
    np.save(folder / bundle.TEST_LABELS, labels)
    return cifar.arrays_sha256(images, labels)


def _versions() -> dict[str, str]:
    packages = environment.versions("edgeai-repro", "onnx", "onnxruntime", "torch", "torchvision")
    return {"python": platform.python_version(), **packages}
