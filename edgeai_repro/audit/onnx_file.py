"""An ONNX file as it is: its weights, and the multiply-accumulates of the operators that use them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgeai_repro.audit.latency import timed
from edgeai_repro.audit.schema import Audit, ReportedAndActual, Row
from edgeai_repro.claims.registry import UNCOMPRESSED
from edgeai_repro.edge.runtime import open_session
from edgeai_repro.errors import UserError, one_line
from edgeai_repro.evidence import environment
from edgeai_repro.measure.latency.threads import usable_cores
from edgeai_repro.networks.variants import IMAGENET_RESOLUTION

# Which of an operator's inputs it multiplies the first with: the weight, in attention another activation.
FACTOR = {
    "Conv": 1,
    "ConvInteger": 1,
    "QLinearConv": 3,
    "Gemm": 1,
    "MatMul": 1,
    "MatMulInteger": 1,
    "QLinearMatMul": 3,
}
INTEGER = ("ConvInteger", "QLinearConv", "MatMulInteger", "QLinearMatMul")
ALIASES = ("DequantizeLinear", "Identity", "Cast", "Transpose", "Reshape")  # the same values under another name
Array = npt.NDArray[Any]


@dataclass(frozen=True)
class _Work:
    """What one operator computes: MACs, the share of its weights that isn't 0, and bits × bits of a product."""

    macs: int
    nonzero: float
    bits: int


def audit_file(path: Path, *, latency: bool = True, threads: int | None = None) -> Audit:
    """Return the audit of an ONNX file: one row, for no technique here compresses one.

    It is timed in ONNX Runtime with `threads` (None: one a usable core), unless without `latency`.

    Reported are all values of its initializers; actual are the weights among them, without shapes, scales and zero
    points. MACs are those of one image; what has no known shape is left out, and the row says so. Raises UserError
    where the file isn't there or isn't ONNX, or the package `onnx` is missing.
    """
    model = _read(path)
    graph = model.graph
    arrays = _arrays(graph)
    weights = [array for array in arrays.values() if array.ndim > 1 or array.dtype.kind == "f"]
    resolution = _fix_inputs(graph)
    shapes, aliases = _shapes(model), _aliases(graph)
    work = [_work(node, shapes, arrays, aliases) for node in graph.node if node.op_type in FACTOR]
    counted = [done for done in work if done is not None]
    missing = len(work) - len(counted)
    threads = threads or usable_cores()
    problems = []
    if missing:
        problems.append(f"{missing} of {len(work)} operators are of unknown shape: their MACs are left out")
    took = None
    if latency:
        try:
            took, _ = timed(_running(path, graph, threads), {})
        except Exception as error:  # of any kind, as it is anyone's model
            problems.append(f"can't be timed: {one_line(error)}")
    row = Row(
        technique=UNCOMPRESSED,
        parameters=ReportedAndActual(
            reported=sum(array.size for array in arrays.values()), actual=sum(array.size for array in weights)
        ),
        nonzero_parameters=sum(int(np.count_nonzero(array)) for array in weights),
        macs=ReportedAndActual(reported=None, actual=sum(done.macs for done in counted)),
        nonzero_macs=sum(round(done.macs * done.nonzero) for done in counted),
        bit_operations=sum(done.macs * done.bits for done in counted),
        bytes=_bytes(path, graph),
        latency=took,
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
        raise UserError(f"'onnx' must be installed to audit '{path}' (got none); pip install onnx") from None
    try:
        model = onnx.load(path)
        onnx.checker.check_model(model, full_check=False)
    except OSError as error:
        raise UserError(f"'{path}' must be a readable file (got {error.strerror}); check the path") from None
    except Exception as error:  # protobuf's and onnx's own, which share no base
        brief = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"'{path}' must be an ONNX model (got {brief}); export it again") from None
    return model


def _arrays(graph: Any) -> dict[str, Array]:
    """Return the initializers by their names."""
    from onnx.numpy_helper import to_array

    return {tensor.name: to_array(tensor) for tensor in graph.initializer}


def _bytes(path: Path, graph: Any) -> int:
    """Return the size of the file, and of those beside it that hold its tensors."""
    beside = {
        entry.value for tensor in graph.initializer for entry in tensor.external_data if entry.key == "location"
    }
    return sum(file.stat().st_size for file in [path, *(path.parent / name for name in sorted(beside))])


def _fix_inputs(graph: Any) -> int:
    """Give one image, and where they are open ImageNet's side, as the shape of the inputs; return the side."""
    known = {tensor.name for tensor in graph.initializer}
    side = IMAGENET_RESOLUTION
    for value in graph.input:
        if value.name not in known:
            for axis, dim in enumerate(value.type.tensor_type.shape.dim):
                if axis == 0 or not dim.dim_value:
                    dim.dim_value = 1 if axis == 0 else IMAGENET_RESOLUTION
                side = dim.dim_value if axis > 1 else side
    del graph.value_info[:]  # the exporter's own may hold the open shapes
    return side


def _running(path: Path, graph: Any, threads: int) -> Callable[[], object]:
    """Return what has ONNX Runtime answer a generated image, after it has done so once; other inputs are zeros."""
    from onnx.helper import tensor_dtype_to_np_dtype

    session = open_session(path, threads)
    known = {tensor.name for tensor in graph.initializer}
    values, feed = np.random.default_rng(0).standard_normal, {}
    for value in graph.input:
        if value.name not in known:
            shape = [dim.dim_value for dim in value.type.tensor_type.shape.dim]
            dtype = tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
            feed[value.name] = (values(shape) if dtype.kind == "f" else np.zeros(shape)).astype(dtype)

    def answer() -> object:
        return session.run(None, feed)

    answer()
    return answer


def _shapes(model: Any) -> dict[str, tuple[int, ...]]:
    """Return the shapes that are known in full, by the names of the values."""
    import onnx

    graph = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    shapes = {}
    for value in [*graph.value_info, *graph.output, *graph.input]:
        dims = [dim.dim_value for dim in value.type.tensor_type.shape.dim]
        if dims and all(dims):
            shapes[value.name] = tuple(dims)
    return shapes


def _aliases(graph: Any) -> dict[str, str]:
    """Return under which other name the values of an operator's output stand, where it only recasts them."""
    return {node.output[0]: node.input[0] for node in graph.node if node.op_type in ALIASES}


def _work(
    node: Any, shapes: Mapping[str, tuple[int, ...]], arrays: Mapping[str, Array], aliases: Mapping[str, str]
) -> _Work | None:
    """Return what an operator computes; None where a shape isn't known."""
    name = original = node.input[FACTOR[node.op_type]]
    while original in aliases and original not in arrays:
        original = aliases[original]
    weight = arrays.get(original)
    factor = arrays[name].shape if name in arrays else shapes.get(name)
    out = shapes.get(node.output[0])
    if factor is None or out is None:
        return None
    if "Conv" in node.op_type:
        inner = math.prod(factor[1:])  # each output value: one filter's weights
    else:
        inner = math.prod(factor) // (math.prod(factor[:-2]) * out[-1])
    nonzero = 1.0 if weight is None else np.count_nonzero(weight) / weight.size
    return _Work(math.prod(out) * inner, float(nonzero), 8 * 8 if node.op_type in INTEGER else 32 * 32)
