"""Reads an ONNX file: fixes the shapes of its inputs, and finds the shape and the type of every value."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from edgeai_repro import limits
from edgeai_repro.errors import UserError, one_line
from edgeai_repro.extras import how_to_install
from edgeai_repro.files import file_size
from edgeai_repro.measure.onnx_graph import Array, Graph, Value
from edgeai_repro.networks.variants import IMAGENET_RESOLUTION

_PACKED = re.compile(r"(?:INT|FLOAT)([24])(?!\d)")  # in the name of a type with several values in a byte
LONGEST_SEQUENCE = 128  # tokens, if a side of an input with fewer than four dimensions is free


def read(path: Path) -> Any:
    """Return a file as onnx.ModelProto, with the functions that it defines written out.

    Raises UserError if it can't be read or isn't an ONNX model, and if the package onnx isn't installed.
    """
    try:
        import onnx
        import onnx.inliner
    except ModuleNotFoundError:
        raise UserError(f"{path}: the package onnx, which reads it, is missing; {how_to_install('onnx')}") from None
    _check_file(path)
    with refusing(path):
        model = onnx.load(path, format="protobuf")
        _check_functions(model)
        onnx.checker.check_model(model, full_check=False)
        _check_tensors(model)
        if not model.graph.output:
            raise ValueError("it has no outputs")
        return onnx.inliner.inline_local_functions(model) if model.functions else model


def _check_file(path: Path) -> None:
    """Raise UserError unless a path is that of a file that is small enough to be read."""
    try:
        size = file_size(path)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = getattr(error, "strerror", None) or one_line(error)
        raise UserError(f"{path}: must be a readable file (got {reason}); check the path") from None
    if size > limits.WEIGHT_BYTES:
        raise UserError(f"{path}: must have at most {limits.WEIGHT_BYTES} bytes (got {size}); name a smaller model")


@contextmanager
def refusing(path: Path) -> Iterator[None]:
    """Raise UserError for any error of the block, which works with what an ONNX file holds."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # the errors of protobuf, onnx and NumPy have no common base
        raise UserError(f"{path}: must be an ONNX model (got {one_line(error)}); export it again") from None


def _check_functions(model: Any) -> None:
    """Raise ValueError if a function calls itself, also by others: writing it out would never end."""
    calls = {
        (function.domain, function.name): {(node.domain, node.op_type) for node in function.node}
        for function in model.functions
    }
    while free := [name for name, called in calls.items() if not called & calls.keys()]:
        for name in free:
            del calls[name]
    if calls:
        raise ValueError(f"the function {'::'.join(min(calls))} calls itself")


