"""Claims that name a counter: its MACs are the reported ones, and the reason says what it misses."""

from __future__ import annotations

import weakref
from dataclasses import replace

import pytest
from torch import nn

from edgeai_repro.claims.schema import Claim
from edgeai_repro.evidence.measurement import MISSED, Measured
from edgeai_repro.judge.verdict import judge
from edgeai_repro.measure.compressed_models import CompressedModels
from edgeai_repro.measure.counters import adapters
from edgeai_repro.networks.variants import CONVNEXT_VARIANTS, Layer, layers
from tests.support.factories import case, claim

pytestmark = pytest.mark.usefixtures("one_thread")
LAYERS = list(layers(CONVNEXT_VARIANTS["convnext_atto"], resolution=32, num_classes=10))
PRODUCTS = sum(layer.macs for layer in LAYERS)
IN_LINEAR = sum(layer.macs for layer in LAYERS if layer.kind == "linear")


def outputs(layer: Layer) -> int:
    """Return the elements of a layer's output; its `others` are its biases."""
    return layer.others * layer.macs // layer.weights


# torchinfo multiplies a Linear's weights and biases by no number of positions, and adds the biases of convolutions.
BY_TORCHINFO = sum(
    layer.weights if layer.kind == "linear" else layer.macs + outputs(layer) for layer in LAYERS if layer.weights
)


def counted_by(counter: str, value: float, **fields: object) -> Claim:
    """Return a claim on the MACs of ConvNeXt-Atto, in G, to 2 %."""
    conditions = {"counter": counter, "resolution": 32, "classes": 10}
    band = {"tolerance": 0.02 * value, "derivation": "for the test"}
    given = {
        "metric": "macs",
        "technique": "none",
        "models": ["convnext_atto"],
        "value": value,
        "band": band,
        "conditions": conditions,
    }
    return claim(**{**given, **fields})


def measure(claim: Claim) -> Measured:
    """Return the rows of a claim."""
    return CompressedModels([case(claim)]).measure(case(claim))


def test_the_counter_of_a_claim_gives_the_reported_macs() -> None:
    """FlopCounterMode counts the products; torchinfo counts a Linear once."""
    (torch,) = measure(counted_by("FlopCounterMode", PRODUCTS / 1e9)).rows
    (torchinfo,) = measure(counted_by("torchinfo", PRODUCTS / 1e9)).rows

    assert torch.reported.value == pytest.approx(PRODUCTS / 1e9)
    assert torchinfo.reported.value == pytest.approx(BY_TORCHINFO / 1e9, rel=0.01)  # it adds the norms' parameters
    assert torch.actual == torchinfo.actual == torch.reported


def test_the_reason_of_a_true_claim_says_what_its_counter_misses() -> None:
    """The network computes that much, and the counter says otherwise."""
    true = counted_by("torchinfo", PRODUCTS / 1e9)

    verdict = judge(true, measure(true))

    assert verdict.verdict == "reproduced"
    assert "torchinfo reports" in verdict.reason
    assert "of Linear: " in verdict.reason


def test_a_claim_that_only_its_counter_confirms_is_an_artefact() -> None:
    """No row says what is missed, because the claim does not hold."""
    wrong = counted_by("torchinfo", BY_TORCHINFO / 1e9)
    measured = measure(wrong)

    assert judge(wrong, measured).verdict == "artefact"
    assert MISSED not in measured.rows[0].notes


def test_a_reduction_compares_the_counters_own_counts() -> None:
    """FlopCounterMode has no formula for int8 operators, so the share of nn.Linear seems to be removed."""
    reduction = counted_by("FlopCounterMode", 95.0, metric="macs_reduction", technique="dynamic_quantization")

    (row,) = measure(reduction).rows

    assert row.reported.value == pytest.approx(100 * IN_LINEAR / PRODUCTS)
    assert row.actual is not None
    assert row.actual.value == 0.0


def test_a_claim_whose_counter_is_not_installed_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """It can't be tested here, and no error."""
    absent = adapters.Counter("fvcore", "no_such_module", adapters.CALLS["fvcore"])
    monkeypatch.setitem(adapters.COUNTERS, "fvcore", absent)

    obstacle = measure(counted_by("fvcore", 1.0)).obstacle

    assert obstacle is not None
    assert obstacle.kind == "counters"
    assert "pip install 'edgeai-repro[counters]'" in obstacle.remedy


def test_a_counter_that_fails_does_not_keep_the_network_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error holds the frames that it came through. ViT-B/16 stayed in memory for the rest of a run so."""
    seen: list[weakref.ref[nn.Module]] = []

    def fails(model: nn.Module, inputs: object) -> adapters.Numbers:
        seen.append(weakref.ref(model))
        raise RuntimeError("no rule")

    failing = replace(adapters.COUNTERS["fvcore"], call=fails)
    monkeypatch.setitem(adapters.COUNTERS, "fvcore", failing)
    models = CompressedModels([case(counted_by("fvcore", 1.0))])

    with pytest.raises(adapters.CounterError, match="no rule"):
        models.measure(case(counted_by("fvcore", 1.0)))

    assert [network() for network in seen] == [None]
