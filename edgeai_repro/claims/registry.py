"""The metrics and techniques that a claim can name. No torch: what they call imports it when it runs.

Both are open: a metric or technique of one's own is one decorated function, in a `conftest.py` say.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgeai_repro.evidence.measurement import Measurement, Setting

if TYPE_CHECKING:
    from torch import nn

    from edgeai_repro.claims.schema import Claim

Settings = Mapping[str, Setting]
Measure = Callable[[Any, "Claim", str], Iterator[Measurement]]  # the first is a lab, or what answers as one
Apply = Callable[["nn.Module", Sequence[Settings]], "Iterator[nn.Module]"]
UNCOMPRESSED = "none"


@dataclass(frozen=True)
class Metric:
    """What is measured: its unit, and whether a actual quantity stands behind it.

    `deflated` asks for deflated bytes in the profiles that it reads: they take seconds to count. `deployed` is true
    where it is measured on what is deployed, by an edge lab.
    """

    name: str
    unit: str
    actual: bool
    deflated: bool
    deployed: bool
    measure: Measure
    description: str


@dataclass(frozen=True)
class Technique:
    """How a model is compressed: `apply` yields one new model for each of the settings, in their order.

    `base` is the technique whose result it starts from, under the same settings.
    """

    name: str
    base: str
    apply: Apply
    description: str


METRICS: dict[str, Metric] = {}
TECHNIQUES: dict[str, Technique] = {}


def metric(
    name: str,
    *,
    unit: str,
    actual: bool = False,
    deflated: bool = False,
    deployed: bool = False,
) -> Callable[[Measure], Measure]:
    """Register a metric: a function (lab, claim, model name) that yields the model's rows.

    Its docstring's first line describes it. Example::

        @metric("bits_reduction", unit="%")
        def bits_reduction(lab, claim, model):
            ...
    """

    def register(measure: Measure) -> Measure:
        METRICS[name] = Metric(name, unit, actual, deflated, deployed, measure, _summary(measure))
        return measure

    return register


def technique(name: str, *, base: str = UNCOMPRESSED) -> Callable[[Apply], Apply]:
    """Register a technique: a function (model, list of settings) that yields one new model a setting.

    The given model must be left as it is. Its docstring's first line describes it. Example::

        @technique("half_precision")
        def half_precision(model, settings):
            for _ in settings:
                yield copy.deepcopy(model).half()
    """

    def register(apply: Apply) -> Apply:
        TECHNIQUES[name] = Technique(name, base, apply, _summary(apply))
        return apply

    return register


def _summary(function: Callable[..., Any]) -> str:
    return (function.__doc__ or "").strip().partition("\n")[0].rstrip(".")
