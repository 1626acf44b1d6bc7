"""Each rule notices a planted number among those of the real claims file; the true numbers are the control."""

from __future__ import annotations

from pathlib import Path

import pytest

import edgeai_repro.builtin  # noqa: F401 - registers the metrics and techniques that claims name
from edgeai_repro.claims.band import Band
from edgeai_repro.claims.implications import RULES, check
from edgeai_repro.claims.load import load_claims
from edgeai_repro.claims.paper_info import ImplicationSpec
from edgeai_repro.claims.schema import Claim
from edgeai_repro.devices.spec import Device, load_devices

CLAIMS = Path(__file__).parents[2] / "claims"
SMALL = {"model": "convnext_small"}
SPECS = [
    ImplicationSpec(
        id="compose",
        rule="compose",
        claims={"size_by_pruning": "structured-size", "size_together": "combined-size"},
        given=SMALL,
        expect=True,
    ),
    ImplicationSpec(
        id="same-count",
        rule="same-count",
        claims={"by_quantization": "dq-params", "by_pruning": "structured-size", "together": "combined-params"},
        given=SMALL,
        expect=False,
    ),
    ImplicationSpec(
        id="int8-ceiling",
        rule="int8-ceiling",
        claims={"size_by_quantization": "dq-size"},
        given={"models": "convnext_tiny convnext_small convnext_base convnext_large"},
        expect=False,
    ),
    ImplicationSpec(
        id="latency-feasible",
        rule="latency-feasible",
        claims={"latency": "edge-latency"},
        given={**SMALL, "target": 0.8},
        expect=True,
    ),
    ImplicationSpec(
        id="same-choice",
        rule="same-choice",
        claims={"first": "vgg16-macs", "second": "vgg19-macs"},
        given={"choices": "counted / left out", "first": "15.470 / 15.347", "second": "19.632 / 19.508"},
        expect=False,
    ),
]


def _planted(claim: Claim, value: float) -> Claim:
    """Return a claim with a number that the paper does not have, its band scaled along."""
    scale = value / claim.value
    parts = {
        name: getattr(claim.band, name) * scale
        for name in Band.model_fields
        if name not in ("side", "digits", "derivation")
    }
    return claim.model_copy(update={"value": value, "band": claim.band.model_copy(update=parts)})


@pytest.fixture(scope="module")
def claims() -> dict[str, Claim]:
    """The claims of the papers that the specs above are about, by id."""
    papers = [paper for paper in load_claims(CLAIMS) if paper.paper.id in ("francy2024", "he2016")]
    return {claim.id: claim for paper in papers for claim in paper.claims}


@pytest.fixture(scope="module")
def devices() -> list[Device]:
    """The listed devices."""
    return list(load_devices(CLAIMS).values())


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.id)
def test_printed_numbers_give_the_known_finding(
    spec: ImplicationSpec, claims: dict[str, Claim], devices: list[Device]
) -> None:
    """The control: the paper's own numbers give the finding that is known."""
    finding = check(spec, claims, devices)

    assert finding.holds == spec.expect, f"{spec.id}={finding.holds}, but should be {spec.expect}: {finding.text}"


@pytest.mark.parametrize(
    ("rule", "role", "value"),
    [
        ("compose", "size_together", 92.8),  # the naive product
        ("compose", "size_together", 88.0),
        ("compose", "size_by_pruning", 60.0),
        ("same-count", "together", 98.8),
        ("same-count", "by_pruning", 10.0),  # so little that the rounding hides it
        ("int8-ceiling", "size_by_quantization", 72.0),
        ("latency-feasible", "latency", 0.1),
        ("same-choice", "first", 15.47),  # as counted by the choice that the second needs
        ("same-choice", "second", 19.5),
    ],
)
def test_planted_number_changes_the_finding(
    claims: dict[str, Claim], devices: list[Device], rule: str, role: str, value: float
) -> None:
    """The band is scaled with the number."""
    spec = next(spec for spec in SPECS if spec.rule == rule)
    name = spec.claims[role]

    finding = check(spec, {**claims, name: _planted(claims[name], value)}, devices)

    assert finding.holds != spec.expect, f"{rule}: {role}={value} must change the finding: {finding.text}"


def test_every_rule_on_claims_has_a_planted_number() -> None:
    """No rule is without its planted number; a rule that takes no claims has its own numbers."""
    assert {spec.rule for spec in SPECS} == {name for name, rule in RULES.items() if rule.roles}
