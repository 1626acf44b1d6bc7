"""The audit: whose model, what is counted of it, what can't be, and what is said where counters mislead."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import torch
from torch import nn

from edgeai_repro.audit import latency as timing
from edgeai_repro.audit import table as audit_table
from edgeai_repro.audit import warnings as advice
from edgeai_repro.audit.audit import audit
from edgeai_repro.audit.model_source import resolve_model
from edgeai_repro.audit.schema import Audit, ReportedAndActual, Row
from edgeai_repro.claims.registry import TECHNIQUES, Settings, technique
from edgeai_repro.compress import saved_models
from edgeai_repro.compress.quantization import quantize
from edgeai_repro.errors import UserError
from edgeai_repro.measure import counts, size
from edgeai_repro.networks import convnext
from tests.unit.test_cli import Command

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
# Of each network the least side in pixels that it takes (64 for AlexNet, 224 for a ViT), and what stands in
# nn.Linear of 100 parameters.
OTHERS = {
    "resnet18": (32, 4.39),
    "resnet50": (32, 8.02),
    "mobilenet_v3_large": (32, 45.80),
    "efficientnet_b0": (32, 24.22),
    "timm:convnext_tiny_hnf": (32, 2.69),
    "alexnet": (64, 95.96),
    "vit_b_16": (224, 66.35),
    "vgg16": (32, 89.36),
}
CONVNEXTS = {"convnext_tiny": 93.32, "convnext_small": 95.47, "convnext_base": 95.80, "convnext_large": 96.13}
QUICK = ("resnet18", "resnet50", "mobilenet_v3_large", "efficientnet_b0")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time as little as an interval allows."""
    monkeypatch.setattr(timing, "SECONDS", 0.0)
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)


@pytest.fixture(scope="module")
def atto() -> Audit:
    """The audit of ConvNeXt-Atto at 32 pixels."""
    return audit("convnext_atto", resolution=32, classes=10, latency=False)


@pytest.fixture
def factory(tmp_path: Path) -> Path:
    """A file with functions that return a model, a number, and nothing at all."""
    path = tmp_path / "mine.py"
    path.write_text(FACTORY, encoding="utf-8")
    return path


def row(audited: Audit, name: str) -> Row:
    """Return the row of a technique."""
    return next(row for row in audited.rows if row.technique == name)


def test_rows_of_all_techniques(atto: Audit) -> None:
    """One row for the model as it is, and one for each technique that is known; of a ConvNeXt all can be had."""
    assert [row.technique for row in atto.rows] == ["none", *TECHNIQUES]
    assert [row.problem for row in atto.rows] == [None] * len(atto.rows)


def test_figures(atto: Audit) -> None:
    """The figures are those of the counters, each as reported and as it is."""
    dense = convnext.build("convnext_atto")
    quantized = quantize(dense)
    found = row(atto, "dynamic_quantization")

    reported, actual = counts.reported(quantized), counts.actual(quantized)
    assert found.parameters == ReportedAndActual(reported=reported.parameters, actual=actual.parameters)
    assert found.macs == ReportedAndActual(reported=reported.macs, actual=actual.macs)
    assert found.nonzero_parameters == actual.nonzero_parameters
    assert found.bit_operations == actual.bit_operations
    assert found.bytes == size.state_dict_bytes(quantized)
    assert atto.dense.bytes == size.state_dict_bytes(dense)


def test_combination_starts_from_the_pruned_model(atto: Audit) -> None:
    """Pruned and quantized, the model holds what the pruned one does, in fewer bytes."""
    pruned, both = row(atto, "structured_pruning"), row(atto, "combined")

    assert pruned.parameters is not None
    assert both.parameters is not None
    assert both.parameters.actual == pruned.parameters.actual
    assert (both.bytes or 0) < (pruned.bytes or 0)


def test_shares(atto: Audit) -> None:
    """What each kind of layer holds adds up, and nn.Linear's share is what dynamic quantization hides."""
    quantized = row(atto, "dynamic_quantization")
    assert atto.dense.parameters is not None
    assert quantized.parameters is not None

    hidden = 1 - (quantized.parameters.reported or 0) / (atto.dense.parameters.reported or 0)
    assert sum(atto.shares.values()) == pytest.approx(1.0)
    assert atto.shares["linear"] == pytest.approx(hidden)


def test_warnings(atto: Audit) -> None:
    """Where the counters mislead, the audit says so: hidden weights, hidden products, zeros that stay."""
    text = "\n".join(atto.warnings)

    assert "dynamic quantization: parameters() reports 89 % fewer, but 0 % fewer are stored" in text
    assert "dynamic quantization: thop reports" in text
    assert "unstructured pruning: 79.9 % of the weights are set to 0, but the file is 0 % smaller" in text
    assert "reaches nn.Linear alone" not in text


