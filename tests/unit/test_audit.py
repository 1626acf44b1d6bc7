"""The audit: resolving the model, counting it under each technique, and the warnings."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import torch
from torch import nn

from edgeai_repro.audit.audit import audit, techniques_of
from edgeai_repro.audit.model_source import resolve_model
from edgeai_repro.audit.schema import Audit, ReportedAndActual, Row
from edgeai_repro.audit.table import render
from edgeai_repro.audit.warnings import find_warnings
from edgeai_repro.claims.registry import TECHNIQUES, technique
from edgeai_repro.compress import saved_models
from edgeai_repro.compress.quantization import quantize
from edgeai_repro.errors import UserError
from edgeai_repro.evidence.measurement import Settings
from edgeai_repro.measure import counts, size
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
# By network: the smallest side in pixels that it accepts, and the percentage of its parameters in nn.Linear.
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
# Each has a test of its own (test_audit_techniques.py) and would take seconds for every network here.
OTHER_TECHNIQUES = ("filter_pruning", "static_quantization", "codebook", "reparameterize")
# Its int8 product takes seconds per image on a CPU without instructions for it.
WITHOUT_KERNEL = "torchao_int8_dynamic"
QUICK = ("resnet18", "resnet50", "mobilenet_v3_large", "efficientnet_b0")


@pytest.fixture(scope="module")
def atto() -> Audit:
    """The audit of ConvNeXt-Atto at 32 pixels."""
    return audit("convnext_atto", resolution=32, classes=10, latency=False)


@pytest.fixture
def factory(tmp_path: Path) -> Path:
    """A file with functions that return a model, return a number, and raise."""
    path = tmp_path / "mine.py"
    path.write_text(FACTORY, encoding="utf-8")
    return path


def row_of(technique: str, result: Audit) -> Row:
    """Return the row of a technique."""
    return next(row for row in result.rows if row.technique == technique)


def test_convnext_has_a_row_for_every_technique(atto: Audit) -> None:
    """The first row is the uncompressed model; two techniques, for networks of other kinds, say why they can't."""
    assert [row.technique for row in atto.rows] == ["none", *techniques_of()]
    problems = {row.technique: row.problem for row in atto.rows if row.problem}
    assert problems == {
        "filter_pruning": "'filter_pruning' must be applied to a CIFAR network (got ConvNeXt)",
        "reparameterize": "'reparameterize' must be applied to a network with branches that timm can merge "
        "(got ConvNeXt, which has none); RepVGG and MobileOne have some",
    }


def test_numbers_are_those_of_the_counters(atto: Audit) -> None:
    """Reported and actual numbers agree with counting the compressed model directly."""
    dense = convnext.build("convnext_atto")
    quantized = quantize(dense)
    result = row_of("dynamic_quantization", atto)

    reported, actual = counts.reported(quantized), counts.actual(quantized)
    assert result.parameters == ReportedAndActual(reported=reported.parameters, actual=actual.parameters)
    assert result.macs == ReportedAndActual(reported=reported.macs, actual=actual.macs)
    assert result.nonzero_parameters == actual.nonzero_parameters
    assert result.bit_operations == actual.bit_operations
    assert result.bytes == size.state_dict_bytes(quantized)
    assert atto.uncompressed.bytes == size.state_dict_bytes(dense)


def test_combination_starts_from_the_pruned_model(atto: Audit) -> None:
    """The pruned and quantized model has as many parameters as the pruned one, in fewer bytes."""
    pruned, both = row_of("structured_pruning", atto), row_of("combined", atto)

    assert pruned.parameters is not None
    assert both.parameters is not None
    assert both.parameters.actual == pruned.parameters.actual
    assert (both.bytes or 0) < (pruned.bytes or 0)


def test_share_of_linear_layers_is_hidden_by_dynamic_quantization(atto: Audit) -> None:
    """The shares add up to 1, and the share of nn.Linear is what `parameters()` misses after quantization."""
    quantized = row_of("dynamic_quantization", atto)
    assert atto.uncompressed.parameters is not None
    assert quantized.parameters is not None

    hidden = 1 - (quantized.parameters.reported or 0) / (atto.uncompressed.parameters.reported or 0)
    assert sum(atto.shares.values()) == pytest.approx(1.0)
    assert atto.shares["linear"] == pytest.approx(hidden)


