"""Ranks the variants of an audit for a device or for this machine, and advises one. Pure; no torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from edgeai_repro.audit.schema import FP32_PRODUCT, INT8_PRODUCT, Audit, Ranked, RankedBy, Ranking, Row
from edgeai_repro.claims.registry import UNCOMPRESSED
from edgeai_repro.devices.roofline import Times, Work, times
from edgeai_repro.devices.spec import Device

LOST = 0.5  # of the largest output; a network whose outputs change more has lost what it learned
Measure = tuple[float, ...]  # what is better if it is less
ON_DEVICE: tuple[RankedBy, ...] = ("expected", "bound")


def with_ranking(audit: Audit, device: Device | None, target_ms: float | None) -> Audit:
    """Return an audit with the ranking of its variants; the arguments are those of `rank`."""
    random_weights = "random weights" in audit.source
    ranking = rank(audit.rows, device=device, target_ms=target_ms, random_weights=random_weights)
    return audit.model_copy(update={"ranking": ranking})


def rank(rows: Sequence[Row], *, device: Device | None, target_ms: float | None, random_weights: bool) -> Ranking:
    """Return the variants of an audit, the fastest first.

    With a device, the time is the one that published rates let expect; if a variant has none, all are ranked by
    their lower bounds. Without, it is the time measured here, and a variant whose times are unreliable has no rank;
    if nothing was timed, bytes rank. A variant is on the front if no other has fewer bytes, less time and a smaller
    error of its outputs at once. Rows that could not be compressed, run or stored are left out.
    """
    variants = [(row, None if device is None else _on_device(device, row)) for row in rows if _is_complete(row)]
    by = _ranked_by(variants)
    ranked = [_ranked(row, estimate, by, target_ms) for row, estimate in variants]
    in_order = sorted((one for one in ranked if not one.reason), key=lambda one: _measures(one, by))
    placed = [
        one.model_copy(
            update={"rank": place, "on_front": not any(_dominates(other, one, by) for other in in_order)}
        )
        for place, one in enumerate(in_order, start=1)
    ]
    name = "this machine" if device is None else device.name
    ranking = Ranking(
        device=name,
        target_ms=target_ms,
        ranked_by=by,
        variants=[*placed, *(one for one in ranked if one.reason)],
        advice="",
        unknown=_unknown(by, device, random_weights, _basis(variants)),
    )
    return ranking.model_copy(update={"advice": _advice(ranking)})


def time_of(variant: Ranked, by: RankedBy) -> float | None:
    """Return the time in milliseconds that ranks a variant, None if there is none."""
    values = {"expected": variant.expected_ms, "bound": variant.bound_ms, "measured": variant.milliseconds}
    return values.get(by)


def variant_name(row: Row) -> str:
    """Return a variant's technique and settings in words."""
    name = "uncompressed" if row.technique == UNCOMPRESSED else row.technique.replace("_", " ")
    settings = (f"{key.replace('_', ' ')} {value}" for key, value in row.settings.items() if key != "pixels")
    return ", ".join([name, *settings])


def _is_complete(row: Row) -> bool:
    return row.bytes is not None and row.macs is not None and row.macs.actual is not None


def _on_device(device: Device, row: Row) -> Times | None:
    """Return the times of a row on a device, None if it multiplies in other types than fp32 and int8."""
    assert row.bytes is not None
    assert row.macs is not None
    macs = row.macs.actual or 0
    fp32 = row.fp32_macs or 0
    if row.fp32_macs is None or row.bit_operations != FP32_PRODUCT * fp32 + INT8_PRODUCT * (macs - fp32):
        return None
    return times(device, Work(row.bytes, fp32, macs - fp32))


def _ranked_by(variants: Sequence[tuple[Row, Times | None]]) -> RankedBy:
    estimates = [estimate for _, estimate in variants if estimate is not None]
    if estimates:
        return "expected" if all(one.expected_ms is not None for one in estimates) else "bound"
    return "measured" if any(row.latency is not None for row, _ in variants) else "bytes"


