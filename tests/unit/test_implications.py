"""What claims imply of each other, against arithmetic done by hand in the comments."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import pytest

from edgeai_repro.claims.implications import RULES, ImplicationFinding, check, not_linear, spec_problems
from edgeai_repro.claims.number_rules import Number
from edgeai_repro.claims.paper_info import ImplicationSpec
from edgeai_repro.claims.schema import Claim
from edgeai_repro.devices.spec import Device, load_devices
from tests.support.implications import (
    ALL,
    CEILING,
    CHANGE,
    CHOICE,
    CLAIMS,
    COMPOSE,
    LATENCY,
    SAME_COUNT,
    SMALL,
    claim_with,
    implication,
)


@pytest.fixture(scope="module")
def devices() -> list[Device]:
    """The listed devices."""
    return list(load_devices(Path(__file__).parents[2] / "claims").values())


def _check(spec: ImplicationSpec, devices: list[Device] | None = None, **changed: Claim) -> ImplicationFinding:
    return check(spec, CLAIMS | {name.replace("_", "-"): claim for name, claim in changed.items()}, devices or [])


@pytest.mark.parametrize(
    ("model", "percent"),
    [
        # what stays in `parameters()` after dynamic quantization, of all
        ("convnext_tiny", 100 * 1_908_480 / 27_827_818),
        ("convnext_small", 100 * 2_274_816 / 49_462_378),  # 4.6
        ("convnext_base", 100 * 3_721_216 / 87_576_714),
        ("convnext_large", 100 * 7_646_208 / 196_245_706),
    ],
)
def test_share_outside_of_linear_is_what_stays_after_quantization(model: str, percent: float) -> None:
    """The share that is not Linear is what was seen to stay after quantization."""
    assert not_linear(model) == pytest.approx(percent, abs=1e-9)


def test_one_sided_band_is_made_symmetric() -> None:
    """An open end of a band becomes as far as the other."""
    assert Number.of(claim_with(75.0, 72.5, math.inf)) == Number(75.0, 72.5, 77.5)
    assert Number.of(claim_with(20.0, -math.inf, 25.0)) == Number(20.0, 15.0, 25.0)


def test_pruning_and_int8_compose() -> None:
    """75 % by pruning leaves 4.6 + 20.4 / 4 = 9.7 %; 89.7 % needs 4.6 + 4 · 5.7 = 27.4 % left: both can be."""
    finding = _check(COMPOSE)

    assert finding.holds
    assert "leaves 4.6 + 20.4 / 4 = 9.7 % after int8, so 90.3 % saved together" in finding.text
    assert "89.7 % together needs 72.6 % by pruning" in finding.text
    # 0.25 · (4.6 + 95.4 / 4) = 0.25 · 28.4 = 7.1
    assert "promises 92.9 % and is wrong" in finding.text


@pytest.mark.parametrize(
    ("together", "holds"),
    [
        (89.6, False),  # 10.4 left: 4.6 + 4 · 5.8 = 27.8, so 72.2 by pruning, and 72.4 at the edge of 0.05
        (90.9, True),  # 9.1 left: 77.4 by pruning
        (91.0, False),  # 9.0 left: 77.8, and 77.6 at the edge
        (92.9, False),  # the naive product
    ],
)
def test_combined_saving_needs_a_pruning_within_the_printed_digits(together: float, holds: bool) -> None:
    """The combined saving must need a pruning within the printed digits."""
    combined = claim_with(together, together - 0.05, together + 0.05)

    assert _check(COMPOSE, combined=combined).holds == holds


def test_counts_that_both_remove_parameters_contradict_each_other() -> None:
    """95 % and 75 % of the rest leave 5 · 0.25 = 1.25 %; with the rounding 7.5 · 0.275 = 2.1 %, under 2.5."""
    finding = _check(SAME_COUNT)

    assert not finding.holds
    assert "98.8 % would be gone together, from 97.9 to 99.4 % with the rounding" in finding.text
    assert "reports 95.4 % in both cases" in finding.text


@pytest.mark.parametrize(("together", "holds"), [(96.0, True), (95.0, False), (98.75, True), (99.9, True)])
def test_count_together_must_reach_what_the_two_leave(together: float, holds: bool) -> None:
    """What is reported together must reach what the two leave over: 97.94 … 99.44."""
    combined = claim_with(together, together - 2.5, together + 2.5)

    assert _check(SAME_COUNT, combined_parameters=combined).holds == holds


def test_int8_can_not_save_three_quarters() -> None:
    """Three bytes of four of 96.1 % of ConvNeXt-Large: 72.1 %, short of the band's 72.5."""
    finding = _check(CEILING)

    assert not finding.holds
    assert "convnext_small 71.6" in finding.text
    assert "convnext_large 72.1" in finding.text


@pytest.mark.parametrize(("low", "holds"), [(72.0, True), (72.07, True), (72.08, False), (75.1, False)])
def test_lower_edge_of_the_band_decides_on_the_ceiling(low: float, holds: bool) -> None:
    """The band's lower end decides: 75 · (1 − 7,646,208 / 196,245,706) = 72.078."""
    assert _check(CEILING, quantized=claim_with(low + 1, low, low + 2)).holds == holds


