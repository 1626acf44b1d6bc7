"""Audits of ONNX files: their weights, their work, their times, and unknown shapes."""

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
from edgeai_repro.networks.references import reference
from edgeai_repro.networks.resolve import build
from tests.support.onnx_files import graph_of

pytestmark = pytest.mark.usefixtures("few_rounds")
FILTERS = np.ones((4, 3, 3, 3), np.float32)
DENSE = np.concatenate([np.ones((2, 4)), np.zeros((2, 4))]).astype(np.float32)


def save_onnx(path: Path, nodes: list[Any], arrays: dict[str, Any], *, sides: list[Any], out: list[Any]) -> Path:
    """Write a model with these operators, from `image` to `answer`, and return its path."""
    graph = graph_of(nodes, arrays, sides=sides, out=out)
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
