"""Where the usual counters mislead, in words, from an audit's rows alone. Pure; no torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from edgeai_repro.audit.schema import ReportedAndActual, Row, saved
from edgeai_repro.claims.implications import INT8_SAVES
from edgeai_repro.claims.registry import UNCOMPRESSED
from edgeai_repro.evidence.measurement import Interval
from edgeai_repro.judge.formatting import format_interval, format_number

VISIBLE = 1.0  # points of difference that a table's reader would notice
LITTLE = 50.0  # percent of the parameters in nn.Linear under which quantizing it can't keep what it promises
FALLS_SHORT = 1.5  # times: speed never follows MACs closely; by so much it isn't caches and overheads alone
MANY_ZEROS = 10.0  # points; int8 rounds a few percent of the weights to 0 by itself


def warnings(rows: Sequence[Row], shares: Mapping[str, float]) -> list[str]:
    """Return a sentence for each thing that the usual counters would make a reader believe and that isn't so."""
    dense = next(row for row in rows if row.technique == UNCOMPRESSED)
    found = list(_as_it_is(dense))
    for row in rows:
        if row is not dense and row.problem is None:
            found += _compressed(dense, row)
    if any(row.technique == "dynamic_quantization" and row.problem is None for row in rows):
        found += _reach(shares)
    return list(dict.fromkeys(found))


def _as_it_is(dense: Row) -> Iterator[str]:
    macs = dense.macs
    if macs is None or not macs.actual or macs.reported is None:
        return
    off = 100 * (macs.reported - macs.actual) / macs.actual
    if off < -VISIBLE:
        yield (
            f"thop leaves out {_percent(-off)} of the model's MACs ({_billions(macs.reported)} of "
            f"{_billions(macs.actual)}): it has no rule for some of its layers, attention for one"
        )
    elif off > VISIBLE:
        yield (
            f"thop counts {_percent(off)} more MACs ({_billions(macs.reported)}) than the weights take part in "
            f"({_billions(macs.actual)}): it adds what normalisations and poolings do"
        )


def _compressed(dense: Row, row: Row) -> Iterator[str]:
    name = row.technique.replace("_", " ")
    parameters, macs = _pair(dense.parameters, row.parameters), _pair(dense.macs, row.macs)
    smaller = saved(dense.bytes, row.bytes) or 0.0
    if parameters and parameters[0] - parameters[1] > VISIBLE:
        yield (
            f"{name}: parameters() reports {_percent(parameters[0])} fewer, but {_percent(parameters[1])} fewer "
            f"are stored: it looks past weights that are packed as int8; the file is {_percent(smaller)} smaller"
        )
    if macs and macs[0] - macs[1] > VISIBLE:
        yield (
            f"{name}: thop reports {_percent(macs[0])} fewer MACs, but {_percent(macs[1])} fewer are computed: it "
            "looks past those in int8; bit operations fall by "
            f"{_percent(saved(dense.bit_operations, row.bit_operations))}"
        )
    fewer, faster = _times_fewer(dense.macs, row.macs), _faster(row)
    if fewer and faster and fewer > FALLS_SHORT * faster.high:
        yield (
            f"{name}: {format_number(fewer, '')} times fewer MACs are reported, but an image is "
            f"{format_interval(faster, 'times as fast')} here"
        )
    zeros = saved(dense.nonzero_parameters, row.nonzero_parameters)
    if zeros is not None and zeros - smaller > MANY_ZEROS:
        told = f", and an image is {format_interval(faster, 'times as fast')} here" if faster else ""
        deflated = saved(dense.deflated_bytes, row.deflated_bytes)
        yield (
            f"{name}: {_percent(zeros)} of the weights are set to 0, but the file is {_percent(smaller)} smaller "
            f"and {_percent(macs[1] if macs else None)} fewer MACs are computed: zeros are stored and multiplied "
            f"like all else{told}; "
            f"deflated, the file is {_percent(deflated)} smaller"
        )


def _reach(shares: Mapping[str, float]) -> Iterator[str]:
    linear, pointwise = 100 * shares.get("linear", 0.0), 100 * shares.get("pointwise convolution", 0.0)
    if linear < LITTLE:
        yield (
            f"dynamic quantization reaches nn.Linear alone, here {_percent(linear)} of the parameters: it can't "
            f"save more than {_percent(linear * INT8_SAVES / 100)} of the bytes"
        )
    if pointwise > LITTLE:
        yield (
            f"{_percent(pointwise)} of the parameters stand in 1 × 1 convolutions, which compute what nn.Linear "
            "does and aren't quantized: written with nn.Linear, the same network would report that many fewer"
        )


def _pair(before: ReportedAndActual | None, after: ReportedAndActual | None) -> tuple[float, float] | None:
    """Return what was saved as reported and in truth, in percent; None where either isn't known."""
    if before is None or after is None:
        return None
    reported, actual = saved(before.reported, after.reported), saved(before.actual, after.actual)
    return None if reported is None or actual is None else (reported, actual)


def _times_fewer(before: ReportedAndActual | None, after: ReportedAndActual | None) -> float | None:
    """Return how many times fewer are reported; None where either isn't known."""
    reported = before and before.reported, after and after.reported
    return reported[0] / reported[1] if reported[0] and reported[1] else None


def _faster(row: Row) -> Interval | None:
    """Return how many times faster an image is, where it can be told."""
    return row.latency.faster if row.latency and not row.latency.problem else None


def _percent(value: float | None) -> str:
    return "an unknown share" if value is None else format_number(round(value, 1), "%")


def _billions(value: int) -> str:
    return format_number(value / 1e9, "G")
