"""Implications of each rule, and claims for them."""

from __future__ import annotations

import math
from typing import Any

from edgeai_repro.claims.paper_info import ImplicationSpec
from edgeai_repro.claims.schema import Claim
from tests.support.factories import claim

SMALL = {"model": "convnext_small"}
ALL = {"models": "convnext_tiny convnext_small convnext_base convnext_large"}


def claim_with(value: float, low: float, high: float) -> Claim:
    """Return a claim with a value and the ends of its band, infinite if the band is open there."""
    side = "at_least" if math.isinf(high) else "at_most" if math.isinf(low) else "both"
    width = high - value if side == "at_most" else value - low
    return claim(value=value, band={"rounding": width, "side": side, "derivation": "for the test"})


def implication(rule: str, claims: dict[str, str], given: dict[str, Any] | None = None) -> ImplicationSpec:
    """Return an implication that should hold; without `given`, it is about ConvNeXt-Small."""
    return ImplicationSpec(id="i", rule=rule, claims=claims, given=SMALL if given is None else given, expect=True)


CLAIMS = {
    "structured": claim_with(75.0, 72.5, math.inf),
    "combined": claim_with(89.7, 89.65, 89.75),
    "quantized-parameters": claim_with(95.0, 92.5, 97.5),
    "combined-parameters": claim_with(95.0, 92.5, 97.5),
    "quantized": claim_with(75.0, 72.5, 77.5),
    "latency": claim_with(20.0, -math.inf, 25.0),
}
COMPOSE = implication("compose", {"size_by_pruning": "structured", "size_together": "combined"})
SAME_COUNT = implication(
    "same-count",
    {"by_quantization": "quantized-parameters", "by_pruning": "structured", "together": "combined-parameters"},
)
CEILING = implication("int8-ceiling", {"size_by_quantization": "quantized"}, ALL)
LATENCY = implication("latency-feasible", {"latency": "latency"}, SMALL | {"target": 0.8})


# 93.85 − 93.68 = 0.17 points; 0.17 / 93.68 = 0.18 % of the accuracy, 0.17 / 6.32 = 2.690 % of the error.
CHANGE = implication(
    "printed-change",
    {},
    {"before": 93.68, "after": 93.85, "change": 2.69, "half_digit": 0.005, "relative_to": "error"},
)


# 12 to 14 and 20 to 22 are printed: A gives 13 and 25, B gives 18 and 21, C 14 and 20.
CHOICE = implication(
    "same-choice", {"first": "one", "second": "two"}, {"choices": "A / B", "first": "13 / 18", "second": "25 / 21"}
)
