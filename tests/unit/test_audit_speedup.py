"""The audit's speed-ups over the uncompressed model, their noise, and the warnings and the table that show them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from edgeai_repro.audit import latency
from edgeai_repro.audit.audit import audit
from edgeai_repro.audit.latency import FEWEST_ROUNDS, Call, time_models, why_too_slow
from edgeai_repro.audit.schema import Latency, ReportedAndActual, Row
from edgeai_repro.audit.table import render
from edgeai_repro.audit.warnings import find_warnings
from edgeai_repro.evidence.measurement import Interval
from edgeai_repro.measure.latency.interleaved import Plan, Timing
from tests.support.audits import net

pytestmark = pytest.mark.usefixtures("few_rounds")
ONE = Interval.exact(1.0)


class FixedTimes:
    """A timer that gives each block of a model the same times, in milliseconds, and keeps the plans it got."""

    def __init__(self, blocks: Mapping[str, Sequence[float]]) -> None:
        self.blocks = blocks
        self.plans: list[Plan] = []

    def __call__(self, contenders: Mapping[str, Call], plan: Plan) -> dict[str, Timing]:
        """Record the plan and return the fixed times."""
        self.plans.append(plan)
        return {name: Timing(np.array([[value] * 3 for value in self.blocks[name]])) for name in contenders}


def test_speedup_is_relative_to_the_uncompressed_model() -> None:
    """Each model has its median and its speed-up; the uncompressed one has no speed-up."""
    timer = FixedTimes({"": [30.0] * 4, "int8": [10.0] * 4})

    uncompressed, others = time_models(lambda: None, {"int8": lambda: None}, timer=timer)

    assert (uncompressed.milliseconds, uncompressed.speedup) == (Interval.exact(30.0), None)
    assert uncompressed.problem is None
    assert others["int8"].milliseconds == Interval.exact(10.0)
    assert others["int8"].speedup == Interval.exact(3.0)
    assert (others["int8"].n, others["int8"].control) == (12, ONE)


def test_noisy_reference_makes_all_times_unreliable() -> None:
    """If the uncompressed model differs from itself by a tenth, its times and the compared ones are marked."""
    timer = FixedTimes({"": [10.0, 11.0] * 4, "int8": [5.0] * 8})

    uncompressed, others = time_models(lambda: None, {"int8": lambda: None}, timer=timer)

    noisy = "too noisy for reliable times: the ratio of a model to itself is 0.91 … 1, not within 0.95 … 1.05"
    assert uncompressed.problem == noisy
    assert (others["int8"].problem or "").startswith("too noisy for reliable times")
    assert others["int8"].milliseconds.value == 5.0


@pytest.mark.parametrize(("seconds", "rounds"), [(10.0, FEWEST_ROUNDS), (0.0001, 17), (0.04, 8)])
def test_slow_models_are_timed_in_fewer_rounds(
    monkeypatch: pytest.MonkeyPatch, seconds: float, rounds: int
) -> None:
    """The number of rounds fits the time budget, but is never too small for an interval."""
    timer = FixedTimes({"": [1.0] * 4, "int8": [1.0] * 4})
    now = [0.0]

    def run() -> None:
        now[0] += seconds

    monkeypatch.setattr(latency, "SECONDS", 4.0)
    monkeypatch.setattr(latency, "Plan", Plan)
    monkeypatch.setattr(latency.time, "perf_counter", lambda: now[0])
    time_models(run, {"int8": run}, timer=timer)

    assert [plan.rounds for plan in timer.plans] == [rounds]


@pytest.mark.parametrize(
    ("seconds", "reference", "reason"),
    [
        (5.0, 0.05, "one image takes 5.0 s, 100 times as long as the uncompressed model"),
        (0.9, 0.01, None),  # slow, but all its rounds take seconds only
        (5.0, 1.0, None),  # the uncompressed model is slow, too
    ],
)
def test_only_models_much_slower_than_the_reference_are_left_out(
    monkeypatch: pytest.MonkeyPatch, seconds: float, reference: float, reason: str | None
) -> None:
    """A model is not timed if it takes over a second and over ten times as long as the uncompressed one."""
    now = [0.0]

    def taking(duration: float) -> Call:
        return lambda: now.__setitem__(0, now[0] + duration)

    monkeypatch.setattr(latency.time, "perf_counter", lambda: now[0])

    assert why_too_slow(taking(seconds), taking(reference)) == reason


def timed_row(name: str, *, macs: int, speedup: float, problem: str | None = None, nonzero: int = 100) -> Row:
    """Return a row with 100 parameters, `nonzero` of them not 0, and a speed-up with an interval of ± 10 %."""
    interval = Interval(value=speedup, low=0.9 * speedup, high=1.1 * speedup)
    return Row(
        technique=name,
        parameters=ReportedAndActual(reported=100, actual=100),
        nonzero_parameters=nonzero,
        macs=ReportedAndActual(reported=macs, actual=1000),
        bytes=400,
        latency=Latency(
            milliseconds=Interval.exact(10.0),
            p90=10.0,
            n=8,
            speedup=None if name == "none" else interval,
            control=ONE,
            problem=problem,
        ),
    )


def test_unfulfilled_promise_of_speed_is_warned_of() -> None:
    """A warning compares the reported MACs with the speed-up if they are far apart and the times are reliable."""
    dense = timed_row("none", macs=1000, speedup=1.0)
    promise = "combined: reported MACs fall by a factor of 10, but the model is 3 times as fast [2.7, 3.3] here"

    assert promise in find_warnings([dense, timed_row("combined", macs=100, speedup=3.0)], {})
    assert promise not in find_warnings([dense, timed_row("combined", macs=100, speedup=3.0, problem="noisy")], {})
    assert not any(
        "as fast" in text for text in find_warnings([dense, timed_row("combined", macs=100, speedup=8.0)], {})
    )


def test_zeros_that_save_nothing_are_warned_of() -> None:
    """Zeros are stored and take as long as other weights; the warning has the numbers."""
    dense = timed_row("none", macs=1000, speedup=1.0)
    (text,) = find_warnings([dense, timed_row("unstructured_pruning", macs=1000, speedup=1.0, nonzero=20)], {})

    assert (
        "stored and multiplied like any other weight, and the model is 1 times as fast [0.9, 1.1] here; deflated"
        in text
    )


LONG_NOTE = "4 of 16, for example features.7.1.mlp.3: norm (LayerNorm) normalises over channels"


@pytest.mark.parametrize(
    ("bit_operations", "reason"), [(250, "in int8; bit operations fall by 75 %"), (500, "no rule")]
)
def test_missed_products_are_called_int8_only_if_their_bits_are_fewer(bit_operations: int, reason: str) -> None:
    """A pruned network has fewer products of 32 bits; thop misses those of layers that it has no rule for."""
    dense = timed_row("none", macs=1000, speedup=1.0).model_copy(update={"bit_operations": 1000})
    smaller = {"macs": ReportedAndActual(reported=100, actual=500), "bit_operations": bit_operations}
    (text,) = (
        text
        for text in find_warnings([dense, timed_row("x", macs=0, speedup=1.0).model_copy(update=smaller)], {})
        if "thop" in text
    )

    assert text.startswith("x: thop reports 90 % fewer MACs, but 50 % fewer are computed: it ")
    assert reason in text
    assert ("int8" in text) == ("int8" in reason)


@pytest.mark.parametrize("width", [60, 80, 120])
def test_table_cuts_no_number(width: int) -> None:
    """At any width headings and numbers are whole, however long a note is, and an unreliable time is marked."""
    rows = [
        timed_row("none", macs=4_460_000_000, speedup=1.0),
        timed_row("dynamic_quantization", macs=301_580_000, speedup=3.3, problem="too noisy here").model_copy(
            update={"settings": {"target": 0.8}, "notes": {"groups_left_whole": LONG_NOTE}}
        ),
    ]
    result = audit(net(), resolution=8, latency=False).model_copy(update={"rows": rows})
    lines = render(result, colour=False, width=width).splitlines()
    text = "\n".join(lines)

    assert max(map(len, lines)) <= width
    for whole in ("parameters()", "bit ops", "ms here", "speed-up", "301.58 M", "~ 10.0", "~ 3.30 ×", "2.97–3.63"):
        assert whole in text, f"{whole!r} must be in one piece"
    assert "dynamic quantization, target 0.8  too noisy here" in text
    assert f"groups left whole {LONG_NOTE}" in " ".join(text.split())
    assert "ms: median and quartiles of 8 images with" in text