def test_misleading_counters_give_warnings(atto: Audit) -> None:
    """Weights and MACs that counters miss, and zeros that are stored, are warned of."""
    text = "\n".join(atto.warnings)

    assert "dynamic quantization: parameters() reports 89 % fewer, but no fewer are stored" in text
    assert "dynamic quantization: thop reports" in text
    assert "unstructured pruning: 79.9 % of the weights are set to 0, but the file is no smaller" in text
    assert "replaces only nn.Linear" not in text


def test_convolutional_mlp_is_warned_of() -> None:
    """timm's ConvNeXt with 1 × 1 convolutions gains almost nothing from quantization; a warning says why."""
    left_out = [name for name in techniques_of() if name != "dynamic_quantization"]
    result = audit(
        "timm:convnext_atto", resolution=32, classes=10, latency=False, settings=dict.fromkeys(left_out, ())
    )
    text = "\n".join(result.warnings)

    assert result.source == "timm, random weights"
    assert result.shares["pointwise convolution"] > 0.8
    assert "in 1 × 1 convolutions, which compute the same as nn.Linear but aren't quantized" in text
    assert "dynamic quantization replaces only nn.Linear, here 0.1 % of the parameters" in text
    assert row_of("dynamic_quantization", result).problem is None


def test_attention_that_thop_leaves_out_is_warned_of() -> None:
    """thop doesn't count the products of attention; a warning gives the share."""
    dense = Row(technique="none", macs=ReportedAndActual(reported=11_000_000_000, actual=17_600_000_000))

    (text,) = find_warnings([dense], {})

    assert text.startswith("thop leaves out 37.5 % of the model's MACs (it reports 11 G of 17.6 G)")


def test_agreeing_counters_give_no_warning() -> None:
    """If reported and actual numbers agree, there is nothing to warn of."""
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

    assert find_warnings([dense, half], {"linear": 1.0}) == []


def test_model_that_does_not_run_is_still_counted() -> None:
    """A model that doesn't accept the image has parameters and bytes, and a reason why it has no MACs."""
    result = audit(nn.Sequential(nn.Flatten(), nn.Linear(7, 3)), resolution=8).uncompressed

    assert result.parameters == ReportedAndActual(reported=24, actual=24)
    assert result.macs is None
    problem = result.problem or ""
    assert problem.startswith("MACs can't be counted: the network must run on its input float32 (1, 3, 8, 8) (got ")


class ReadsItsWeights(nn.Module):
    """A network that multiplies by the weight of an nn.Linear, which is no tensor once it is quantized."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(192, 4)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the products."""
        return images.flatten(1) @ self.layer.weight.T


def test_compressed_model_that_does_not_run_saves_nothing() -> None:
    """Its int8 file is smaller, but nobody can run it: the row has no number, and says why."""
    result = audit(ReadsItsWeights(), resolution=8, latency=False)

    row = row_of("dynamic_quantization", result)
    assert (row.parameters, row.bytes, row.deflated_bytes, row.macs) == (None, None, None, None)
    assert (row.problem or "").startswith("does not run: ")
    assert not [warning for warning in result.warnings if warning.startswith("dynamic quantization:")]


def test_module_is_not_changed() -> None:
    """The module keeps its mode and its values, and no counter leaves a buffer in it."""
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(144, 2)).train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}

    result = audit(model, resolution=8, settings={"structured_pruning": [], "combined": []})

    assert row_of("dynamic_quantization", result).latency, "the rows must be timed, too"
    assert model.training
    assert before.keys() == model.state_dict().keys()
    assert all(torch.equal(tensor, model.state_dict()[name]) for name, tensor in before.items())


