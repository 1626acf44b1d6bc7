"""The rows of an audit: each compressed model is counted, and all are timed. What fails is a line in its row."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from edgeai_repro.audit.latency import Call, time_models, why_too_slow
from edgeai_repro.audit.operators import describe_operators
from edgeai_repro.audit.schema import FP32_PRODUCT, ReportedAndActual, Row
from edgeai_repro.claims.registry import UNCOMPRESSED
from edgeai_repro.compress.pruning_exactness import distance, flatten_tensors
from edgeai_repro.compress.techniques import Variant, apply, notes_on
from edgeai_repro.errors import one_line
from edgeai_repro.evidence.measurement import Settings
from edgeai_repro.measure import counts, size
from edgeai_repro.measure.counting.run import ready_to_run, runnable_clone
from edgeai_repro.measure.latency.threads import why_eager_is_not_timed
from edgeai_repro.networks.convnext import clone_sharing_tensors

Inputs = tuple[Any, ...]
T = TypeVar("T")


def counted_rows(
    model: nn.Module, inputs: Inputs, settings: Mapping[str, Sequence[Settings]], techniques: Sequence[str]
) -> Iterator[tuple[Row, nn.Module | None]]:
    """Yield a row for the model and for each technique, with the compressed model (None if that failed)."""
    dense = count_row(model, inputs, UNCOMPRESSED, {}, time.perf_counter())
    expected = outputs_of(model, inputs)
    yield (dense if expected is None else dense.model_copy(update={"output_error": 0.0})), model
    cache: dict[Variant, nn.Module] = {}
    for name in techniques:
        for setting in settings.get(name, [{}]):
            start = time.perf_counter()
            try:
                compressed = apply(model, name, setting, cache, inputs)
            except Exception as error:  # the user's model may raise anything; the other rows are still useful
                yield Row(technique=name, settings=dict(setting), problem=one_line(error)), None
            else:
                row = count_row(compressed, inputs, name, setting, start)
                actual = None if expected is None else outputs_of(compressed, inputs)
                yield row.model_copy(update={"output_error": output_error(actual, expected)}), compressed


def outputs_of(model: nn.Module, inputs: Inputs) -> list[Tensor] | None:
    """Return the tensors that a model returns, None if it doesn't run."""
    clone = runnable_clone(model)
    try:
        with ready_to_run(clone):
            return [tensor.float() for tensor in flatten_tensors(clone(*inputs))]
    except Exception:  # the row says why it does not run
        return None


def output_error(actual: list[Tensor] | None, expected: list[Tensor] | None) -> float | None:
    """Return the largest difference over the largest output, None if there is none that can be told."""
    error = math.nan if actual is None or not expected else distance(actual, expected)
    return error if math.isfinite(error) else None


def count_row(model: nn.Module, inputs: Inputs, technique: str, setting: Settings, start: float) -> Row:
    """Count everything possible. A counter that fails leaves its number out, and the row says why.

    A compressed model that does not run gets no number at all: it saves nothing.
    """
    if technique != UNCOMPRESSED and (failure := _why_it_fails(model, inputs)):
        return Row(technique=technique, settings=dict(setting), problem=f"does not run: {failure}")
    problems: list[str] = []

    def attempt(what: str, function: Callable[[], T]) -> T | None:
        try:
            return function()
        except Exception as error:  # a stranger's model or counter may raise anything
            problems.append(f"{what} can't be counted: {one_line(error)}")
            return None

    work = attempt("MACs", lambda: counts.actual(model, inputs=inputs))
    reported = operators = fp32_macs = None
    if work is not None:
        reported = attempt("thop's MACs", lambda: counts.reported(model, inputs=inputs).macs)
        operators = attempt("operators", lambda: describe_operators(model, inputs))
        fp32_macs = attempt("MACs in fp32", lambda: _fp32_macs(model, inputs))
        if work.uncounted:
            problems.append(f"{', '.join(work.uncounted)} have no rule; the MACs are a lower bound")
    stored = work or attempt("parameters", lambda: counts.stored(model))
    return Row(
        technique=technique,
        settings=dict(setting),
        notes=dict(attempt("notes", lambda: notes_on(model, technique)) or {}),
        parameters=ReportedAndActual(
            reported=sum(parameter.numel() for parameter in model.parameters()),
            actual=None if stored is None else stored.parameters,
        ),
        nonzero_parameters=None if stored is None else stored.nonzero_parameters,
        macs=None if work is None else ReportedAndActual(reported=reported, actual=work.macs),
        nonzero_macs=None if work is None else work.nonzero_macs,
        activation_macs=None if work is None else work.activation_macs,
        bit_operations=None if work is None else work.bit_operations,
        fp32_macs=fp32_macs,
        operators=operators,
        bytes=attempt("bytes", lambda: size.state_dict_bytes(model)),
        deflated_bytes=attempt("deflated bytes", lambda: size.deflated_bytes(model)),
        seconds=round(time.perf_counter() - start, 3),
        problem="; ".join(problems) or None,
    )


def _why_it_fails(model: nn.Module, inputs: Inputs) -> str:
    """Return the error that a compressed model raises on its inputs; empty if it runs."""
    try:
        _runner(model, inputs)
    except Exception as error:  # kernels of any library may raise anything
        return one_line(error)
    return ""


def _fp32_macs(model: nn.Module, inputs: Inputs) -> int:
    """Return the MACs of the operators whose operands both have 32 bits."""
    work = counts.by_operator(model, inputs=inputs)
    return sum(one.macs for one in work if one.bit_operations == FP32_PRODUCT * one.macs)


def with_latency(counted: Sequence[Row], models: Sequence[nn.Module | None], inputs: Inputs) -> list[Row]:
    """Return the rows with the latency of each model that runs, or with the reason why it has none."""
    rows = list(counted)
    if reason := why_eager_is_not_timed(torch.get_num_threads()):
        return [_not_timed(rows[0], reason), *rows[1:]]
    calls: dict[int, Call] = {}
    for index, model in enumerate(models):
        if model is not None:
            try:
                calls[index] = _runner(model, inputs)
            except Exception as error:  # the user's model may raise anything
                rows[index] = _not_timed(rows[index], one_line(error))
    if 0 not in calls:
        return rows  # without the uncompressed model there is nothing to compare with
    for index in [index for index in calls if index]:
        if reason := why_too_slow(calls[index], calls[0]):
            rows[index] = _not_timed(rows[index], reason)
            del calls[index]
    names = {f"{rows[index].technique} {index}": index for index in calls if index}
    try:
        latency, others = time_models(calls[0], {name: calls[index] for name, index in names.items()})
    except Exception as error:  # a clock that jumps, or a model that fails now and then
        return [_not_timed(rows[0], one_line(error)), *rows[1:]]
    rows[0] = rows[0].model_copy(update={"latency": latency})
    for name, index in names.items():
        rows[index] = rows[index].model_copy(update={"latency": others[name]})
    return rows


def _runner(model: nn.Module, inputs: Inputs) -> Call:
    """Return a callable that runs the model on its inputs; run it once first."""
    ready = clone_sharing_tensors(model).eval()

    @torch.inference_mode()
    def run() -> object:
        return ready(*inputs)

    run()
    return run


def _not_timed(row: Row, reason: str) -> Row:
    """Return a row with the reason why it has no latency, unless it already has a problem."""
    return row if row.problem else row.model_copy(update={"problem": f"can't be timed: {reason}"})
