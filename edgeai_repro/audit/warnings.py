"""Finds out where common counters mislead, from an audit's rows. Pure; no torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from edgeai_repro.audit.schema import ReportedAndActual, Row, SkippedLinear, Weights, saving
from edgeai_repro.claims.implications import INT8_SAVES
from edgeai_repro.claims.registry import UNCOMPRESSED
from edgeai_repro.evidence.measurement import Interval
from edgeai_repro.judge.formatting import format_count, format_interval, format_number

VISIBLE = 1.0  # points; a smaller difference is hard to see in a table
LITTLE_LINEAR = 50.0  # percent of the parameters in nn.Linear; below, quantizing nn.Linear saves less than half
FALLS_SHORT = 1.5  # factor between promised and measured speed; caches and overheads explain less than that
MANY_FEW_LEVELS = 10.0  # percent; less would save under 8 % of the bytes
MOST_NAMES = 3  # of layers in a sentence
MANY_ZEROS = 10.0  # points; int8 alone rounds a few percent of the weights to 0


def find_warnings(
    rows: Sequence[Row],
    shares: Mapping[str, float],
    weights: Weights | None = None,
    skipped: SkippedLinear | None = None,
) -> list[str]:
    """Return a sentence for each wrong conclusion that common counters, or the word "quantized", suggest."""
    uncompressed = next(row for row in rows if row.technique == UNCOMPRESSED)
    warnings = list(_about_uncompressed(uncompressed))
    if weights is not None:
        warnings += _about_weights(weights)
    if uncompressed.operators is not None and uncompressed.operators.imitating:
        warnings.append(
            f"fake-quantized: {uncompressed.operators.imitating} operators round to the values of int8 and compute "
            "in fp32; the model is prepared for int8 and not converted"
        )
    for row in rows:
        if row is not uncompressed and row.problem is None:
            warnings += _about_compressed(uncompressed, row)
    if any(row.technique == "dynamic_quantization" and row.problem is None for row in rows):
        warnings += _about_linear_share(shares)
        warnings += [] if skipped is None else _about_skipped(skipped)
    return list(dict.fromkeys(warnings))


def _about_uncompressed(row: Row) -> Iterator[str]:
    macs = row.macs
    if macs is None or not macs.actual or macs.reported is None:
        return
    excess = 100 * (macs.reported - macs.actual) / macs.actual
    if excess < -VISIBLE:
        yield (
            f"thop leaves out {_part(-excess)} the model's MACs (it reports {format_count(macs.reported)} of "
            f"{format_count(macs.actual)}): it has no rule for some of the layers, for example attention"
        )
    elif excess > VISIBLE:
        yield (
            f"thop reports {_percent(excess)} more MACs ({format_count(macs.reported)}) than the weights compute "
            f"({format_count(macs.actual)}): it adds the work of normalisations and poolings"
        )


def _about_weights(weights: Weights) -> Iterator[str]:
    total, few = sum(weights.by_bits.values()), 0.0
    if weights.judged:
        few = 100 * weights.on_few_levels / weights.judged
    if few > MANY_FEW_LEVELS:
        widest = max(weights.by_bits)
        narrow = next(bits for bits in (4, 8) if weights.level_bits <= bits)
        yield (
            f"fake-quantized: {_percent(few)} of the weights that can be judged take at most "
            f"{2**weights.level_bits} values per channel, but each is stored in {widest} bits; "
            f"{widest // narrow} × is still to be had in bytes"
        )
    if total and weights.quantized_later:
        yield (
            f"QDQ: {_percent(100 * weights.quantized_later / total)} of the weights are stored in fp32 and "
            "quantized when the model runs; 4 × is still to be had in bytes"
        )
    if total and weights.half_values > total / 2:
        yield (
            f"{_percent(100 * weights.half_values / total)} of the weights are stored in fp32, but have 16-bit "
            "values: the model was trained or saved in 16 bits; int8 saves 2 × against that, not 4 ×"
        )
    if total and (in_16 := weights.by_bits.get(16, 0)) > total / 2:
        yield (
            f"{_percent(100 * in_16 / total)} of the weights are stored in 16 bits: int8 saves 2 × against that, "
            "not the 4 × against fp32"
        )


def _about_compressed(uncompressed: Row, row: Row) -> Iterator[str]:
    name = row.technique.replace("_", " ")
    parameters = _savings(uncompressed.parameters, row.parameters)
    macs = _savings(uncompressed.macs, row.macs)
    bytes_saved = saving(uncompressed.bytes, row.bytes) or 0.0
    speedup = _reliable_speedup(row)
    if parameters and parameters[0] - parameters[1] > VISIBLE:
        yield (
            f"{name}: parameters() reports {_percent(parameters[0])} fewer, but {_less(parameters[1], 'fewer')} "
            f"are stored: it misses weights that are packed as int8; the file is {_less(bytes_saved, 'smaller')}"
        )
    if macs and macs[0] - macs[1] > VISIBLE:
        bit_operations = saving(uncompressed.bit_operations, row.bit_operations) or 0.0
        missed = "has no rule for some of the layers, for example attention"
        if bit_operations - macs[1] > VISIBLE:
            missed = f"misses those in int8; bit operations fall by {_percent(bit_operations)}"
        yield (
            f"{name}: thop reports {_percent(macs[0])} fewer MACs, but {_less(macs[1], 'fewer')} are computed: it "
            f"{missed}"
        )
    ratio = _reported_macs_ratio(uncompressed.macs, row.macs)
    if ratio and speedup and ratio > FALLS_SHORT * speedup.high:
        yield (
            f"{name}: reported MACs fall by a factor of {format_number(ratio, '')}, but the model is "
            f"{format_interval(speedup, 'times as fast')} here"
        )
    zeros = saving(uncompressed.nonzero_parameters, row.nonzero_parameters)
    if zeros is not None and zeros - bytes_saved > MANY_ZEROS:
        timed = f", and the model is {format_interval(speedup, 'times as fast')} here" if speedup else ""
        deflated = saving(uncompressed.deflated_bytes, row.deflated_bytes)
        yield (
            f"{name}: {_percent(zeros)} of the weights are set to 0, but the file is "
            f"{_less(bytes_saved, 'smaller')} and {_less(macs[1] if macs else None, 'fewer')} MACs are computed: "
            f"zeros are stored and multiplied like any other weight{timed}; deflated, the file is "
            f"{_percent(deflated)} smaller"
        )


def _about_linear_share(shares: Mapping[str, float]) -> Iterator[str]:
    linear, pointwise = 100 * shares.get("linear", 0.0), 100 * shares.get("pointwise convolution", 0.0)
    if linear == 0:
        yield "dynamic quantization replaces only nn.Linear, and here is none: it saves nothing"
    elif linear < LITTLE_LINEAR:
        yield (
            f"dynamic quantization replaces only nn.Linear, here {_percent(linear)} of the parameters: it can't "
            f"save more than {_percent(linear * INT8_SAVES / 100)} of the bytes"
        )
    if pointwise > LITTLE_LINEAR:
        yield (
            f"{_percent(pointwise)} of the parameters are in 1 × 1 convolutions, which compute the same as "
            "nn.Linear but aren't quantized: with nn.Linear instead, the same network would report that many fewer "
            "parameters"
        )


def _about_skipped(skipped: SkippedLinear) -> Iterator[str]:
    named, others = skipped.layers[:MOST_NAMES], len(skipped.layers) - MOST_NAMES
    layers = ", ".join(named) + (f" and {others} more" if others > 0 else "")
    gain = ""
    if skipped.bytes_saved is not None:
        types = " and ".join(skipped.types)
        gain = f"; a mapping of {types} to torch's dynamic Linear would save {_megabytes(skipped.bytes_saved)} more"
    yield (
        f"dynamic quantization matches exact types and leaves {_percent(100 * skipped.share)} of the parameters in "
        f"fp32 in silence, in subclasses of nn.Linear: {layers}{gain}"
    )
    if skipped.computing_something_else:
        yield (
            f"a mapping of types would change what {', '.join(skipped.computing_something_else[:MOST_NAMES])} "
            "compute: their subclass does more than nn.Linear"
        )


def _savings(before: ReportedAndActual | None, after: ReportedAndActual | None) -> tuple[float, float] | None:
    """Return the reported and the actual saving in percent; None if either is unknown."""
    if before is None or after is None:
        return None
    reported = saving(before.reported, after.reported)
    actual = saving(before.actual, after.actual)
    return None if reported is None or actual is None else (reported, actual)


def _reported_macs_ratio(before: ReportedAndActual | None, after: ReportedAndActual | None) -> float | None:
    """Return the reported MACs before, divided by those after; None if either is unknown."""
    if before is None or after is None or not before.reported or not after.reported:
        return None
    return before.reported / after.reported


def _reliable_speedup(row: Row) -> Interval | None:
    """Return the speed-up of a row, or None if it is unknown or too noisy."""
    return row.latency.speedup if row.latency and not row.latency.problem else None


def _percent(value: float | None) -> str:
    return "an unknown share" if value is None else format_number(round(value, 1), "%")


def _less(value: float | None, word: str) -> str:
    """Return how much less something is, "12 % fewer", or "no fewer" if that would be 0 %."""
    return f"no {word}" if value is not None and round(value, 1) == 0 else f"{_percent(value)} {word}"


def _part(value: float) -> str:
    """Return which part a share is, "12 % of", or in words if that would be 100 %."""
    return f"{_percent(value)} of" if round(value, 1) < 100 else "nearly all of" if value < 100 else "all of"


def _megabytes(value: int) -> str:
    return format_number(value / 1e6, "MB")
