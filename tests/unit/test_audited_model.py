"""Which model an audit takes: a saved one, or that of a function in a file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgeai_repro.audit.audit import audit
from edgeai_repro.audit.model_source import resolve_model
from edgeai_repro.audit.schema import Audit
from edgeai_repro.compress import saved_models
from edgeai_repro.errors import UserError
from edgeai_repro.measure import counts
from edgeai_repro.networks import convnext
from tests.support.commands import Command

pytestmark = pytest.mark.usefixtures("few_rounds")
FACTORY = """
import torch
from torch import nn


def make():
    return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))


def number():
    return 3


def broken():
    raise ValueError("no weights here")
"""


@pytest.fixture
def factory(tmp_path: Path) -> Path:
    """A file with functions that return a model, return a number, and raise."""
    path = tmp_path / "mine.py"
    path.write_text(FACTORY, encoding="utf-8")
    return path


def test_saved_model_is_audited_at_its_own_resolution(tmp_path: Path) -> None:
    """The folder of a saved model gives the model, its name and its resolution."""
    folder = saved_models.save(
        convnext.build("convnext_atto"), "convnext_atto", "none", resolution=48, root=tmp_path
    )
    resolved = resolve_model(str(folder))

    assert (resolved.name, resolved.resolution) == (folder.name, 48)
    assert (
        sum(p.numel() for p in resolved.model.parameters())
        == counts.stored(convnext.build("convnext_atto")).parameters
    )


def test_function_in_a_file_gives_the_model(factory: Path) -> None:
    """The model is the one that the function returns, in eval mode."""
    resolved = resolve_model(f"{factory}:make")

    assert [type(layer).__name__ for layer in resolved.model.children()][-1] == "Linear"
    assert not resolved.model.training


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        (
            "convnext_tinny",
            r"^MODEL must be a torchvision or timm name, .*'convnext_tinny'\); did you mean 'convnext_tiny'\?",
        ),
        ("timm:convnext_tinny", r"^MODEL must be .*; did you mean 'timm:convnext_tiny'\?"),
        ("{folder}", r"must be the folder of a saved model"),
        ("{file}:maek", r"mine.py: function 'maek' is missing; did you mean 'make'\?"),
        ("{file}:number", r"number must return an nn.Module \(got int\); return the model itself"),
        ("{file}:broken", r"broken must return a model .* \(got ValueError: no weights here\)"),
        ("{folder}/none.py:make", r"none.py: no such file; check the path"),
        ("{folder}/none.onnx", r"none.onnx: must be a readable file \(got No such file or directory\)"),
        ("{folder}/broken.onnx", r"broken.onnx: must be an ONNX model \(got "),
        ("{folder}/syntax.py:make", r"syntax.py: must be importable \(got SyntaxError: "),
    ],
)
def test_text_that_names_no_model_is_refused(factory: Path, given: str, complaint: str) -> None:
    """The error is one line that says what is expected instead."""
    folder = factory.parent
    (folder / "broken.onnx").write_bytes(b"no onnx at all")
    (folder / "syntax.py").write_text("def make(:\n", encoding="utf-8")

    with pytest.raises(UserError, match=complaint) as raised:
        audit(given.format(file=factory, folder=folder))

    assert "\n" not in str(raised.value)


def test_command_prints_json_or_a_table(factory: Path, command: Command) -> None:
    """--json prints the audit as JSON that can be read back; without it there is a table; a mistake is status 2."""
    status, out, _ = command("audit", f"{factory}:make", "--resolution", "8", "--json")
    assert status == 0
    assert Audit.model_validate(json.loads(out)).uncompressed.bytes

    status, out, _ = command("audit", f"{factory}:make", "--resolution", "8")
    assert status == 0
    assert "uncompressed" in out

    status, out, err = command("audit", f"{factory}:number")
    assert (status, out, err.count("\n")) == (2, "", 1)
