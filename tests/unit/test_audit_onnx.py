"""ONNX files: their weights, the work of their operators, and what can't be told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from edgeai_repro.audit.audit import audit
from edgeai_repro.audit.schema import ReportedAndActual
from edgeai_repro.measure import counts
from edgeai_repro.networks import convnext

FILTERS = np.ones((4, 3, 3, 3), np.float32)
DENSE = np.concatenate([np.ones((2, 4)), np.zeros((2, 4))]).astype(np.float32)


def saved(path: Path, nodes: list[Any], arrays: dict[str, Any], *, sides: list[Any], out: list[Any]) -> Path:
    """Write a model of the given operators from `image` to `answer`, and return its path."""
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
    """A convolution of 4 filters over 10 × 10 pixels, pooled, and a matrix of 4 by 4, half of it zeros."""
    nodes = [
        helper.make_node("Conv", ["image", "filters"], ["maps"]),
        helper.make_node("GlobalAveragePool", ["maps"], ["pooled"]),
        helper.make_node("Reshape", ["pooled", "shape"], ["row"]),
        helper.make_node("Gemm", ["row", "dense"], ["answer"], transB=1),
    ]
    arrays = {"filters": FILTERS, "dense": DENSE, "shape": np.array([1, 4])}
    return saved(tmp_path / "net.onnx", nodes, arrays, sides=["n", 3, 10, 10], out=["n", 4])


def test_counts(convolution: Path) -> None:
    """Weights are what is multiplied; shapes are among the reported values only; zeros take no product."""
    found = audit(str(convolution))
    row = found.dense

    assert (found.source, found.resolution) == ("an ONNX file", 10)
    assert row.parameters == ReportedAndActual(reported=108 + 16 + 2, actual=108 + 16)
    assert row.nonzero_parameters == 108 + 8
    assert row.macs == ReportedAndActual(reported=None, actual=108 * 64 + 16)
    assert row.nonzero_macs == 108 * 64 + 8
    assert row.bit_operations == 1024 * (108 * 64 + 16)
    assert row.bytes == convolution.stat().st_size
    assert row.problem is None


def test_latency(convolution: Path) -> None:
    """The file is timed in ONNX Runtime, with the threads that were asked for; or only counted."""
    found = audit(str(convolution), threads=1)

    assert found.environment.threads == 1
    assert found.dense.latency is not None
    assert found.dense.latency.milliseconds.value > 0
    assert found.dense.latency.faster is None
    assert audit(str(convolution), latency=False).dense.latency is None


def test_latency_without_eager_mode(convolution: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ONNX Runtime has threads of its own, and is timed also where eager mode's would fall asleep."""
    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")

    assert audit(str(convolution), threads=2).dense.latency is not None


def test_integers(tmp_path: Path) -> None:
    """A product in int8 is of 8 × 8 bits; activations multiplied, as in attention, are work without a weight."""
    nodes = [
        helper.make_node("DynamicQuantizeLinear", ["image"], ["q", "scale", "zero"]),
        helper.make_node("MatMulInteger", ["q", "weight", "zero"], ["product"]),
        helper.make_node("Cast", ["product"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("MatMul", ["floats", "floats"], ["answer"]),
    ]
    path = tmp_path / "int8.onnx"
    saved(path, nodes, {"weight": np.ones((4, 4), np.int8)}, sides=[1, 3, 4, 4], out=[1, 3, 4, 4])
    row = audit(str(path)).dense

    assert row.macs == ReportedAndActual(reported=None, actual=3 * 4 * 4 * 4 + 3 * 4 * 4 * 4)
    assert row.bit_operations == 3 * 64 * 64 + 3 * 64 * 1024


def test_unknown_operator(tmp_path: Path) -> None:
    """Behind an operator that nobody knows no shape is known: the row says how many operators are left out."""
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
    row = audit(str(tmp_path / "odd.onnx")).dense

    assert (row.problem or "").startswith(
        "1 of 1 operators are of unknown shape: their MACs are left out; can't be timed: "
    )
    assert row.latency is None
    assert row.parameters == ReportedAndActual(reported=108, actual=108)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_exported_model(tmp_path: Path) -> None:
    """torch's export of ConvNeXt-Atto computes what its module does."""
    path = tmp_path / "atto.onnx"
    model = convnext.build("convnext_atto")
    torch.onnx.export(model, (convnext.random_images(1),), path, dynamo=False)

    row = audit(str(path)).dense

    assert row.problem is None
    assert row.macs is not None
    assert row.macs.actual == counts.actual(model).macs