def test_latency_is_possible_on_a_raspberry_pi_up_to_64_pixels(devices: list[Device]) -> None:
    """20 ms are possible on a Raspberry Pi up to 64 pixels; at 224 not to be expected, and on a 4 ruled out."""
    finding = _check(LATENCY, devices)

    assert finding.holds
    assert "the bound alone rules out: raspberry-pi-4 at 224 (41.4 / 109.3)" in finding.text
    assert "published rates speak against: raspberry-pi-5 at 224 (10.1 / 40.2)" in finding.text
    assert "raspberry-pi-5 at 64 (1.1 / 3.3)" in finding.text
    assert "jetson-orin-nano at 224 (9.5 / ?)" in finding.text


@pytest.mark.parametrize(
    ("limit", "holds"),
    [
        (1.09, True),  # 18.62 MB / 17.1 GB/s = 1.0890 ms on a Raspberry Pi 5
        (1.08, False),
    ],
)
def test_fastest_expectation_on_an_edge_device_decides(devices: list[Device], limit: float, holds: bool) -> None:
    """The fastest expectation on an edge device decides."""
    assert _check(LATENCY, devices, latency=claim_with(limit, -math.inf, limit)).holds == holds


def test_cloud_host_is_no_edge_device(devices: list[Device]) -> None:
    """A cloud host is no edge device, however fast."""
    cloud = [device.model_copy(update={"kind": "cloud"}) for device in devices]

    assert not _check(LATENCY, cloud).holds


def test_bound_without_a_published_rate_is_not_enough(devices: list[Device]) -> None:
    """That a bound allows it does not make it likely: without a published rate nothing is expected."""
    assert not _check(LATENCY, [device for device in devices if not device.achieved]).holds


@pytest.mark.parametrize(
    ("changed", "holds"),
    [
        ({}, True),
        ({"change": 2.70}, False),
        ({"after": 93.86}, False),
        ({"relative_to": "accuracy"}, False),
        ({"relative_to": "accuracy", "change": 0.18}, True),
        ({"relative_to": "points", "change": 0.17}, True),
        ({"relative_to": "points", "change": -0.17}, False),
    ],
)
def test_printed_change_must_follow_from_the_printed_accuracies(changed: dict[str, Any], holds: bool) -> None:
    """In points, or relative to the accuracy or the error before."""
    finding = check(CHANGE.model_copy(update={"given": {**CHANGE.given, **changed}}), {})

    assert finding.holds == holds, finding.text


@pytest.mark.parametrize(
    ("spec", "match"),
    [
        (CHANGE.model_copy(update={"given": {**CHANGE.given, "relative_to": "x"}}), "must be one of points, accu"),
        (CHANGE.model_copy(update={"given": {**CHANGE.given, "after": "x"}}), "'given.after' must be a number"),
        (
            implication(
                "same-choice", {"first": "a", "second": "b"}, {"choices": "x / y", "first": "1 / 2", "second": "3"}
            ),
            "'given.second' must be 2 numbers, one per choice, separated by ' / ' \\(got '3'\\)",
        ),
        (
            implication("composed", COMPOSE.claims),
            r"'rule' must be known \(got 'composed'\); did you mean 'compose'\?",
        ),
        (implication("compose", {"size_together": "combined"}), r"'claims' must be just .* \(got size_together\)"),
        (
            implication("compose", {**COMPOSE.claims, "x": "y"}),
            "'claims' must be just size_by_pruning, size_together",
        ),
        (implication("compose", COMPOSE.claims, {}), r"'given' must be just model .*\(got nothing\)"),
        (implication("compose", COMPOSE.claims, {"model": "convnext_smal"}), "did you mean 'convnext_small'"),
        (implication("compose", COMPOSE.claims, ALL | {"model": "x"}), "'given' must be just model"),
        (implication("int8-ceiling", CEILING.claims, {"models": ""}), "'given.model' must be known \\(got ''"),
        (
            implication("latency-feasible", LATENCY.claims, SMALL | {"target": 1.0}),
            "'given.target' must be a fraction",
        ),
        (
            implication("latency-feasible", LATENCY.claims, SMALL | {"target": "most"}),
            "'given.target' must be a fraction",
        ),
    ],
)
def test_mistake_of_an_implication_is_named(spec: ImplicationSpec, match: str) -> None:
    """An unknown rule or model, a wrong role, a wrong fact."""
    assert any(re.search(match, problem) for problem in spec_problems(spec)), list(spec_problems(spec))


@pytest.mark.parametrize(
    ("changed", "holds"),
    [
        ({}, False),
        ({"second": "21 / 25"}, True),
        ({"choices": "A / B / C", "first": "13 / 18 / 14", "second": "25 / 21 / 20"}, True),
    ],
)
def test_one_choice_must_make_both_numbers_true(changed: dict[str, str], holds: bool) -> None:
    """Two numbers of one sentence are printed under one rule, whichever it is."""
    claims = {"one": claim_with(13.0, 12.0, 14.0), "two": claim_with(21.0, 20.0, 22.0)}

    finding = check(CHOICE.model_copy(update={"given": {**CHOICE.given, **changed}}), claims)

    assert finding.holds == holds, finding.text


def test_every_rule_has_a_test() -> None:
    """Every rule has a test above."""
    assert {spec.rule for spec in (COMPOSE, SAME_COUNT, CEILING, LATENCY, CHANGE, CHOICE)} == set(RULES)
