"""Exports a network in fp32, int8 and static int8, and compares the outputs of each file with torch's."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edgeai_repro.compress.techniques import apply
from edgeai_repro.edge import export, static_int8
from edgeai_repro.edge.any_network import OnnxNetwork
from edgeai_repro.edge.images import Floats, prepare
from edgeai_repro.edge.manifest import (
    TECHNIQUE_OF_VARIANT,
    BundledModel,
    Counts,
    InputSpec,
    ModelEntry,
    StaticInt8,
)
from edgeai_repro.edge.model_source import ModelSource
from edgeai_repro.edge.runtime import Network
from edgeai_repro.edge.simulated_int8 import dynamic_logits, static_logits
from edgeai_repro.edge.static_int8 import Calibration
from edgeai_repro.errors import UserError, one_line
from edgeai_repro.measure import counts

Images = NDArray[np.uint8]
Simulation = Callable[[nn.Module, Tensor], Tensor]
# Largest difference of a logit from torch's, relative to the largest logit. 1e-6 was observed with ConvNeXt-Small,
# torch 2.15 and ONNX Runtime 1.31.
FP32_TOLERANCE = 1e-4
# The root mean square of int8's errors may be this multiple of that of int8 simulated in torch. 0.7 to 1.1 was
# observed with eight networks and exact int8 products.
INT8_FACTOR = 2.0


@dataclass(frozen=True)
class Problem:
    """Why a variant could not be made, in one line."""

    reason: str


@dataclass(frozen=True)
class VariantExporter:
    """Exports the variants of one network into the folder of a bundle.

    `variants` are the names of the network in fp32, int8 and static int8, in this order. `probes` are the images
    that outputs are compared on. Without `calibration` there is no static int8.
    """

    source: ModelSource
    variants: Sequence[BundledModel]
    folder: Path
    probes: Images
    spec: InputSpec
    calibration: Calibration | None

    def export(self) -> Iterator[tuple[BundledModel, ModelEntry | Problem]]:
        """Write the files, and yield each variant's entry of the manifest, or its problem.

        Raises UserError if the dense fp32 file can't be made or differs from torch, and for a ConvNeXt if any file
        does. If the pruned fp32 file can't be made, the files that are made from it have the same problem.
        """
        fp32, int8, static = self.variants
        steps = {fp32: self._fp32, int8: self._int8}
        if self.calibration is not None:
            steps[static] = self._static
        for variant, step in steps.items():
            try:
                yield variant, step(variant)
            except Exception as error:  # exporters, quantizers and runtimes raise many types
                if self.source.is_convnext or (variant == "fp32" and isinstance(error, UserError)):
                    raise
                if variant == "fp32":
                    raise UserError(
                        f"{self.source.name!r} must run after its export (got {one_line(error)}); simplify it"
                    ) from error
                for path in (self._path(variant), export.weights_file(self._path(variant))):
                    path.unlink(missing_ok=True)
                yield variant, Problem(one_line(error))
                if variant == fp32:
                    yield from ((other, Problem(one_line(error))) for other in steps if other != fp32)
                    return

    def _fp32(self, variant: BundledModel) -> ModelEntry:
        path, network = self._path(variant), self.source.network
        if isinstance(network, OnnxNetwork):
            export.save(copy.deepcopy(network.model), path)  # it moves the weights out of the model
        else:
            export.export(network, path, resolution=self.source.resolution)
        logits = self._logits_of(path)
        _check(path, float(np.abs(logits - self._exact).max()), self._tolerance)
        return self._entry(variant, logits, self._counts_in_fp32)

    def _int8(self, variant: BundledModel) -> ModelEntry:
        path = self._path(variant)
        export.quantize(self._path(self.variants[0]), path)
        logits = self._check_int8(path, dynamic_logits)
        if not self.source.is_convnext:
            return self._entry(variant, logits, self._counts_of(path))
        quantized = _actual(apply(self.source.network, "dynamic_quantization"), self.source.resolution)
        return self._entry(variant, logits, quantized)

    def _static(self, variant: BundledModel) -> ModelEntry:
        assert self.calibration is not None
        path, inputs = self._path(variant), prepare(self.calibration.images, self.spec)
        static_int8.quantize(self._path(self.variants[0]), path, inputs)
        calibration = torch.from_numpy(inputs)
        logits = self._check_int8(path, lambda network, images: static_logits(network, images, calibration))
        work, in_fp32 = static_int8.work(path)
        if work.macs and work.fp32_macs == work.macs:
            raise UserError("no product can be computed in int8; leave the variant out")
        notes = StaticInt8(
            calibration=self.calibration.words,
            fp32_share=work.fp32_macs / work.macs,
            fp32_operators=static_int8.in_words(in_fp32),
        )
        return self._entry(variant, logits, self._counts_of(path)).model_copy(update={"static_int8": notes})

    def _check_int8(self, path: Path, simulate: Simulation) -> Floats:
        """Return the logits of an int8 file. Raises UserError unless they are about as exact as simulated int8.

        Of an ONNX file, torch can simulate nothing; its int8 file is compared with itself without optimizations.
        """
        network = self.source.network
        if isinstance(network, OnnxNetwork):
            expected = _one_by_one(OnnxNetwork(onnx.load(path), path), self._inputs)
        else:
            expected = simulate(network, self._inputs)
        logits = self._logits_of(path)
        allowed = self._tolerance + INT8_FACTOR * _rms(expected.numpy() - self._exact)
        _check(path, _rms(logits - self._exact), allowed)
        return logits

    def _entry(self, variant: BundledModel, logits: Floats, counted: Counts) -> ModelEntry:
        path = self._path(variant)
        return ModelEntry(
            file=path.name,
            weights=export.weights_file(path).name,
            technique=TECHNIQUE_OF_VARIANT[variant],
            settings=dict(self.source.settings),
            hidden_widths=self.source.hidden_widths,
            origin=self.source.origin,
            counts=counted,
            error=float(np.abs(logits - self._exact).max()),
            expected=tuple(tuple(row) for row in logits.tolist()),
        )

    @cached_property
    def _inputs(self) -> Tensor:
        return torch.from_numpy(prepare(self.probes, self.spec))

    @cached_property
    def _exact(self) -> Floats:
        """torch's logits in fp32, one image at a time."""
        return np.asarray(_one_by_one(self.source.network, self._inputs).numpy(), np.float32)

    @property
    def _tolerance(self) -> float:
        return FP32_TOLERANCE * float(np.abs(self._exact).max())

    @cached_property
    def _counts_in_fp32(self) -> Counts:
        if isinstance(self.source.network, OnnxNetwork):
            return self._counts_of(self._path(self.variants[0]))
        return _actual(self.source.network, self.source.resolution)

    def _counts_of(self, path: Path) -> Counts:
        """Return the work of a file, and the parameters of the network."""
        work, _ = static_int8.work(path)
        network = self.source.network
        onnx_file = isinstance(network, OnnxNetwork)
        parameters = network.parameter_count if onnx_file else self._counts_in_fp32.parameters
        return Counts(parameters=parameters, macs=work.macs, bit_operations=work.bit_operations)

    def _logits_of(self, path: Path) -> Floats:
        return Network(path, self.spec).predict(self.probes)

    def _path(self, variant: BundledModel) -> Path:
        return self.folder / f"{variant}.onnx"


def _check(path: Path, difference: float, allowed: float) -> None:
    """Raise UserError unless the difference from torch's logits is allowed; NaN isn't."""
    if not difference <= allowed:
        raise UserError(
            f"{path.name}: must give torch's logits to within {allowed:.1e} (got {difference:.1e}); "
            "keep branches and changes of state out of the forward, or try another version of onnxruntime"
        )


def _actual(network: nn.Module, resolution: int) -> Counts:
    actual = counts.actual(network, resolution)
    return Counts(parameters=actual.parameters, macs=actual.macs, bit_operations=actual.bit_operations)


@torch.inference_mode()
def _one_by_one(network: nn.Module, inputs: Tensor) -> Tensor:
    """Return the logits of prepared images (n, 3, h, w), one at a time."""
    return torch.cat([network(image[None]) for image in inputs])


def _rms(values: NDArray[np.floating]) -> float:
    return float(np.sqrt(np.mean(values.astype(np.float64) ** 2)))
