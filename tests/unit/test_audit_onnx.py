"""Audits of ONNX files: their weights, the work of their operators, and unknown shapes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from edgeai_repro.audit.audit import audit
from edgeai_repro.audit.schema import Audit, ReportedAndActual
from edgeai_repro.measure import counts
from edgeai_repro.networks import convnext
from edgeai_repro.networks.references import reference
from edgeai_repro.networks.resolve import build

pytestmark = pytest.mark.usefixtures("few_rounds")
FILTERS = np.ones((4, 3, 3, 3), np.float32)
DENSE = np.concatenate([np.ones((2, 4)), np.zeros((2, 4))]).astype(np.float32)


def save_onnx(path: Path, nodes: list[Any], arrays: dict[str, Any], *, sides: list[Any], out: list[Any]) -> Path:
    """Write a model with these operators, from `image` to `answer`, and return its path."""
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, sides)],
        [helper.make_tensor_value_info("answer", TensorProto.FLOAT, out)],
        [numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


@pytest.fixture
def convolution(tmp_path: Path) -> Path:
    """A convolution with 4 filters on 10 × 10 pixels, a pooling, and a 4 × 4 matrix, half of it zeros."""
    nodes = [
        helper.make_node("Conv", ["image", "filters"], ["maps"]),
        helper.make_node("GlobalAveragePool", ["maps"], ["pooled"]),
        helper.make_node("Reshape", ["pooled", "shape"], ["row"]),
        helper.make_node("Gemm", ["row", "dense"], ["answer"], transB=1),
    ]
    arrays = {"filters": FILTERS, "dense": DENSE, "shape": np.array([1, 4])}
    return save_onnx(tmp_path / "net.onnx", nodes, arrays, sides=["n", 3, 10, 10], out=["n", 4])


def test_weights_and_work_are_counted(convolution: Path) -> None:
    """Shapes count only as reported parameters, and zeros don't count as non-zero MACs."""
    result = audit(str(convolution), latency=False)
    row = result.uncompressed

    assert (result.source, result.resolution) == ("an ONNX file", 10)
    assert row.parameters == ReportedAndActual(reported=108 + 16 + 2, actual=108 + 16)
    assert row.nonzero_parameters == 108 + 8
    assert row.macs == ReportedAndActual(reported=None, actual=108 * 64 + 16)
    assert row.nonzero_macs == 108 * 64 + 8
    assert row.bit_operations == 1024 * (108 * 64 + 16)
    assert row.bytes == convolution.stat().st_size
    assert row.problem is None


def test_file_is_timed_in_onnx_runtime(convolution: Path) -> None:
    """The file is timed with the given number of threads, or only counted with `latency=False`."""
    result = audit(str(convolution), threads=1)

    assert result.environment.threads == 1
    assert result.uncompressed.latency is not None
    assert result.uncompressed.latency.milliseconds.value > 0
    assert result.uncompressed.latency.speedup is None
    assert audit(str(convolution), latency=False).uncompressed.latency is None


def test_passive_openmp_threads_do_not_matter(convolution: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ONNX Runtime has its own threads, so it is timed even with OMP_WAIT_POLICY=passive."""
    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")

    assert audit(str(convolution), threads=2).uncompressed.latency is not None


def test_int8_products_have_fewer_bits(tmp_path: Path) -> None:
    """An int8 product has 8 × 8 bits; products of two activations, as in attention, are work without weights."""
    nodes = [
        helper.make_node("DynamicQuantizeLinear", ["image"], ["q", "scale", "zero"]),
        helper.make_node("MatMulInteger", ["q", "weight", "zero"], ["product"]),
        helper.make_node("Cast", ["product"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("MatMul", ["floats", "floats"], ["answer"]),
    ]
    path = tmp_path / "int8.onnx"
    save_onnx(path, nodes, {"weight": np.ones((4, 4), np.int8)}, sides=[1, 3, 4, 4], out=[1, 3, 4, 4])
    row = audit(str(path), latency=False).uncompressed

    assert row.macs == ReportedAndActual(reported=None, actual=3 * 4 * 4 * 4 + 3 * 4 * 4 * 4)
    assert row.bit_operations == 3 * 64 * 64 + 3 * 64 * 1024


def test_operators_of_unknown_shape_are_left_out(tmp_path: Path) -> None:
    """After an unknown operator no shape is known; the row names the operators that are left out."""
    nodes = [
        helper.make_node("Strange", ["image"], ["odd"], domain="example.org"),
        helper.make_node("Conv", ["odd", "filters"], ["answer"]),
    ]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 10, 10])],
        [helper.make_tensor_value_info("answer", TensorProto.FLOAT, ["a", "b", "c", "d"])],
        [numpy_helper.from_array(FILTERS, "filters")],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("example.org", 1)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=9), tmp_path / "odd.onnx")
    row = audit(str(tmp_path / "odd.onnx")).uncompressed

    assert (row.problem or "").startswith(
        "1 × example.org::Strange has no rule; 1 × Conv has an unknown shape; the MACs are a lower bound; can't be"
    )
    assert row.latency is None
    assert row.parameters == ReportedAndActual(reported=108, actual=108)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_exported_model_has_the_macs_of_its_module(tmp_path: Path) -> None:
    """The ONNX file of ConvNeXt-Atto has as many MACs as the torch module."""
    path = tmp_path / "atto.onnx"
    model = convnext.build("convnext_atto")
    torch.onnx.export(model, (convnext.random_images(1),), path, dynamo=False)

    row = audit(str(path), latency=False).uncompressed

    assert row.problem is None
    assert row.macs is not None
    assert row.macs.actual == counts.actual(model).macs


def saved(
    path: Path, nodes: list[Any], arrays: dict[str, Any], out: list[int], *, sides: tuple[int, ...] = (1, 3, 8)
) -> Audit:
    """Return the audit of a file with these operators, from `image` to `answer`, with ONNX Runtime's domain."""
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, sides)],
        [helper.make_tensor_value_info("answer", TensorProto.FLOAT, out)],
        [numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )
    opsets = [helper.make_opsetid("", 23), helper.make_opsetid("com.microsoft", 1)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=10), path)
    return audit(str(path), latency=False)


