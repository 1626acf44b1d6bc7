"""The library only_train_once on this torch: it imports and traces, and every patch is undone."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from edgeai_repro.compress import otov3_compat
from edgeai_repro.errors import UserError
from edgeai_repro.networks import convnext
from tests.support.helpers import assert_same_tensors, small_convnext, snapshot

IMAGE = convnext.random_images(1)
FRESH_IMPORT = """
import sys, graph
path = list(sys.path)
from edgeai_repro.compress import otov3_compat
import torch
assert graph.mine and sys.modules["graph"] is graph, "the user's own module must be restored"
assert sys.path == path, sys.path
left = [name for name in sys.modules if name.split(".")[0] in ("operation", "imp") or name.startswith("graph.")]
assert not left, left
assert "torch.onnx._globals" not in sys.modules and not hasattr(torch.onnx, "_optimize_graph")
assert otov3_compat.HESSO.__module__ == "only_train_once.optimizer.hesso"
"""


def opset() -> int:
    """Return torch's current ONNX opset."""
    version: int = otov3_compat._exporter()[0].export_onnx_opset_version
    return version


def test_import_changes_nothing_outside_of_the_library(tmp_path: Path) -> None:
    """A new process, with a user's own module `graph`: sys.path, sys.modules, torch and stdout do not change."""
    (tmp_path / "graph.py").write_text("mine = True\n")

    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", FRESH_IMPORT],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_tracing_changes_neither_the_model_nor_torch(capsys: pytest.CaptureFixture[str]) -> None:
    """Modes, weights, ONNX opset and random state stay the same, and nothing is printed."""
    model = small_convnext().train()
    model.classifier.eval()
    modes = [module.training for module in model.modules()]
    weights, before = snapshot(model), (opset(), torch.get_rng_state().tolist(), random.getstate(), list(sys.path))

    otov3_compat.trace_graph(model, IMAGE)

    assert modes == [module.training for module in model.modules()]
    assert (opset(), torch.get_rng_state().tolist(), random.getstate(), list(sys.path)) == before
    assert not hasattr(torch.onnx, "_optimize_graph")
    assert capsys.readouterr() == ("", "")
    assert_same_tensors(snapshot(model), weights)


def test_patches_are_undone_after_a_failed_trace() -> None:
    """The model keeps its mode, and torch its opset."""
    model, before = small_convnext().train(), opset()

    with pytest.raises(UserError, match=r"must be one that only_train_once can trace on images of \(1, 3, 2, 2\)"):
        otov3_compat.trace_graph(model, convnext.random_images(1, resolution=2))

    assert all(module.training for module in model.modules())
    assert before == opset()
    assert not hasattr(torch.onnx, "_optimize_graph")


def test_another_patch_of_torch_is_restored(monkeypatch: pytest.MonkeyPatch) -> None:
    """If other code has set `torch.onnx._optimize_graph`, its value is restored."""
    theirs = object()
    monkeypatch.setattr(torch.onnx, "_optimize_graph", theirs, raising=False)

    with otov3_compat.patched_torch():
        assert torch.onnx._optimize_graph is not theirs

    assert torch.onnx._optimize_graph is theirs


def test_output_of_the_library_goes_to_the_log(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each line that the library prints is a record at level DEBUG."""
    with caplog.at_level("DEBUG", logger=otov3_compat.__name__):
        otov3_compat.trace_graph(small_convnext(), IMAGE)

    assert "only_train_once: OTO graph constructor" in caplog.messages
    assert capsys.readouterr().out == ""


def test_error_without_the_exporter_names_the_torch_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """An ImportError, on a torch without the TorchScript exporter."""
    monkeypatch.setattr(otov3_compat, "_EXPORTER_PACKAGES", ("edgeai_repro", "no.such.module"))

    with pytest.raises(ImportError, match=r"needs torch's TorchScript exporter .*; install torch>=2.10"):
        otov3_compat._exporter()


def test_error_without_the_library_names_the_extra_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """An ImportError, without only_train_once."""
    monkeypatch.setattr(otov3_compat.importlib.util, "find_spec", lambda name: None)

    with pytest.raises(ImportError, match=r"needs only_train_once 3.0.1; pip install"), otov3_compat._importable():
        pass


def all_groups(oto: Any) -> list[dict[str, Any]]:
    """Return the library's groups, prunable or not."""
    return list(oto._graph.get_param_groups())


def test_the_library_would_prune_the_residual_stream() -> None:
    """By default it has more prunable groups than the MLPs have hidden channels."""
    model = small_convnext()

    groups = otov3_compat.prunable_groups(otov3_compat.trace_graph(model, IMAGE))

    assert sum(convnext.hidden_widths(model)) < sum(group["num_groups"] for group in groups)


def test_the_library_registers_layer_norms_twice() -> None:
    """Its groups have the parameters of each block's LayerNorm twice, so its own step updates them twice."""
    model = small_convnext()
    norms = {p for module in model.modules() if type(module) is nn.LayerNorm for p in module.parameters()}

    registered = [
        parameter for group in all_groups(otov3_compat.trace_graph(model, IMAGE)) for parameter in group["params"]
    ]

    doubled = {parameter for parameter in registered if sum(parameter is other for other in registered) == 2}
    assert doubled == norms
    assert len(registered) == len(list(model.parameters())) + len(norms)
