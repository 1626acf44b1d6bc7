"""Small ONNX files: valid ones, and ones that lie in ways that changed bytes hardly come upon."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def _graph(nodes: list[Any], arrays: dict[str, Any], sides: list[Any] | None = None, **options: Any) -> bytes:
    answer = options.pop("answer", [1, 4, 6, 6])
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, sides or [1, 3, 8, 8])],
        [helper.make_tensor_value_info("answer", TensorProto.FLOAT, answer)]
        if options.pop("outputs", True)
        else [],
        [numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )
    options = {
        "opset_imports": [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)],
        "ir_version": 9,
    } | options
    return helper.make_model(graph, **options).SerializeToString()


def onnx_models() -> list[bytes]:
    """Return small ONNX files: valid ones, and ones that lie in a way that bytes hardly come upon."""
    filters, dense = np.ones((4, 3, 3, 3), np.float32), np.ones((4, 4), np.float32)
    node = helper.make_node
    usual = [
        node("Conv", ["image", "filters"], ["maps"]),
        node("GlobalAveragePool", ["maps"], ["pooled"]),
        node("Reshape", ["pooled", "shape"], ["row"]),
        node("Gemm", ["row", "dense"], ["answer"], transB=1),
    ]
    arrays = {"filters": filters, "dense": dense, "shape": np.array([1, 4])}
    opset = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    calling = [
        helper.make_function("own", name, ["x"], ["y"], [node(other, ["x"], ["y"], domain="own")], opset)
        for name, other in (("A", "B"), ("B", "A"))
    ]
    quantized = [
        node("DequantizeLinear", ["q", "scale", "zero"], ["filters"], axis=0),
        node("Conv", ["image", "filters"], ["answer"]),
    ]
    q = {"q": np.ones((4, 3, 3, 3), np.int8), "scale": np.ones(4, np.float32), "zero": np.zeros(4, np.int8)}
    lying = onnx.ModelProto.FromString(_graph(usual, arrays, answer=[1, 4]))
    for index, dims in enumerate(([2**20, 2**20], [-1, 4], [2**62, 4])):
        lying.graph.initializer[index].dims[:] = dims
    external = onnx.ModelProto.FromString(_graph(usual, arrays, answer=[1, 4]))
    tensor = external.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", "../../../etc/passwd"), ("offset", "99999999"), ("length", "x")):
        tensor.external_data.add(key=key, value=value)
    return [
        _graph(usual, arrays, answer=[1, 4]),
        _graph(quantized, q),
        _graph([node("Mystery", ["image"], ["answer"], domain="own")], {}, answer=list("abcd")),
        _graph(
            [node("MatMul", ["image", "image"], ["answer"])], {}, [1, 3, 2**31, 2**31], answer=["a", "b", "c", "d"]
        ),
        _graph(
            [node("Expand", ["image", "to"], ["answer"])],
            {"to": np.array([2**20, 3, 2**10, 2**10])},
            [1, 3, 1, 1],
            answer=list("abcd"),
        ),
        _graph([node("ConstantOfShape", ["to"], ["answer"])], {"to": np.array([2**45])}, answer=["a"]),
        _graph(usual, arrays, outputs=False),
        _graph([node("A", ["image"], ["answer"], domain="own")], {}, functions=calling),
        _graph([], {}),
        _graph([node("Identity", ["b"], ["a"]), node("Identity", ["a"], ["b"])], {}),
        _graph([node("Einsum", ["image", "image"], ["answer"], equation="\xff->")], {}, answer=[]),
        _graph([node("Gemm", ["image"], ["answer"])], {}),
        _graph([node("LSTM", ["image", "dense", "dense"], ["answer"])], {"dense": dense}),
        lying.SerializeToString(),
        external.SerializeToString(),
        b"",
        b"\x08\x09",
    ]
