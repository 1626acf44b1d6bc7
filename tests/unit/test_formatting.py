"""Numbers, bands and intervals as text."""

from __future__ import annotations

from typing import Any

import pytest

from edgeai_repro.evidence.measurement import Interval
from edgeai_repro.judge.formatting import describe_method, format_edges, format_interval, format_number
from tests.support.factories import claim


@pytest.mark.parametrize(
    ("value", "unit", "edges", "text"),
    [
        (73.976, "%", (), "73.98 %"),
        (100.0, "%", (), "100 %"),
        (0.0041, "G", (), "0.004 G"),
        (-0.001, "points", (), "-0.001 points"),
        # The decimals of the band: 16.63 lies inside of 16.625 … 16.635.
        (16.6303, "×", (16.625, 16.635), "16.63 ×"),
        # One more where the value would look like an edge.
        (37.952, "%", (37.85, 37.95), "37.952 %"),
        (37.95, "%", (37.85, 37.95), "37.95 %"),
        (50.0, "%", (50.0, float("inf")), "50 %"),
        # 146 million are not 0.15 G.
        (0.145814, "G", (0.1455, 0.1465), "145.81 M"),
        (0.853018, "M", (0.845, 0.855), "853.02 k"),
        (4.394, "G", (4.15, 4.25), "4.39 G"),
        (0.5, "%", (0.1, 0.9), "0.5 %"),
    ],
)
def test_number_has_the_digits_and_the_unit_that_its_band_needs(
    value: float, unit: str, edges: tuple[float, ...], text: str
) -> None:
    """Two decimals, unless the band is finer or the value would look like its edge."""
    assert format_number(value, unit, edges) == text


@pytest.mark.parametrize(
    ("edges", "text"),
    [
        ((92.5, 97.5), "92.5 … 97.5 %"),
        ((16.625, 16.635), "16.625 … 16.635 %"),
        ((float("-inf"), 5.0), "at most 5 %"),
        ((72.5, float("inf")), "at least 72.5 %"),
    ],
)
def test_band_shows_its_edges_exactly(edges: tuple[float, float], text: str) -> None:
    """An infinite edge is left out."""
    assert format_edges(*edges, "%") == text


def test_small_band_is_written_in_the_smaller_unit() -> None:
    """Value, interval and band have the same unit."""
    edges = (0.1455, 0.1465)

    assert format_edges(*edges, "G") == "145.5 … 146.5 M"
    assert format_interval(Interval(value=0.146, low=0.1458, high=0.1462), "G", edges) == "146 M [145.8, 146.2]"


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({}, "parameters vgg16 has: reported by parameters()"),
        ({"without": "vgg11"}, "Here reported is the whole change, and actual the part from vgg11 on."),
        ({"conditions": {"convention": "hrank"}}, "Here reported is what the paper's authors count (hrank)."),
        ({"conditions": {"counter": "fvcore"}}, "Here reported is what fvcore counts."),
    ],
)
def test_method_says_what_the_reported_value_is(changed: dict[str, Any], told: str) -> None:
    """It names the other network, the cause, the paper's own count, or the counter."""
    entry = claim(metric="params_ratio", technique="none", against="vgg16", **changed)

    assert told in describe_method(entry)
    assert "`" not in describe_method(entry)
