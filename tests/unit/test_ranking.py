"""The ranking of an audit's variants: order, front, target, advice, and what is never ranked."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgeai_repro.audit.ranking import rank
from edgeai_repro.audit.schema import Latency, Ranked, Ranking, ReportedAndActual, Row
from edgeai_repro.devices.spec import Device, load_devices
from edgeai_repro.evidence.measurement import Interval

DEVICES = load_devices(Path(__file__).parents[2] / "claims")
PI = DEVICES["raspberry-pi-5"]
MACS = 1_000_000_000


def row(
    technique: str, *, size: int = 10_000_000, int8: float = 0.0, error: float | None = 0.0, **more: object
) -> Row:
    """Return a row of 1 G MACs, a share of which is in int8."""
    fp32 = round(MACS * (1 - int8))
    return Row(
        technique=technique,
        macs=ReportedAndActual(reported=MACS, actual=MACS),
        fp32_macs=fp32,
        bit_operations=1024 * fp32 + 64 * (MACS - fp32),
        bytes=size,
        output_error=error,
    ).model_copy(update=more)


def timed(milliseconds: float, problem: str | None = None) -> Latency:
    """Return a latency here; with a problem, its control failed."""
    one = Interval(value=1.0, low=0.99, high=1.01)
    time = Interval(value=milliseconds, low=milliseconds, high=milliseconds)
    return Latency(milliseconds=time, p90=milliseconds, n=40, control=one, problem=problem)


def ranked(rows: list[Row], device: Device | None = PI, target: float | None = None) -> Ranking:
    """Return the ranking of rows with random weights."""
    return rank(rows, device=device, target_ms=target, random_weights=True)


def names(variants: list[Ranked]) -> list[str]:
    """Return the names in their order."""
    return [variant.name for variant in variants]


def test_expected_times_are_those_of_the_published_rates() -> None:
    """1 G MACs of fp32, and of int8, at ConvNeXt-Base's published times on a Raspberry Pi 5, in closed form."""
    first, second = ranked([row("none"), row("dynamic_quantization", int8=1.0)]).variants

    assert (first.name, second.name) == ("dynamic quantization", "uncompressed")
    assert first.expected_ms == pytest.approx(275.01 / 15.355)
    assert second.expected_ms == pytest.approx(443.25 / 15.355)
    assert second.bound_ms == pytest.approx(1e9 / (8 * 4 * 2.4e9) * 1e3)
    assert [first.rank, second.rank] == [1, 2]


def test_a_device_without_rates_ranks_by_bounds_and_says_so() -> None:
    """No expectation is made up: int8 on this device has no published rate."""
    device = PI.model_copy(update={"achieved": PI.achieved[:1]})
    ranking = ranked([row("none"), row("dynamic_quantization", int8=1.0)], device, target=20)

    assert ranking.ranked_by == "bound"
    assert "could reach 20 ms" in ranking.advice
    assert "no rate is published for some precision" in ranking.unknown


def test_a_time_that_failed_its_control_ranks_nothing() -> None:
    """The fastest row has no rank, because the machine was noisy while it was timed, and can't be advised."""
    noisy = row("dynamic_quantization", latency=timed(1.0, "too noisy"))
    ranking = ranked([row("none", latency=timed(9.0)), noisy], None, target=20)

    assert [(one.name, one.rank, one.milliseconds) for one in ranking.variants] == [
        ("uncompressed", 1, 9.0),
        ("dynamic quantization", None, None),
    ]
    assert ranking.variants[1].reason == "its times failed the A/A control"
    assert "take uncompressed (measured at 9 ms)" in ranking.advice
    assert ranked([noisy], None).advice.startswith("no variant can be advised")


def test_the_front_are_the_variants_that_no_other_beats_in_all_three() -> None:
    """A slower, larger or less exact variant is on the front as long as it is better in something else."""
    rows = [
        row("none", latency=timed(10)),
        row("combined", size=1_000_000, error=0.5, latency=timed(2)),
        row("codebook", size=2_000_000, error=0.6, latency=timed(3)),
        row("unstructured_pruning", latency=timed(10), error=None),
    ]
    ranking = ranked(rows, None)
    assert names([one for one in ranking.variants if one.on_front]) == ["combined", "uncompressed"]
    assert names(ranking.variants) == ["combined", "codebook", "uncompressed", "unstructured pruning"]


def test_the_advice_is_the_least_change_within_the_target() -> None:
    """Faster variants that change more are not advised; of equal ones the smaller is."""
    rows = [
        row("none", latency=timed(30)),
        row("combined", size=1_000_000, error=0.5, latency=timed(2)),
        row("static_quantization", size=3_000_000, error=0.01, latency=timed(15)),
        row("dynamic_quantization", size=2_000_000, error=0.01, latency=timed(16)),
    ]
    advice = ranked(rows, None, target=20).advice
    assert advice.startswith(
        "3 of 4 variants reach 20 ms on this machine: take dynamic quantization (measured at 16"
    )
    assert advice.endswith("in 2 MB, whose outputs change least, by 1 % of the largest")


def test_a_variant_whose_outputs_are_lost_must_be_retrained() -> None:
    """Half of the largest output is the limit."""
    rows = [row("combined", error=0.51, latency=timed(2))]
    assert ranked(rows, None, target=20).advice.endswith("by 51 % of the largest; it must be retrained")
    kept = [row("combined", error=0.5, latency=timed(2))]
    assert ranked(kept, None, target=20).advice.endswith("by 50 % of the largest")


def test_a_target_that_no_variant_reaches_is_one_sentence() -> None:
    """It gives the fastest and its time, and what could help."""
    ranking = ranked([row("none")], target=1)

    assert [one.meets_target for one in ranking.variants] == [False]
    assert ranking.advice.startswith(
        f"no variant reaches 1 ms on {PI.name}: the fastest is uncompressed (expected at 28.9"
    )


def test_without_a_target_or_times_there_is_an_order_and_no_choice() -> None:
    """Bytes rank if nothing was timed; the sentence says what to add."""
    by_bytes = ranked([row("none"), row("codebook", size=1)], None)
    assert names(by_bytes.variants) == ["codebook", "uncompressed"]
    assert by_bytes.advice.startswith("nothing was timed: codebook is the smallest")
    assert ranked([row("none")]).advice.endswith("add --target-ms for a choice")


def test_rows_that_failed_are_left_out_and_other_types_have_no_rank() -> None:
    """A variant that couldn't be made or run is no choice; fp16 products have no figures of the device."""
    half = row("half").model_copy(update={"bit_operations": 256 * MACS, "fp32_macs": 0})
    ranking = ranked([row("none"), Row(technique="combined", problem="refused"), half])

    assert names(ranking.variants) == ["uncompressed", "half"]
    assert ranking.variants[1].rank is None
    assert "other types than fp32 and int8" in ranking.variants[1].reason


def test_what_is_not_known_is_said() -> None:
    """Accuracy without data, random weights, and on a device what activations cost and the rates."""
    assert "of trained weights would change (these are random)" in ranked([row("none")]).unknown
    assert "moving activations" in ranked([row("none")]).unknown
    assert "the rates of convnext_base, at which times are expected" in ranked([row("none")]).unknown
    assert "moving activations" not in ranked([row("none")], None).unknown