def test_failing_user_technique_has_a_row_with_the_reason() -> None:
    """A user's technique has a row; if it fails, the row has the reason and the other rows are complete."""

    @technique("impossible")
    def impossible(model: nn.Module, settings: Sequence[Settings]) -> Iterator[nn.Module]:
        """Fail."""
        raise ZeroDivisionError("not today")
        yield model

    try:
        result = audit(
            nn.Sequential(nn.Conv2d(3, 4, 3)), resolution=8, settings={"structured_pruning": [], "combined": []}
        )
    finally:
        del TECHNIQUES["impossible"]

    assert row_of("impossible", result).problem == "ZeroDivisionError: not today"
    assert row_of("dynamic_quantization", result).problem is None


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


def test_table_shows_numbers_savings_and_warnings(atto: Audit) -> None:
    """The table has one row per technique, the saving below each number, and the warnings at the end."""
    text = render(atto, colour=False)

    assert "convnext_atto (torchvision's ConvNeXt, random weights), one image of 32 × 32" in text
    assert "−89.0 %" in text
    assert "structured pruning" in text
    assert "! dynamic quantization: parameters() reports" in text
    assert "\x1b" not in text


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


@pytest.fixture
def undeflated(monkeypatch: pytest.MonkeyPatch) -> None:
    """Don't deflate: it takes seconds per row."""
    monkeypatch.setattr(size, "deflated_bytes", lambda _: 0)


def assert_quantized_as_expected(result: Audit, share: float) -> None:
    """Compare the row of dynamic quantization with the share of nn.Linear, in percent of the parameters."""
    __tracebackhide__ = True
    dense, quantized = result.uncompressed, row_of("dynamic_quantization", result)
    assert dense.parameters is not None
    assert quantized.parameters is not None
    assert 100 * result.shares["linear"] == pytest.approx(share, abs=0.005)
    assert quantized.parameters.actual == dense.parameters.actual
    assert quantized.parameters.reported == round((dense.parameters.actual or 0) * (1 - result.shares["linear"]))
    saved = 100 * (1 - (quantized.bytes or 0) / (dense.bytes or 1))
    assert saved == pytest.approx(0.75 * share, abs=0.5)


def assert_complete(rows: Sequence[Row]) -> None:
    """Fail if a row has a problem or lacks a number."""
    __tracebackhide__ = True
    for row in rows:
        assert row.problem is None, row.technique
        numbers = (row.parameters, row.nonzero_parameters, row.macs, row.bit_operations, row.bytes)
        assert None not in numbers, row.technique


@pytest.mark.usefixtures("undeflated")
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in QUICK else [pytest.mark.slow]) for name in OTHERS]
)
def test_other_networks_are_audited(name: str) -> None:
    """Their rows are complete; structured pruning has tests of its own (test_channel_pruning.py)."""
    side, share = OTHERS[name]
    left_out = [*OTHER_TECHNIQUES, "structured_pruning", "combined"]
    if name not in QUICK:
        left_out.append(WITHOUT_KERNEL)
    result = audit(name, resolution=side, latency=False, settings=dict.fromkeys(left_out, ()))

    assert {row.technique for row in result.rows} == {"none", *techniques_of()} - {*left_out}
    assert_complete(result.rows)
    assert_quantized_as_expected(result, share)
    assert any("dynamic quantization replaces only nn.Linear" in text for text in result.warnings) == (share < 50)


@pytest.mark.slow
@pytest.mark.usefixtures("undeflated")
@pytest.mark.parametrize("name", CONVNEXTS)
def test_convnexts_are_audited(name: str) -> None:
    """torchvision's ConvNeXts have complete rows; pruning the larger ones takes half a minute and is left out."""
    left_out = list(OTHER_TECHNIQUES)
    if name in ("convnext_base", "convnext_large"):
        left_out += ["unstructured_pruning", "structured_pruning", "combined", WITHOUT_KERNEL]
    result = audit(name, resolution=32, latency=False, settings={technique: [] for technique in left_out})

    assert [row.technique for row in result.rows] == [
        "none",
        *(name for name in techniques_of() if name not in left_out),
    ]
    assert_complete(result.rows)
    assert_quantized_as_expected(result, CONVNEXTS[name])