def test_convolutional_mlp() -> None:
    """timm's ConvNeXt with 1 × 1 convolutions gets hardly anything from dynamic quantization, and is told why."""
    found = audit("timm:convnext_atto", resolution=32, classes=10, settings={"unstructured_pruning": []})
    text = "\n".join(found.warnings)

    assert found.source == "timm, random weights"
    assert found.shares["pointwise convolution"] > 0.8
    assert "in 1 × 1 convolutions, which compute what nn.Linear does and aren't quantized" in text
    assert "dynamic quantization reaches nn.Linear alone, here 0.1 % of the parameters" in text
    assert (row(found, "structured_pruning").problem or "").startswith("'model' must be torchvision's ConvNeXt")
    assert row(found, "dynamic_quantization").problem is None


def test_attention_that_thop_leaves_out() -> None:
    """Attention's products are computed and not in thop's count: the audit says how many."""
    dense = Row(technique="none", macs=ReportedAndActual(reported=11_000_000_000, actual=17_600_000_000))

    (text,) = advice.warnings([dense], {})

    assert text.startswith("thop leaves out 37.5 % of the model's MACs (11 G of 17.6 G)")


def test_nothing_to_warn_of() -> None:
    """Where both counts agree, nothing is said."""
    dense = Row(
        technique="none",
        parameters=ReportedAndActual(reported=100, actual=100),
        nonzero_parameters=100,
        macs=ReportedAndActual(reported=1000, actual=1000),
        bytes=400,
    )
    half = Row(
        technique="structured_pruning",
        parameters=ReportedAndActual(reported=50, actual=50),
        nonzero_parameters=50,
        macs=ReportedAndActual(reported=500, actual=500),
        bytes=200,
    )

    assert advice.warnings([dense, half], {"linear": 1.0}) == []


def test_what_does_not_run_is_still_counted() -> None:
    """Of a model that takes no image of that size parameters and bytes are told, and why its MACs aren't."""
    found = audit(nn.Sequential(nn.Flatten(), nn.Linear(7, 3)), resolution=8).dense

    assert found.parameters == ReportedAndActual(reported=24, actual=24)
    assert found.macs is None
    assert (found.problem or "").startswith("MACs can't be counted at 8 pixels: RuntimeError: ")


def test_model_is_left_as_it_is() -> None:
    """A module is given back as it came: in its mode, with its values, and no buffer of a counter's."""
    model = convnext.build("convnext_atto").train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}

    audit(model, resolution=32, settings={"structured_pruning": [], "combined": []})

    assert model.training
    assert before.keys() == model.state_dict().keys()
    assert all(torch.equal(tensor, model.state_dict()[name]) for name, tensor in before.items())


def test_own_technique() -> None:
    """A technique of one's own has its row; where it fails, the row says why and the others stand."""

    @technique("impossible")
    def impossible(model: nn.Module, settings: Sequence[Settings]) -> Iterator[nn.Module]:
        """Nothing."""
        raise ZeroDivisionError("not today")
        yield model

    try:
        found = audit(
            nn.Sequential(nn.Conv2d(3, 4, 3)), resolution=8, settings={"structured_pruning": [], "combined": []}
        )
    finally:
        del TECHNIQUES["impossible"]

    assert row(found, "impossible").problem == "ZeroDivisionError: not today"
    assert row(found, "dynamic_quantization").problem is None


def test_saved_model(tmp_path: Path) -> None:
    """The folder of a saved model is audited at its own resolution."""
    folder = saved_models.save(
        convnext.build("convnext_atto"), "convnext_atto", "none", resolution=48, root=tmp_path
    )
    subject = resolve_model(str(folder))

    assert (subject.name, subject.resolution) == (folder.name, 48)
    assert (
        sum(p.numel() for p in subject.model.parameters())
        == counts.stored(convnext.build("convnext_atto")).parameters
    )


