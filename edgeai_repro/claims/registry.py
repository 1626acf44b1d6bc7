"""The metrics and techniques that a claim can name. No torch: they import it when they run.

Users can register their own metric or technique: one decorated function, in a `conftest.py` for example.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from edgeai_repro.claims.entries import (
    AnyApply,
    Better,
    Compares,
    Describe,
    Measure,
    Metric,
    MetricGroup,
    S,
    SourceName,
    Technique,
    own_notes,
)
from edgeai_repro.evidence.measurement import Setting

if TYPE_CHECKING:
    from edgeai_repro.claims.schema import Claim

UNCOMPRESSED = "none"
RUNTIME = "runtime"  # the condition that a claim on a deployed model gives

METRICS: dict[str, Metric] = {}
TECHNIQUES: dict[str, Technique] = {}


def metric(
    name: str,
    *,
    group: MetricGroup[S],
    unit: str,
    has_actual: bool = False,
    deflated: bool = False,
    conditions: Sequence[str] = (),
    optional: Sequence[str] = (),
    compares: Compares = "never",
    better: Better | None = None,
    counter: str = "",
    is_count: bool = False,
    values: Mapping[str, Sequence[Setting]] | None = None,
    techniques: Sequence[str] = (),
    over: str = "",
    needs: Sequence[str] = (),
    timed: bool = False,
    ranks: bool = False,
) -> Callable[[Measure[S]], Measure[S]]:
    """Register a metric: a function (source, claim, model name) that yields the rows of the model.

    The first line of its docstring describes it. `edgeai_repro.metric` is this function for freshly compressed
    models. Example::

        @metric("bits_reduction", unit="%", better="higher")
        def bits_reduction(models, claim, model):
            ...
    """

    def register(measure: Measure[S]) -> Measure[S]:
        group.functions[name] = measure
        METRICS[name] = Metric(
            name=name,
            unit=unit,
            source=group.source,
            has_actual=has_actual,
            deflated=deflated,
            conditions=tuple(conditions),
            optional=(*optional, *(name for name in group.conditions if name not in (*conditions, *optional))),
            compares=compares,
            description=_summary(measure),
            better=better,
            counter=counter,
            is_count=is_count,
            values=values or {},
            techniques=tuple(techniques),
            over=over,
            needs=(*group.needs, *needs),
            timed=timed,
            ranks=ranks,
        )
        return measure

    return register


def technique(
    name: str,
    *,
    base: str = UNCOMPRESSED,
    settings: Sequence[str] = (),
    optional: Sequence[str] = (),
    notes: Describe = own_notes,
    package: str = "",
    takes_inputs: bool = False,
    needs_values: bool = True,
) -> Callable[[AnyApply], AnyApply]:
    """Register a technique: a function (network, list of settings) that yields one new network per entry.

    It must not change the network that it is given. The first line of its docstring describes it. `settings` must
    be given by a claim, `optional` may be given; `notes` says of a new network what a row adds. `package` is the
    optional package that it needs, if any. With `takes_inputs` the function's third argument are the inputs of the
    network, None for an RGB image. Say `needs_values=False` if it works on the meta device, too: then it is counted
    without memory for weights. Example::

        @technique("half_precision")
        def half_precision(network, settings):
            for _ in settings:
                yield copy.deepcopy(network).half()
    """

    def register(apply: AnyApply) -> AnyApply:
        TECHNIQUES[name] = Technique(
            name=name,
            base=base,
            settings=tuple(settings),
            apply=apply,
            description=_summary(apply),
            optional=tuple(optional),
            notes=notes,
            package=package,
            takes_inputs=takes_inputs,
            needs_values=needs_values,
        )
        return apply

    return register


def measured_on(claim: Claim) -> SourceName:
    """Return the source that measures a claim: that of its metric.

    The accuracy in a runtime is measured on the deployed model, not on the trained one.
    """
    source = METRICS[claim.metric].source
    return "deployed" if source == "trained" and RUNTIME in claim.conditions else source


def is_timed(claim: Claim) -> bool:
    """Return whether something is timed for a claim: its metric says so, or it is measured on a deployed model."""
    return METRICS[claim.metric].timed or measured_on(claim) == "deployed"


def is_counted(claim: Claim) -> bool:
    """Return whether counting an uncompressed network judges a claim, which takes seconds or less.

    Another counter runs the network itself, which takes longer.
    """
    uncompressed = measured_on(claim) == "compressed" and claim.technique == UNCOMPRESSED
    return uncompressed and not is_timed(claim) and "counter" not in claim.conditions


def _summary(function: Callable[..., Any]) -> str:
    return (function.__doc__ or "").strip().partition("\n")[0].rstrip(".")