def node(name: str, inputs: str, output: str = "answer", **attributes: Any) -> Any:
    """Return an operator; those of ONNX Runtime are written with a colon before the name."""
    domain = "com.microsoft" if name.startswith(":") else ""
    return helper.make_node(name.removeprefix(":"), inputs.split(" "), [output], domain=domain, **attributes)


def integers(*shape: int) -> Any:
    """Return random int8 weights without zeros."""
    return np.random.default_rng(0).integers(1, 127, shape).astype(np.int8)


def floats(*shape: int) -> Any:
    """Return random fp32 weights."""
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


SCALE, ZERO, UINT8_ZERO = np.float32(0.1), np.int8(0), np.uint8(0)
QUANTIZE = [node("QuantizeLinear", "image s z", "q")]
# By name: operators, weights, the output's shape, MACs, and bits × bits of a product. The image is 1 × 3 × 8.
FORMS: dict[str, tuple[list[Any], dict[str, Any], list[int], int, float]] = {
    "QDQ, weights in int8": (
        [
            *QUANTIZE,
            node("DequantizeLinear", "q s z", "x"),
            node("DequantizeLinear", "w s z", "weight"),
            node("MatMul", "x weight"),
        ],
        {"s": SCALE, "z": ZERO, "w": integers(8, 5)},
        [1, 3, 5],
        3 * 8 * 5,
        8 * 8,
    ),
    "only weights dequantized": (
        [node("DequantizeLinear", "w s z", "weight"), node("MatMul", "image weight")],
        {"s": SCALE, "z": ZERO, "w": integers(8, 5)},
        [1, 3, 5],
        3 * 8 * 5,
        8 * 32,
    ),
    "QOperator": (
        [
            *QUANTIZE,
            node("QLinearMatMul", "q s z w s z s z", "y"),
            node("DequantizeLinear", "y s z"),
        ],
        {"s": SCALE, "z": ZERO, "w": integers(8, 5)},
        [1, 3, 5],
        3 * 8 * 5,
        8 * 8,
    ),
    "DynamicQuantizeMatMul": (
        [node(":DynamicQuantizeMatMul", "image w s")],
        {"s": SCALE, "w": integers(8, 5)},
        [1, 3, 5],
        3 * 8 * 5,
        8 * 8,
    ),
    "FusedMatMul": (
        [node(":FusedMatMul", "image w", transB=1)],
        {"w": floats(5, 8)},
        [1, 3, 5],
        3 * 8 * 5,
        32 * 32,
    ),
    "MatMulNBits": (
        [node(":MatMulNBits", "image w s", K=8, N=5, bits=4, block_size=16)],
        {"s": np.ones(5, np.float32), "w": np.ones((5, 1, 8), np.uint8)},
        [1, 3, 5],
        3 * 8 * 5,
        4 * 32,
    ),
    "attention": (
        [node("Attention", "image image image", q_num_heads=2, kv_num_heads=2)],
        {},
        [1, 3, 8],
        2 * 3 * 3 * 8,
        32 * 32,
    ),
    "ONNX Runtime's attention": (
        [node(":Attention", "image w b", num_heads=2)],
        {"w": floats(8, 24), "b": floats(24)},
        [1, 3, 8],
        3 * 8 * 24 + 2 * 3 * 3 * 8,
        32 * 32,
    ),
    "MultiHeadAttention": (
        [node(":MultiHeadAttention", "image image image", num_heads=2)],
        {},
        [1, 3, 8],
        2 * 3 * 3 * 8,
        32 * 32,
    ),
    "Einsum": ([node("Einsum", "image w", equation="bij,jk->bik")], {"w": floats(8, 5)}, [1, 3, 5], 120, 32 * 32),
    "transposed convolution": (
        [node("ConvTranspose", "image w", strides=[2])],
        {"w": floats(3, 2, 4)},
        [1, 2, 18],
        8 * 3 * 2 * 4,
        32 * 32,
    ),
    "FusedConv": (
        [node(":FusedConv", "image w", activation="Relu")],
        {"w": floats(4, 3, 3)},
        [1, 4, 6],
        6 * 4 * 3 * 3,
        32 * 32,
    ),
    "LSTM": (
        [node("LSTM", "image w r", "sequence", hidden_size=4), node("Squeeze", "sequence axis")],
        {"w": floats(1, 16, 8), "r": floats(1, 16, 4), "axis": np.array([1])},
        [1, 3, 4],
        3 * 16 * (8 + 4),
        32 * 32,
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_each_form_has_its_macs_and_bits(form: str, tmp_path: Path) -> None:
    """Floats, QDQ, QOperator, attention and ONNX Runtime's own operators: MACs by closed forms."""
    nodes, arrays, out, macs, bits = FORMS[form]
    row = saved(tmp_path / "net.onnx", nodes, arrays, out).uncompressed

    assert row.macs == ReportedAndActual(reported=None, actual=macs)
    assert row.bit_operations == macs * bits
    assert row.problem is None


def test_qdq_graph_with_fp32_weights_is_warned_of(tmp_path: Path) -> None:
    """Weights that are quantized when the file runs take four bytes each; int8 weights don't."""
    fp32 = [
        *QUANTIZE,
        node("DequantizeLinear", "q s z", "x"),
        node("QuantizeLinear", "w s z", "wq"),
        node("DequantizeLinear", "wq s z", "weight"),
        node("MatMul", "x weight"),
    ]
    result = saved(tmp_path / "net.onnx", fp32, {"s": SCALE, "z": ZERO, "w": floats(8, 5)}, [1, 3, 5])
    nodes, arrays, out, *_ = FORMS["QDQ, weights in int8"]
    int8 = saved(tmp_path / "net.onnx", nodes, arrays, out)

    assert any("QDQ: 100 % of the weights are stored in fp32" in text for text in result.warnings)
    assert result.uncompressed.bit_operations == 120 * 64
    assert not int8.warnings
    assert int8.answers[0].sentences == ["yes: all weights are stored in 8 bits"]


def test_zeros_of_unsigned_weights_are_their_zero_point(tmp_path: Path) -> None:
    """A weight equal to the zero point is 0, one that is stored as 0 isn't."""
    weight = np.array([[128, 0], [5, 128]], np.uint8)
    nodes = [node("DequantizeLinear", "w s z", "weight"), node("MatMul", "image weight")]
    arrays = {"s": SCALE, "z": np.uint8(128), "w": weight}
    row = saved(tmp_path / "net.onnx", nodes, arrays, [1, 3, 2], sides=(1, 3, 2)).uncompressed

    assert (row.nonzero_parameters, row.nonzero_macs) == (2, 6)
    assert row.parameters == ReportedAndActual(reported=6, actual=4)


def test_unknown_operators_are_named(tmp_path: Path) -> None:
    """The counts are then a lower bound, and the row says why."""
    nodes = [node(":MatMulBlockQuantizedFp8Weight", "image w", "odd"), node("MatMul", "image w")]
    row = saved(tmp_path / "net.onnx", nodes, {"w": floats(8, 5)}, [1, 3, 5]).uncompressed

    assert row.problem == "1 × com.microsoft::MatMulBlockQuantizedFp8Weight has no rule; the MACs are a lower bound"
    assert row.macs == ReportedAndActual(reported=None, actual=120)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::torch.jit.TracerWarning")
@pytest.mark.parametrize("name", ["squeezenet1_1", "shufflenet_v2_x0_5", "timm:vit_tiny_patch16_224"])
def test_exported_networks_have_the_macs_of_their_modules(tmp_path: Path, name: str) -> None:
    """Exports of small networks, one with attention, agree with torch's count to the last product."""
    path = tmp_path / "net.onnx"
    model = build(reference(name), classes=10).model
    torch.onnx.export(model, (convnext.random_images(1, 224),), path, dynamo=False)
    row = audit(str(path), latency=False).uncompressed

    assert row.problem is None
    assert row.macs is not None
    assert row.macs.actual == counts.actual(model, 224).macs