def test_function(factory: Path) -> None:
    """A function's model is taken as it returns it, in eval mode."""
    subject = resolve_model(f"{factory}:make")

    assert [type(layer).__name__ for layer in subject.model.children()][-1] == "Linear"
    assert not subject.model.training


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ("convnext_tinny", r"'model' must be a name .* \(got 'convnext_tinny'\); did you mean 'convnext_tiny'\?"),
        ("timm:convnext_tinny", r"'model' must be a name .*; did you mean 'convnext_tiny'\?"),
        ("{folder}", r"must be the folder of a saved model"),
        ("{file}:maek", r"must have a function 'maek' \(got none of that name\); did you mean 'make'\?"),
        ("{file}:number", r"number' must return an nn.Module \(got int\); return the model itself"),
        ("{file}:broken", r"broken' must return a model .* \(got ValueError: no weights here\)"),
        ("{folder}/none.py:make", r"none.py' must be a Python file \(got no such file\)"),
        ("{folder}/none.onnx", r"none.onnx' must be a readable file \(got No such file or directory\)"),
        ("{folder}/broken.onnx", r"broken.onnx' must be an ONNX model \(got "),
        ("{folder}/syntax.py:make", r"syntax.py' must be importable \(got SyntaxError: "),
    ],
)
def test_bad_input(factory: Path, given: str, complaint: str) -> None:
    """What is no model is refused in one line that says what would be."""
    folder = factory.parent
    (folder / "broken.onnx").write_bytes(b"no onnx at all")
    (folder / "syntax.py").write_text("def make(:\n", encoding="utf-8")

    with pytest.raises(UserError, match=complaint) as raised:
        audit(given.format(file=factory, folder=folder))

    assert "\n" not in str(raised.value)


def test_terminal(atto: Audit) -> None:
    """The table has a row a technique, what was saved below each figure, and the warnings after it."""
    text = audit_table.render(atto, colour=False)

    assert "convnext_atto (torchvision's ConvNeXt, random weights), one image of 32 × 32" in text
    assert "−89.0 %" in text
    assert "structured pruning" in text
    assert "! dynamic quantization: parameters() reports" in text
    assert "\x1b" not in text


def test_command(factory: Path, command: Command) -> None:
    """--json prints the audit as data, which reads back; without it, a table; a mistake is status 2."""
    status, out, _ = command("audit", f"{factory}:make", "--resolution", "8", "--json")
    assert status == 0
    assert Audit.model_validate(json.loads(out)).dense.bytes

    status, out, _ = command("audit", f"{factory}:make", "--resolution", "8")
    assert status == 0
    assert "as it is" in out

    status, out, err = command("audit", f"{factory}:number")
    assert (status, out, err.count("\n")) == (2, "", 1)


@pytest.fixture
def undeflated(monkeypatch: pytest.MonkeyPatch) -> None:
    """Deflate nothing: it takes seconds a row."""
    monkeypatch.setattr(size, "deflated_bytes", lambda _: 0)


def check_quantized(found: Audit, share: float) -> None:
    """Hold what is told of dynamic quantization against nn.Linear's share, in percent of the parameters."""
    dense, quantized = found.dense, row(found, "dynamic_quantization")
    assert dense.parameters is not None
    assert quantized.parameters is not None
    assert 100 * found.shares["linear"] == pytest.approx(share, abs=0.005)
    assert quantized.parameters.actual == dense.parameters.actual
    assert quantized.parameters.reported == round((dense.parameters.actual or 0) * (1 - found.shares["linear"]))
    saved = 100 * (1 - (quantized.bytes or 0) / (dense.bytes or 1))
    assert saved == pytest.approx(0.75 * share, abs=0.5)


def check_whole(rows: Sequence[Row]) -> None:
    """See that rows have every figure, and no problem."""
    for each in rows:
        assert each.problem is None, each.technique
        figures = (each.parameters, each.nonzero_parameters, each.macs, each.bit_operations, each.bytes)
        assert None not in figures, each.technique


@pytest.mark.usefixtures("undeflated")
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in QUICK else [pytest.mark.slow]) for name in OTHERS]
)
def test_other_networks(name: str) -> None:
    """Of a network that isn't torchvision's ConvNeXt all is told but structured pruning, whose rows say why."""
    side, share = OTHERS[name]
    found = audit(name, resolution=side, latency=False)
    unpruned = [each for each in found.rows if each.technique not in ("structured_pruning", "combined")]

    assert [each.technique for each in found.rows] == ["none", *TECHNIQUES]
    assert all(
        "must be torchvision's ConvNeXt" in (each.problem or "") for each in found.rows if each not in unpruned
    )
    check_whole(unpruned)
    check_quantized(found, share)
    assert any("dynamic quantization reaches nn.Linear alone" in text for text in found.warnings) == (share < 50)


@pytest.mark.slow
@pytest.mark.usefixtures("undeflated")
@pytest.mark.parametrize("name", CONVNEXTS)
def test_convnexts(name: str) -> None:
    """Of torchvision's ConvNeXts all is told; the larger ones aren't pruned here, which takes half a minute."""
    large = name in ("convnext_base", "convnext_large")
    left_out = ("unstructured_pruning", "structured_pruning", "combined") if large else ()
    found = audit(name, resolution=32, latency=False, settings={technique: [] for technique in left_out})

    assert [each.technique for each in found.rows] == ["none", *(t for t in TECHNIQUES if t not in left_out)]
    check_whole(found.rows)
    check_quantized(found, CONVNEXTS[name])
