"""An audit's rows of other counters: what each one counts of a model, and what it misses."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

from torch import nn

from edgeai_repro.audit.schema import CounterRow, Row
from edgeai_repro.claims.registry import UNCOMPRESSED
from edgeai_repro.errors import MissingRequirement, one_line
from edgeai_repro.measure.counters.adapters import COUNTERS, Counter, CounterError
from edgeai_repro.measure.counters.attribution import counted_calls, explain
from edgeai_repro.measure.counting.run import Inputs

COMPARED = (UNCOMPRESSED, "dynamic_quantization")  # most counters see no other difference
STEPS = len(COUNTERS) * len(COMPARED)  # how often progress is reported
Explain = Callable[[Counter, int], list[str]]


def counted_by_others(
    rows: Sequence[Row], models: Sequence[nn.Module | None], inputs: Inputs, report: Callable[[str], object]
) -> Iterator[CounterRow]:
    """Yield what other counters say of a model before and after quantization.

    `models` are those of the rows. `report` is called after each counter with its name.
    """
    for row, model in zip(rows, models, strict=True):
        if model is not None and row.technique in COMPARED:
            actual = row.macs.actual if row.macs else None
            yield from counter_rows(model, row.technique, inputs, actual, report)


def counter_rows(
    model: nn.Module, technique: str, inputs: Inputs, actual: int | None, report: Callable[[str], object]
) -> Iterator[CounterRow]:
    """Yield a row for each known counter; one that isn't installed, or fails, has a row with the reason.

    `actual` are the MACs that the model computes for the inputs, None if they are unknown. `report` is called after
    each counter with its name.
    """
    explain_count = _explainer(model, inputs, actual)
    for counter in COUNTERS.values():
        row = CounterRow(counter=counter.name, provider=counter.provider, technique=technique)
        try:
            count = counter.count(model, inputs)
        except MissingRequirement as missing:
            found: dict[str, object] = {"problem": missing.remedy}
        except CounterError as error:
            found = {"problem": str(error)}
        else:
            found = {
                "macs": count.macs,
                "parameters": count.parameters,
                "ratio": round(count.macs / actual, 4) if actual else None,
                "differences": explain_count(counter, count.macs),
            }
        yield row.model_copy(update=found)
        report(counter.name)


def _explainer(model: nn.Module, inputs: Inputs, actual: int | None) -> Explain:
    """Return a function that says in words why a counter's MACs differ from the actual ones."""
    if actual is None:
        return lambda counter, macs: ["difference not explained: the actual count is unknown"]
    try:
        calls = counted_calls(model, inputs)
    except Exception as error:  # the user's model may raise anything while its calls are observed
        reason = f"difference not explained: {one_line(error)}"
        return lambda counter, macs: [reason]
    return partial(explain, actual=actual, calls=calls)
