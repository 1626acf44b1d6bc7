"""The library only_train_once on this torch: it imports and traces, and leaves nothing behind."""

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
assert graph.mine and sys.modules["graph"] is graph, "the user's own module is in place"
assert sys.path == path, sys.path
left = [name for name in sys.modules if name.split(".")[0] in ("operation", "imp") or name.startswith("graph.")]
assert not left, left
assert "torch.onnx._globals" not in sys.modules and not hasattr(torch.onnx, "_optimize_graph")
assert otov3_compat.HESSO.__module__ == "only_train_once.optimizer.hesso"
"""


def opset() -> int:
    """Return torch's ONNX opset of the moment."""
    found: int = otov3_compat._exporter()[0].export_onnx_opset_version
    return found


def test_import_leaves_no_trace(tmp_path: Path) -> None:
    """A fresh process imports the library beside a user's own module `graph`; sys.path, sys.modules, torch and
    stdout are as before.
    """
    (tmp_path / "graph.py").write_text("mine = True\n")

    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", FRESH_IMPORT],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_trace_leaves_no_trace(capsys: pytest.CaptureFixture[str]) -> None:
    """Tracing keeps each module's own mode, the weights, the ONNX opset, the random state, and prints nothing."""
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


def test_trace_puts_all_back_after_a_failure() -> None:
    """A model that can't be traced raises UserError, in its own mode, with the opset as before."""
    model, before = small_convnext().train(), opset()

    with pytest.raises(UserError, match=r"must be one that only_train_once can trace on images of \(1, 3, 2, 2\)"):
        otov3_compat.trace_graph(model, convnext.random_images(1, resolution=2))

    assert all(module.training for module in model.modules())
    assert before == opset()
    assert not hasattr(torch.onnx, "_optimize_graph")


def test_surroundings_keep_another_alias(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where somebody else has set `torch.onnx._optimize_graph`, it is theirs again afterwards."""
    theirs = object()
    monkeypatch.setattr(torch.onnx, "_optimize_graph", theirs, raising=False)

    with otov3_compat.patched_torch():
        assert torch.onnx._optimize_graph is not theirs

    assert torch.onnx._optimize_graph is theirs


def test_library_prints_to_the_log(caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]) -> None:
    """What the library prints is logged at level DEBUG, one record a line."""
    with caplog.at_level("DEBUG", logger=otov3_compat.__name__):
        otov3_compat.trace_graph(small_convnext(), IMAGE)

    assert "only_train_once: OTO graph constructor" in caplog.messages
    assert capsys.readouterr().out == ""


def test_missing_exporter_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a torch without the TorchScript exporter the ImportError says which torch to install."""
    monkeypatch.setattr(otov3_compat, "_EXPORTER_HOMES", ("edgeai_repro", "no.such.module"))

    with pytest.raises(ImportError, match=r"needs torch's TorchScript exporter .*; install torch>=2.10"):
        otov3_compat._exporter()


def test_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without only_train_once the ImportError says what to install."""
    monkeypatch.setattr(otov3_compat.importlib.util, "find_spec", lambda name: None)

    with pytest.raises(ImportError, match=r"needs only_train_once 3.0.1; pip install"), otov3_compat._importable():
        pass


def all_groups(oto: Any) -> list[dict[str, Any]]:
    """Return the library's groups, prunable or not."""
    return list(oto._graph.get_param_groups())


def test_residual_groups_are_prunable_by_default() -> None:
    """The library would prune the residual stream too: more groups than the MLPs have hidden channels."""
    model = small_convnext()

    groups = otov3_compat.prunable_groups(otov3_compat.trace_graph(model, IMAGE))

    assert sum(convnext.hidden_widths(model)) < sum(group["num_groups"] for group in groups)


def test_layer_norms_are_registered_twice() -> None:
    """The library's groups hold the parameters of each block's LayerNorm twice: its own step moves them twice."""
    model = small_convnext()
    norms = {p for module in model.modules() if type(module) is nn.LayerNorm for p in module.parameters()}

    registered = [
        parameter for group in all_groups(otov3_compat.trace_graph(model, IMAGE)) for parameter in group["params"]
    ]

    doubled = {parameter for parameter in registered if sum(parameter is other for other in registered) == 2}
    assert doubled == norms
    assert len(registered) == len(list(model.parameters())) + len(norms)
