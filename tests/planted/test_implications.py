"""Each rule notices a planted number among those of the real claims file; the true numbers are the control."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from edgeai_repro.claims.implications import RULES, check
from edgeai_repro.claims.schema import Claim, ImplicationSpec, load_claims
from edgeai_repro.devices.spec import Device, load_devices

CLAIMS = Path(__file__).parents[2] / "claims"
SMALL = {"model": "convnext_small"}
SPECS = [
    ImplicationSpec(
        id="compose",
        rule="compose",
        claims={"size_by_pruning": "structured-size", "size_together": "combined-size"},
        parameters=SMALL,
        expect=True,
    ),
    ImplicationSpec(
        id="same-count",
        rule="same-count",
        claims={"by_quantization": "dq-params", "by_pruning": "structured-size", "together": "combined-params"},
        parameters=SMALL,
        expect=False,
    ),
    ImplicationSpec(
        id="int8-ceiling",
        rule="int8-ceiling",
        claims={"size_by_quantization": "dq-size"},
        parameters={"models": "convnext_tiny convnext_small convnext_base convnext_large"},
        expect=False,
    ),
    ImplicationSpec(
        id="latency-feasible",
        rule="latency-feasible",
        claims={"latency": "edge-latency"},
        parameters={**SMALL, "target": 0.8},
        expect=True,
    ),
]


@dataclass(frozen=True)
class Planted:
    """A claim with a number that the paper does not have, its band scaled along."""

    value: float
    edges: tuple[float, float]


@pytest.fixture(scope="module")
def claims() -> dict[str, Claim]:
    """The paper's claims by id."""
    return {claim.id: claim for paper in load_claims(CLAIMS) for claim in paper.claims}


@pytest.fixture(scope="module")
def devices() -> list[Device]:
    """The listed devices."""
    return list(load_devices(CLAIMS).values())


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.id)
def test_true_numbers(spec: ImplicationSpec, claims: dict[str, Claim], devices: list[Device]) -> None:
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
    ],
)
def test_planted_number(
    claims: dict[str, Claim], devices: list[Device], rule: str, role: str, value: float
) -> None:
    """A planted number turns the finding."""
    spec = next(spec for spec in SPECS if spec.rule == rule)
    name = spec.claims[role]
    low, high = (edge * value / claims[name].value for edge in claims[name].edges)
    planted = Planted(value, (low, high))

    turned = check(spec, {**claims, name: planted}, devices)

    assert turned.holds != spec.expect, f"{rule} should have turned with {role} {value} planted: {turned.text}"


def test_every_rule_is_planted() -> None:
    """No rule is without its planted number."""
    assert {spec.rule for spec in SPECS} == set(RULES)