def _check_tensors(model: Any) -> None:
    """Raise ValueError if a constant tensor has another number of values than its shape says."""
    from onnx import TensorProto
    from onnx.helper import tensor_dtype_to_np_dtype

    constants = (
        attribute.t for node in model.graph.node for attribute in node.attribute if attribute.HasField("t")
    )
    for tensor in chain(model.graph.initializer, constants):
        values = math.prod(tensor.dims)
        if min(tensor.dims, default=0) < 0:
            raise ValueError(f"the tensor {tensor.name!r} has the shape {list(tensor.dims)}")
        if tensor.data_type == TensorProto.STRING or not tensor.HasField("raw_data"):
            continue
        packed = _PACKED.search(TensorProto.DataType.Name(tensor.data_type))
        bits = int(packed[1]) if packed else 8 * tensor_dtype_to_np_dtype(tensor.data_type).itemsize
        if len(tensor.raw_data) != -(-values * bits // 8):
            got = f"{len(tensor.raw_data)} bytes for {list(tensor.dims)} values of {bits} bits"
            raise ValueError(f"the tensor {tensor.name!r} has {got}")


def fix_input_shapes(graph: Any) -> int:
    """Give every input a fixed shape, with a batch of 1, and return the last side.

    A free side of an image is 224 pixels, one of any other input 128 steps. Raises ValueError for an input that is
    too large.
    """
    side = IMAGENET_RESOLUTION
    for value in model_inputs(graph):
        dims = value.type.tensor_type.shape.dim
        for axis, dim in enumerate(dims):
            if axis == 0 or not dim.dim_value:
                free = IMAGENET_RESOLUTION if len(dims) > 3 else LONGEST_SEQUENCE
                dim.dim_value = 1 if axis == 0 else free
            side = dim.dim_value if axis > 1 else side
        size = math.prod(dim.dim_value for dim in dims)
        if not 0 < size <= limits.INPUT_VALUES:
            raise ValueError(f"the input {value.name!r} has {size:,} values, more than {limits.INPUT_VALUES:,}")
    del graph.value_info[:]  # the exporter's entries may still have the dynamic shapes
    return side


def model_inputs(graph: Any) -> list[Any]:
    """Return the inputs that aren't initializers."""
    known = {tensor.name for tensor in graph.initializer}
    return [value for value in graph.input if value.name not in known]


def random_feed(graph: Any) -> dict[str, Array]:
    """Return a random input for each float, and zeros for all others, of fixed shapes."""
    from onnx.helper import tensor_dtype_to_np_dtype

    draw, feed = np.random.default_rng(0).standard_normal, {}
    for value in model_inputs(graph):
        shape = [dim.dim_value for dim in value.type.tensor_type.shape.dim]
        dtype = tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
        feed[value.name] = (draw(shape) if dtype.kind == "f" else np.zeros(shape)).astype(dtype)
    return feed


def to_graph(model: Any) -> Graph:
    """Return the graph of a model whose inputs have fixed shapes.

    Shapes come from onnx's inference. If it leaves some open, as it does after operators of other domains, the
    model runs once in ONNX Runtime, if that is installed and can run it.
    """
    from onnx.numpy_helper import to_array

    arrays = {tensor.name: to_array(tensor) for tensor in model.graph.initializer}
    values = _inferred(model)
    outputs = {output for node in model.graph.node for output in node.output if output}
    if outputs - values.keys() and not takes_too_much(values):
        values = {**_observed(model), **values}
    return Graph.of(list(model.graph.node), arrays, values)


def takes_too_much(values: Mapping[str, Value]) -> bool:
    """Return whether the values of a graph together take more memory than a file of weights may have."""
    return sum(math.prod(value.shape) * value.bits for value in values.values()) > 8 * limits.WEIGHT_BYTES


def _inferred(model: Any) -> dict[str, Value]:
    """Return the values whose shape onnx infers."""
    import onnx
    from onnx.helper import tensor_dtype_to_np_dtype

    graph = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    values = {}
    for value in [*graph.value_info, *graph.output, *graph.input]:
        tensor = value.type.tensor_type
        dims = [dim.dim_value for dim in tensor.shape.dim]
        if tensor.elem_type and tensor.HasField("shape") and all(dims):
            values[value.name] = Value(tuple(dims), tensor_dtype_to_np_dtype(tensor.elem_type).itemsize * 8)
    return values


def _observed(model: Any) -> Mapping[str, Value]:
    """Return all values of a run in ONNX Runtime without its optimizations; none if it can't run the model."""
    try:
        import onnxruntime
    except ModuleNotFoundError:
        return {}
    from onnx import ModelProto, ValueInfoProto

    shown = ModelProto()
    shown.CopyFrom(model)
    known = {value.name for value in shown.graph.output}
    names = [name for node in shown.graph.node for name in node.output if name and name not in known]
    shown.graph.output.extend(ValueInfoProto(name=name) for name in names)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4  # only what ends the process
    try:
        session = onnxruntime.InferenceSession(
            shown.SerializeToString(), options, ["CPUExecutionProvider"], enable_fallback=0
        )
        outputs = session.run(None, random_feed(model.graph))
    except (
        Exception
    ):  # the only base class that onnxruntime's errors share; the shapes stay unknown, and are reported
        return {}
    arrays = zip((value.name for value in session.get_outputs()), outputs, strict=True)
    return {name: Value(array.shape, array.itemsize * 8) for name, array in arrays if isinstance(array, np.ndarray)}