def _ranked(row: Row, estimate: Times | None, by: RankedBy, target_ms: float | None) -> Ranked:
    latency = row.latency
    reliable = latency is not None and latency.problem is None
    variant = Ranked(
        name=variant_name(row),
        bytes=row.bytes or 0,
        milliseconds=latency.milliseconds.value if latency is not None and reliable else None,
        bound_ms=None if estimate is None else estimate.bound_ms,
        expected_ms=None if estimate is None else estimate.expected_ms,
        error=row.output_error,
    )
    reason = ""
    time = time_of(variant, by)
    if by in ON_DEVICE and time is None:
        reason = "multiplies in other types than fp32 and int8, for which the device has no figures"
    elif by == "measured" and time is None:
        reason = "its times failed the A/A control" if latency is not None else "was not timed"
    meets = None if target_ms is None or time is None else time <= target_ms
    return variant.model_copy(update={"reason": reason, "meets_target": meets})


def _measures(variant: Ranked, by: RankedBy) -> Measure:
    """Return time, bytes and error; an unknown error counts as the largest."""
    error = float("inf") if variant.error is None else variant.error
    return (time_of(variant, by) or 0.0, float(variant.bytes), error)


def _dominates(one: Ranked, other: Ranked, by: RankedBy) -> bool:
    pairs = list(zip(_measures(one, by), _measures(other, by), strict=True))
    return all(a <= b for a, b in pairs) and any(a < b for a, b in pairs)


def _advice(ranking: Ranking) -> str:
    """Return one sentence: the variant to take, or why none can be named."""
    by, target = ranking.ranked_by, ranking.target_ms
    ranked = [variant for variant in ranking.variants if variant.rank is not None]
    if not ranked:
        return "no variant can be advised: none has a time that is reliable; time them on a quiet machine"
    if by == "bytes":
        return (
            f"nothing was timed: {_smallest(ranked).name} is the smallest; leave out --no-latency or add --device"
        )
    if target is None:
        return (
            f"{_with_time(ranked[0], ranking)} is the fastest and {_smallest(ranked).name} the smallest; "
            "add --target-ms for a choice"
        )
    within = [variant for variant in ranked if variant.meets_target]
    limit = f"{target:g} ms on {ranking.device}"
    if not within:
        return (
            f"no variant reaches {limit}: the fastest is {_with_time(ranked[0], ranking)}; prune more, lower "
            "--resolution, or take a smaller network or a faster device"
        )
    best = min(within, key=lambda one: (*reversed(_measures(one, by)),))
    can = "could reach" if by == "bound" else "reach" if len(within) > 1 else "reaches"
    number = f"{len(within)} of {len(ranked)} variants {can} {limit}"
    return f"{number}: take {_with_time(best, ranking)} in {three_digits(best.bytes / 1e6)} MB{_change(best.error)}"


def three_digits(value: float) -> str:
    """Return three significant digits; neither an estimate nor a time is more precise."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def _change(error: float | None) -> str:
    if error is None:
        return ""
    if not error:
        return ", whose outputs don't change"
    remedy = "; it must be retrained" if error > LOST else ""
    return f", whose outputs change least, by {three_digits(100 * error)} % of the largest{remedy}"


def _smallest(variants: Sequence[Ranked]) -> Ranked:
    return min(variants, key=lambda variant: variant.bytes)


def _with_time(variant: Ranked, ranking: Ranking) -> str:
    words = {"expected": "expected at", "bound": "at least", "measured": "measured at"}
    time = time_of(variant, ranking.ranked_by)
    return f"{variant.name} ({words[ranking.ranked_by]} {three_digits(time or 0.0)} ms)"


def _basis(variants: Sequence[tuple[Row, Times | None]]) -> str:
    """Return the names of the networks whose published rates let expect times."""
    named = (estimate.basis for _, estimate in variants if estimate is not None and estimate.basis)
    return " and ".join(dict.fromkeys(named))


def _unknown(by: RankedBy, device: Device | None, random_weights: bool, basis: str) -> str:
    return f"not known: {'; '.join(_unknowns(by, device, random_weights, basis))}"


def _unknowns(by: RankedBy, device: Device | None, random_weights: bool, basis: str) -> Iterator[str]:
    yield "the accuracy of any variant (there were no data to measure it on, and nothing was retrained)"
    if random_weights:
        yield "how much the outputs of trained weights would change (these are random)"
    if device is not None:
        yield "the time of moving activations, and of operators that the device's runtime has no fast form of"
    if by == "expected":
        yield f"whether it reaches the rates of {basis}, at which times are expected, or higher ones"
    if by == "bound":
        yield f"what {device.name if device else 'the device'} reaches: no rate is published for some precision"
