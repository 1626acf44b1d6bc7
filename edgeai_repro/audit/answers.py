"""Answers what users ask most about a model: is it quantized, why is it not faster, why does the count differ?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from edgeai_repro.audit.schema import Answer, Conventions, Row, Weights
from edgeai_repro.claims.registry import UNCOMPRESSED
from edgeai_repro.judge.formatting import format_count, format_number

UNIFORM = 99.9  # percent; a smaller share of other weights is not worth a word
NEARLY_ALL = 95.0  # percent of the MACs; the others can't make a network 1.06 times as fast


def answer_all(
    rows: Sequence[Row],
    weights: Weights | None,
    conventions: Conventions | None,
    int8_instructions: Sequence[str] | None,
    threads: int,
) -> list[Answer]:
    """Return the questions that an audit can answer. The first row is the uncompressed model."""
    answers = {
        "Is it really quantized?": [] if weights is None else list(_storage(weights)),
        "Why is it not faster?": list(_speed(rows, int8_instructions, threads)),
        "Why is my count not the paper's?": list(_counting(rows[0], conventions)),
    }
    return [Answer(question=question, sentences=text) for question, text in answers.items() if text]


def _storage(weights: Weights) -> Iterator[str]:
    total = sum(weights.by_bits.values())
    if not total:
        return
    shares = {bits: 100 * number / total for bits, number in weights.by_bits.items()}
    largest = max(shares, key=lambda bits: shares[bits])
    if shares[largest] >= UNIFORM:
        text = f"all weights are stored in {largest} bits"
    else:
        text = ", ".join(f"{_percent(share)} of the weights in {bits} bits" for bits, share in shares.items())
        text = f"stored are {text}"
    quantized = sum(share for bits, share in shares.items() if bits <= 8)
    verdict = "yes" if quantized >= UNIFORM else "in part" if quantized else "no"
    yield f"{verdict}: {text}"


def _speed(rows: Sequence[Row], instructions: Sequence[str] | None, threads: int) -> Iterator[str]:
    uncompressed = rows[0]
    quantized = [row for row in rows if _is_quantized(row)]
    for row in quantized:
        yield from _fp32_share(row)
    if quantized and instructions is not None:
        if instructions:
            yield f"this processor adds up int8 products by {', '.join(instructions)}"
        else:
            yield (
                "this processor has no instruction that adds up int8 products (VNNI, AMX, dotprod, i8mm): int8 "
                "saves memory traffic here, but little computing"
            )
    yield from _fixed_cost(uncompressed, quantized)
    operators = uncompressed.operators
    if operators is not None and operators.count and threads > 1:
        yield (
            f"with {threads} threads: {_percent(100 * operators.small / operators.count)} of the operators return "
            "fewer than 32,768 values; torch runs those that work element by element in one thread"
        )


def _is_quantized(row: Row) -> bool:
    """Return whether a row has products of fewer bits than fp32's."""
    macs = row.macs.actual if row.macs else None
    return bool(macs and row.fp32_macs is not None and row.bit_operations and row.fp32_macs < macs)


def _fp32_share(row: Row) -> Iterator[str]:
    assert row.macs is not None
    share = (row.fp32_macs or 0) / (row.macs.actual or 1)
    if 100 * share < 0.1:
        yield f"{_name(row)}: no product stays in fp32"
    elif 100 * share > 99.9:
        yield f"{_name(row)}: all MACs stay in fp32, so int8 makes no product faster"
    elif 100 * share > NEARLY_ALL:
        yield f"{_name(row)}: {_percent(100 * share)} of the MACs stay in fp32, so int8 makes little faster"
    else:
        yield (
            f"{_name(row)}: {_percent(100 * share)} of the MACs stay in fp32; if all others took no time, it would "
            f"be {format_number(1 / share, '')} times as fast as in fp32"
        )


def _fixed_cost(uncompressed: Row, quantized: Sequence[Row]) -> Iterator[str]:
    operators = uncompressed.operators
    if operators is None or not operators.seconds_each:
        return
    cost = 1e3 * operators.count * operators.seconds_each
    text = (
        f"{operators.count} operators run; at {1e6 * operators.seconds_each:.1f} µs each, measured here on one "
        f"value, their fixed cost is about {_milliseconds(cost)}"
    )
    if uncompressed.latency is not None:
        noise = ", too noisy to rely on" if uncompressed.latency.problem else ""
        text += f" of {_milliseconds(uncompressed.latency.milliseconds.value)}{noise}"
    yield text
    for row in quantized:
        if row is not uncompressed and row.operators is not None:
            cost = 1e3 * row.operators.count * operators.seconds_each
            yield f"{_name(row)}: {row.operators.count} operators, a fixed cost of about {_milliseconds(cost)}"


def _counting(row: Row, conventions: Conventions | None) -> Iterator[str]:
    macs = row.macs.actual if row.macs else None
    if macs:
        yield (
            f"{format_count(macs)} MACs are {format_count(2 * macs)} FLOPs, if multiplications and additions count "
            "alike; those of convolutions grow with the square of the image's side"
        )
    if macs and row.activation_macs:
        yield (
            f"{format_count(row.activation_macs)} of the MACs are products of activations with each other, as in "
            f"attention; without them there are {format_count(macs - row.activation_macs)}"
        )
    if conventions is None or row.parameters is None or not row.parameters.actual:
        return
    yield (
        f"of {format_count(row.parameters.actual)} parameters, {format_count(conventions.vectors)} are biases and "
        "weights of normalisations, which some tables leave out"
    )
    if conventions.running_statistics:
        yield (
            f"{format_count(conventions.running_statistics)} running statistics of batch normalisation are saved, "
            "too, but are no parameters"
        )
    if conventions.last_layer:
        yield (
            f"{format_count(conventions.last_layer)} parameters are in the last linear layer, which has "
            f"{conventions.outputs:,} outputs; papers differ in the number of classes"
        )
    yield "--counters shows what other counters report, and what each of them misses"


def _name(row: Row) -> str:
    return "uncompressed" if row.technique == UNCOMPRESSED else row.technique.replace("_", " ")


def _percent(value: float) -> str:
    return format_number(round(value, 1), "%")


def _milliseconds(value: float) -> str:
    return format_number(value, "ms")
