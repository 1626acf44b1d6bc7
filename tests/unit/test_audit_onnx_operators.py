"""Each form of an ONNX operator has its MACs and bits, by closed forms."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

from edgeai_repro.audit.audit import audit
from edgeai_repro.audit.schema import Audit, ReportedAndActual
from tests.support.onnx_files import floats, graph_of

pytestmark = pytest.mark.usefixtures("few_rounds")


def saved(
    path: Path, nodes: list[Any], arrays: dict[str, Any], out: list[int], *, sides: tuple[int, ...] = (1, 3, 8)
) -> Audit:
    """Return the audit of a file with these operators, from `image` to `answer`, with ONNX Runtime's domain."""
    graph = graph_of(nodes, arrays, sides=sides, out=out)
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
