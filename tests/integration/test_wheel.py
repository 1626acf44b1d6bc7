"""The wheel, outside of the checkout and without torch: every command works, or names the extra that it needs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.support.wheel import build_wheel, judge, run

LIGHT = {
    "claims list": "francy2024/dq-params",
    "claims metrics": "params_reduction",
    "claims techniques": "dynamic_quantization",
    "claims show dq-params": "metric: params_reduction",
    "reproduce dq-params --model=convnext_tiny": "torchvision.models",
    "rejudge": "accuracy",
}
NEEDS_TORCH = [
    "audit resnet50",
    "networks resnet50",
    "train convnext_atto",
    "bundle convnext_atto -o bundle",
    "data get here",
    "evaluate model",
]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The unpacked wheel."""
    return build_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.mark.parametrize("arguments", LIGHT)
def test_command_works_from_any_folder(installed: Path, tmp_path: Path, arguments: str) -> None:
    """The wheel has the claims, the devices, the evidence and the last verdicts."""
    done = run(installed, *arguments.split(), cwd=tmp_path)

    assert (done.returncode, done.stderr) == (0, "")
    assert LIGHT[arguments] in done.stdout


@pytest.mark.parametrize("arguments", NEEDS_TORCH)
def test_command_that_needs_torch_says_so_in_one_line(installed: Path, tmp_path: Path, arguments: str) -> None:
    """The line names the extra, for an index and for a clone."""
    done = run(installed, *arguments.split(), cwd=tmp_path)

    assert done.returncode == 3
    assert len(done.stderr.splitlines()) == 1
    assert "is missing, which this needs; pip install 'edgeai-repro[torch]', or in a clone" in done.stderr


def test_report_names_the_extra_that_it_needs(installed: Path, tmp_path: Path) -> None:
    """It needs no torch, but jinja2."""
    verdicts = installed / "edgeai_repro" / "shipped" / "docs" / "verdicts.json"
    done = run(installed, "report", str(verdicts), cwd=tmp_path)

    assert done.returncode == 2
    assert "pip install -e '.[report]'" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_onnx_file_is_audited_without_torch(installed: Path, tmp_path: Path) -> None:
    """The counts are those of a layer of 8 × 4 weights: 32 parameters, 32 MACs."""
    weights = numpy_helper.from_array(np.ones((8, 4), np.float32), "weights")
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["image", "weights"], ["logits"])],
        "layer",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 8])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 4])],
        [weights],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, tmp_path / "layer.onnx")

    done = run(installed, "audit", "layer.onnx", "--no-latency", "--json", cwd=tmp_path)

    assert (done.returncode, done.stderr) == (0, "")
    (row,) = json.loads(done.stdout)["rows"]
    assert (row["parameters"]["actual"], row["macs"]["actual"]) == (32, 32)


def test_claim_that_needs_torch_is_not_testable_without_it(installed: Path, tmp_path: Path) -> None:
    """The verdict says which extra is missing; there is no traceback."""
    done = judge(installed, "iandola2016/fifty-times", cwd=tmp_path)

    assert done.returncode == 0, done.stdout
    assert "not_testable: torch is missing, which this needs; pip install 'edgeai-repro[torch]'" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
