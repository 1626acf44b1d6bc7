"""Audits an ONNX file: counts its weights and the multiply-accumulates of its operators, and times it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgeai_repro.audit.latency import Call, time_models
from edgeai_repro.audit.schema import Audit, ReportedAndActual, Row
from edgeai_repro.claims.registry import UNCOMPRESSED
from edgeai_repro.edge.runtime import open_session
from edgeai_repro.errors import UserError, one_line
from edgeai_repro.evidence import environment
from edgeai_repro.measure.latency.threads import usable_cores
from edgeai_repro.networks.variants import IMAGENET_RESOLUTION

# By operator, the index of the input that the first one is multiplied with (in attention, an activation).
FACTOR_INPUT = {
    "Conv": 1,
    "ConvInteger": 1,
    "QLinearConv": 3,
    "Gemm": 1,
    "MatMul": 1,
    "MatMulInteger": 1,
    "QLinearMatMul": 3,
}
INT8_OPERATORS = ("ConvInteger", "QLinearConv", "MatMulInteger", "QLinearMatMul")
RENAMING_OPERATORS = ("DequantizeLinear", "Identity", "Cast", "Transpose", "Reshape")  # the zeros stay zeros
Array = npt.NDArray[Any]


@dataclass(frozen=True)
class _Work:
    """The work of one operator: MACs, the fraction of its weights that isn't 0, and bits × bits of a product."""

    macs: int
    nonzero_fraction: float
    bits: int


def audit_file(path: Path, *, latency: bool = True, threads: int | None = None) -> Audit:
    """Return the audit of an ONNX file: a single row, because no technique here compresses ONNX files.

    With `latency`, the file is timed in ONNX Runtime with `threads` (None: one per usable core). The reported
    parameters are all values of the initializers; the actual ones leave out shapes, scales and zero points. MACs
    are for one image. The row says how many operators are left out because their shape is unknown. Raises
    UserError if the file can't be read or is not an ONNX model, and if the package `onnx` isn't installed.
    """
    model = _read(path)
    graph = model.graph
    arrays = _initializers(graph)
    weights = [array for array in arrays.values() if array.ndim > 1 or array.dtype.kind == "f"]
    resolution = _fix_input_shapes(graph)
    shapes, originals = _known_shapes(model), _original_names(graph)
    operators = [node for node in graph.node if node.op_type in FACTOR_INPUT]
    work = [done for node in operators if (done := _work(node, shapes, arrays, originals)) is not None]
    threads = threads or usable_cores()
    problems, measured = [], None
    if unknown := len(operators) - len(work):
        problems.append(f"{unknown} of {len(operators)} operators have an unknown shape; their MACs are left out")
    if latency:
        try:
            measured, _ = time_models(_runner(path, graph, threads), {})
        except Exception as error:  # the user's model may raise anything
            problems.append(f"can't be timed: {one_line(error)}")
    row = Row(
        technique=UNCOMPRESSED,
        parameters=ReportedAndActual(
            reported=sum(array.size for array in arrays.values()), actual=sum(array.size for array in weights)
        ),
        nonzero_parameters=sum(int(np.count_nonzero(array)) for array in weights),
        macs=ReportedAndActual(reported=None, actual=sum(done.macs for done in work)),
        nonzero_macs=sum(round(done.macs * done.nonzero_fraction) for done in work),
        bit_operations=sum(done.macs * done.bits for done in work),
        bytes=_total_bytes(path, graph),
        latency=measured,
        problem="; ".join(problems) or None,
    )
    return Audit(
        model=path.name,
        source="an ONNX file",
        resolution=resolution,
        shares={},
        rows=[row],
        warnings=[],
        environment=environment.describe().model_copy(update={"threads": threads}),
    )


