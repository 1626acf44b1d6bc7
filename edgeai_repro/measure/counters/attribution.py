"""What a counter misses of a network, and what it counts beyond products: found by showing it each call alone."""

from __future__ import annotations

from collections import Counter as Counts
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

from torch import nn

from edgeai_repro.measure import counts
from edgeai_repro.measure.counters.adapters import Counter, CounterError
from edgeai_repro.measure.counters.calls import Call, calls_of
from edgeai_repro.measure.counting.run import Inputs

ROUNDING = 0.001  # of the actual count; the parts must add up to the whole as closely as that
SHOWN = 0.0005  # of the actual count; smaller parts are added up in one sentence
BIASES = 0.05  # of the missing MACs
MOST_OPERATORS = 6  # in one layer, to try all combinations of


@dataclass(frozen=True)
class CountedCall:
    """A call of a network with its actual MACs, by operator."""

    call: Call
    macs_by_operator: dict[str, int]

    @property
    def macs(self) -> int:
        """The actual MACs of one call."""
        return sum(self.macs_by_operator.values())


@dataclass(frozen=True)
class Part:
    """All calls of which a counter counts something else than the actual MACs, in the same way.

    `words` say what it does, with `{share}` in place of the share of the calls' MACs that it counts.
    """

    words: str
    calls: int = 0
    counted: int = 0
    actual: int = 0

    @property
    def excess(self) -> int:
        """What the counter counts beyond the actual MACs; negative if it misses some."""
        return self.counted - self.actual


def counted_calls(model: nn.Module, inputs: Inputs) -> list[CountedCall]:
    """Return the calls of a network with the actual MACs of each."""
    return [CountedCall(call, _by_operator(call)) for call in calls_of(model, inputs)]


def _by_operator(call: Call) -> dict[str, int]:
    """Return the actual MACs of a call by operator; one that does several things at once has several entries."""
    macs: Counts[str] = Counts()
    for work in counts.by_operator(call.network, inputs=call.inputs):
        name = work.operator.rpartition("::")[2]
        fused = "attention" in name or "transformer" in name
        macs["scaled_dot_product_attention" if fused and work.kind == "attention" else name] += work.macs
    return {name: count for name, count in macs.items() if count}


def explain(counter: Counter, total: int, actual: int, calls: Sequence[CountedCall]) -> list[str]:
    """Return in words what a counter misses of `actual` MACs, and what it adds, if it counts `total`.

    The largest part comes first. If what the counter says of each call does not add up to what it says of the whole
    network, the difference is not explained, and that is said instead.
    """
    known = sum(one.call.times * one.macs for one in calls)
    if abs(known - actual) > ROUNDING * actual:
        return [f"difference not explained: the single calls compute {known:,} MACs, the network {actual:,}"]
    # Most functions multiply nothing, and most counters leave them out: the others are tried first.
    likely = [one for one in calls if one.macs or one.call.is_layer]
    for tried in (likely, calls):
        try:
            counted = [(one, counter.count(one.call.network, one.call.inputs).macs) for one in tried]
        except CounterError as error:
            return [f"difference not explained: a call alone fails ({error})"]
        together = sum(one.call.times * macs for one, macs in counted)
        if abs(together - total) <= ROUNDING * max(actual, total):
            return list(_sentences(_parts(counted), actual))
    return [f"difference not explained: its counts of the single calls add up to {together:,}, not to {total:,}"]


def _parts(counted: Sequence[tuple[CountedCall, int]]) -> list[Part]:
    """Return what a counter misses and adds, joined by kind, the largest first."""
    joined: dict[str, Part] = {}
    for one, macs in counted:
        if macs != one.macs:
            words, times = _words(one, macs), one.call.times
            part = joined.get(words, Part(words))
            joined[words] = Part(
                words, part.calls + times, part.counted + times * macs, part.actual + times * one.macs
            )
    return sorted(joined.values(), key=lambda part: -abs(part.excess))


def _words(one: CountedCall, macs: int) -> str:
    name, elements = one.call.name, one.call.elements
    if macs == 0:
        return f"no rule for {name}"
    if macs < one.macs:
        missed = _operators_of(one, one.macs - macs)
        return f"no rule for {missed} in {name}" if missed else f"counts {{share}} of {name}"
    extra = macs - one.macs
    if one.macs and extra == elements:
        return f"counts an operation per output of {name}, as for a bias"
    per_element = extra / elements if elements else 0.0
    much = (
        f"{per_element:.0f} operation{'s'[: round(per_element) != 1]} per output"
        if per_element >= 1
        else "operations"
    )
    return f"counts {much} of {name}" + (" beyond the products" if one.macs else "")


def _operators_of(one: CountedCall, missing: int) -> str:
    """Return the operators of a call that hold the missing MACs, "" if no set of them does, or several do.

    A counter that adds operations for biases misses a little less than the products.
    """
    operators = one.macs_by_operator
    if len(operators) > MOST_OPERATORS:
        return ""
    fitting = [
        names
        for size in range(1, len(operators))
        for names in combinations(operators, size)
        if abs(sum(operators[name] for name in names) - missing) <= BIASES * missing
    ]
    return " and ".join(fitting[0]) if len(fitting) == 1 else ""


def _sentences(parts: Sequence[Part], actual: int) -> Iterator[str]:
    smallest = SHOWN * actual
    for part in parts:
        if abs(part.excess) >= smallest:
            calls = f"{part.calls} call{'s'[: part.calls != 1]}"
            share = f"{100 * part.counted / part.actual:.1f} %" if part.actual else ""
            yield f"{part.words.format(share=share)}: {calls}, {_share(part.excess, actual)}"
    others = [part for part in parts if abs(part.excess) < smallest]
    if others:
        plural = "s" if len(others) > 1 else ""
        yield f"{len(others)} smaller difference{plural}: {_share(sum(part.excess for part in others), actual)}"


def _share(excess: int, actual: int) -> str:
    """Return the share of the actual MACs that is missing, or with a plus that is counted beyond them."""
    if not actual:
        return f"{excess:,} MACs"
    percent = 100 * abs(excess) / actual
    return "less than 0.1 %" if percent < 0.05 else f"{'+' if excess > 0 else ''}{percent:.1f} %"
