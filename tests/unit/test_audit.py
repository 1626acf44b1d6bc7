"""The audit: counting a model under each technique, and the warnings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest
import torch
from torch import nn

from edgeai_repro.audit.audit import audit, techniques_of
from edgeai_repro.audit.schema import Audit, ReportedAndActual, Row
from edgeai_repro.audit.table import render
from edgeai_repro.audit.warnings import find_warnings
from edgeai_repro.claims.registry import TECHNIQUES, technique
from edgeai_repro.compress.quantization import quantize
from edgeai_repro.evidence.measurement import Settings
from edgeai_repro.measure import counts, size
from edgeai_repro.networks import convnext
from tests.support.audits import row_of

pytestmark = pytest.mark.usefixtures("few_rounds")


@pytest.fixture(scope="module")
def atto() -> Audit:
    """The audit of ConvNeXt-Atto at 32 pixels."""
    return audit("convnext_atto", resolution=32, classes=10, latency=False)


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


def test_table_shows_numbers_savings_and_warnings(atto: Audit) -> None:
    """The table has one row per technique, the saving below each number, and the warnings at the end."""
    text = render(atto, colour=False)

    assert "convnext_atto (torchvision's ConvNeXt, random weights), one image of 32 × 32" in text
    assert "−89.0 %" in text
    assert "structured pruning" in text
    assert "! dynamic quantization: parameters() reports" in text
    assert "\x1b" not in text