def _read(path: Path) -> Any:
    try:
        import onnx
    except ModuleNotFoundError:
        raise UserError(f"{path}: the package onnx, which reads it, is missing; pip install onnx") from None
    try:
        model = onnx.load(path)
        onnx.checker.check_model(model, full_check=False)
    except OSError as error:
        raise UserError(f"{path}: must be a readable file (got {error.strerror}); check the path") from None
    except Exception as error:  # protobuf's and onnx's own errors have no common base
        raise UserError(f"{path}: must be an ONNX model (got {one_line(error)}); export it again") from None
    return model


def _initializers(graph: Any) -> dict[str, Array]:
    from onnx.numpy_helper import to_array

    return {tensor.name: to_array(tensor) for tensor in graph.initializer}


def _total_bytes(path: Path, graph: Any) -> int:
    """Return the size of the file and of the files next to it that hold its tensors."""
    external = {
        entry.value for tensor in graph.initializer for entry in tensor.external_data if entry.key == "location"
    }
    return sum(file.stat().st_size for file in [path, *(path.parent / name for name in sorted(external))])


def _model_inputs(graph: Any) -> list[Any]:
    """Return the inputs that aren't initializers."""
    known = {tensor.name for tensor in graph.initializer}
    return [value for value in graph.input if value.name not in known]


def _fix_input_shapes(graph: Any) -> int:
    """Fix the input shapes: batch 1, and 224 pixels if the side is dynamic. Return the side."""
    side = IMAGENET_RESOLUTION
    for value in _model_inputs(graph):
        for axis, dim in enumerate(value.type.tensor_type.shape.dim):
            if axis == 0 or not dim.dim_value:
                dim.dim_value = 1 if axis == 0 else IMAGENET_RESOLUTION
            side = dim.dim_value if axis > 1 else side
    del graph.value_info[:]  # the exporter's entries may still have the dynamic shapes
    return side


def _runner(path: Path, graph: Any, threads: int) -> Call:
    """Return a callable that runs the file on a random image (other inputs are zeros); run it once first."""
    from onnx.helper import tensor_dtype_to_np_dtype

    session = open_session(path, threads)
    draw, feed = np.random.default_rng(0).standard_normal, {}
    for value in _model_inputs(graph):
        shape = [dim.dim_value for dim in value.type.tensor_type.shape.dim]
        dtype = tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
        feed[value.name] = (draw(shape) if dtype.kind == "f" else np.zeros(shape)).astype(dtype)

    def run() -> object:
        return session.run(None, feed)

    run()
    return run


def _known_shapes(model: Any) -> dict[str, tuple[int, ...]]:
    """Return the shapes that are fully known, by the names of the values."""
    import onnx

    graph = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    shapes = {}
    for value in [*graph.value_info, *graph.output, *graph.input]:
        dims = [dim.dim_value for dim in value.type.tensor_type.shape.dim]
        if dims and all(dims):
            shapes[value.name] = tuple(dims)
    return shapes


def _original_names(graph: Any) -> dict[str, str]:
    """Return the input's name by the output's name, for operators that only convert or reshape."""
    return {node.output[0]: node.input[0] for node in graph.node if node.op_type in RENAMING_OPERATORS}


def _work(
    node: Any, shapes: Mapping[str, tuple[int, ...]], arrays: Mapping[str, Array], originals: Mapping[str, str]
) -> _Work | None:
    """Return the work of an operator; None if a shape is unknown."""
    name = original = node.input[FACTOR_INPUT[node.op_type]]
    while original in originals and original not in arrays:
        original = originals[original]
    weight = arrays.get(original)
    factor = arrays[name].shape if name in arrays else shapes.get(name)
    out = shapes.get(node.output[0])
    if factor is None or out is None:
        return None
    if "Conv" in node.op_type:
        macs_per_output = math.prod(factor[1:])  # one filter's weights
    else:
        macs_per_output = math.prod(factor) // (math.prod(factor[:-2]) * out[-1])
    nonzero = 1.0 if weight is None else np.count_nonzero(weight) / weight.size
    bits = 8 * 8 if node.op_type in INT8_OPERATORS else 32 * 32
    return _Work(math.prod(out) * macs_per_output, float(nonzero), bits)
