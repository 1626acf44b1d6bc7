"""The rows of an audit for ONNX Runtime: a network as a bundle would hold it, in fp32 and in static int8."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from edgeai_repro.audit.rows import Inputs, output_error, outputs_of
from edgeai_repro.audit.schema import FP32_PRODUCT, INT8_PRODUCT, ReportedAndActual, Row
from edgeai_repro.edge.any_network import network_source
from edgeai_repro.edge.export_variants import Problem, VariantExporter
from edgeai_repro.edge.images import prepare
from edgeai_repro.edge.manifest import BundledModel, Counts, InputSpec, ModelEntry
from edgeai_repro.edge.runtime import Network
from edgeai_repro.edge.static_int8 import Calibration, random_calibration
from edgeai_repro.edge.user_images import read_calibration
from edgeai_repro.errors import UserError, one_line

DENSE: tuple[BundledModel, ...] = ("fp32", "int8", "static-int8")
PRUNED: tuple[BundledModel, ...] = ("pruned", "pruned-int8", "pruned-static-int8")
PROBES = 4


def deployed_rows(
    name: str,
    network: nn.Module,
    pruned: nn.Module | None,
    inputs: Inputs,
    *,
    calibrate: Path | None,
    threads: int,
) -> Iterator[tuple[Row, nn.Module | None]]:
    """Yield a row for each variant of a network in ONNX Runtime, with a module that runs it; None if that failed.

    `pruned` is the structurally pruned network, None if it can't be pruned. `inputs` are those of the audit; a file
    takes one RGB image of the same size. Static int8 is calibrated on random images unless `calibrate` names a
    folder of images. Each file is compared with torch, as in a bundle. The error of the outputs is that on random
    images of 8 bits, because values that no image has would be cut.
    """
    try:
        dense = network_source(name, network, resolution=1, inputs=inputs)
    except UserError as error:
        yield Row(technique=_technique(DENSE[0]), problem=str(error)), None
        return
    side = dense.resolution
    calibration: Calibration | None = None
    try:
        calibration = random_calibration(side) if calibrate is None else read_calibration(calibrate, side)
    except UserError as error:  # the other variants need no images
        yield Row(technique=_technique(DENSE[-1]), problem=str(error)), None
    probes = np.random.default_rng(0).integers(0, 256, (PROBES, 3, side, side), dtype=np.uint8)
    spec = InputSpec(name="image", shape=(1, 3, side, side), mean=dense.mean, std=dense.std)
    images = torch.from_numpy(prepare(probes, spec))
    expected = [tensor for image in images for tensor in outputs_of(network, (image[None],)) or ()]
    for variants, model in ((DENSE, network), (PRUNED, pruned)):
        if model is None:
            continue
        with tempfile.TemporaryDirectory() as folder:
            start = time.perf_counter()
            try:
                source = network_source(name, model, resolution=side)
                exporter = VariantExporter(source, variants, Path(folder), probes, spec, calibration)
                for variant, made in exporter.export():
                    seconds = round(time.perf_counter() - start, 3)
                    if isinstance(made, Problem):
                        yield Row(technique=_technique(variant), problem=made.reason, seconds=seconds), None
                    else:
                        row = _row(variant, made, expected, Path(folder), seconds)
                        yield row, OnnxRuntimeModule(Path(folder) / made.file, spec, threads)
                    start = time.perf_counter()
            except Exception as error:  # the user's model may raise anything
                yield Row(technique=_technique(variants[0]), problem=one_line(error)), None


class OnnxRuntimeModule(nn.Module):
    """A file in ONNX Runtime as a module of torch, so that it is timed like the others."""

    def __init__(self, path: Path, spec: InputSpec, threads: int) -> None:
        super().__init__()
        self._network = Network(path, spec, threads=threads)

    def forward(self, image: Tensor) -> Tensor:
        """Return the logits."""
        return torch.from_numpy(self._network(image.numpy()))

    def __deepcopy__(self, memo: dict[int, Any]) -> OnnxRuntimeModule:
        """Return the module itself: a session can't be copied, and running it changes nothing."""
        return self


def _technique(variant: BundledModel) -> str:
    return f"onnxruntime {variant.replace('-', ' ')}"


def _row(variant: BundledModel, made: ModelEntry, expected: list[Tensor], folder: Path, seconds: float) -> Row:
    static, counted = made.static_int8, made.counts
    notes = {}
    if static is not None:
        notes = {"calibration": static.calibration, "in fp32": ", ".join(static.fp32_operators) or "nothing"}
    return Row(
        technique=_technique(variant),
        notes=notes,
        parameters=ReportedAndActual(reported=None, actual=counted.parameters),
        macs=ReportedAndActual(reported=None, actual=counted.macs),
        bit_operations=counted.bit_operations,
        fp32_macs=_fp32_macs(counted),
        output_error=output_error([torch.tensor([logits]) for logits in made.expected], expected),
        bytes=sum((folder / name).stat().st_size for name in made.files),
        seconds=seconds,
    )


def _fp32_macs(counted: Counts) -> int:
    """Return the MACs of 32 × 32 bits; all others of such a file are of 8 × 8 bits."""
    return (counted.bit_operations - INT8_PRODUCT * counted.macs) // (FP32_PRODUCT - INT8_PRODUCT)
