"""The audit's latencies: the comparison with the uncompressed model, noise, and models that can't be timed."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from edgeai_repro.audit import latency, rows
from edgeai_repro.audit.audit import audit, techniques_of
from edgeai_repro.audit.latency import FEWEST_ROUNDS, Call, time_models, why_too_slow
from edgeai_repro.audit.schema import Audit, Latency, ReportedAndActual, Row
from edgeai_repro.audit.table import render
from edgeai_repro.audit.warnings import find_warnings
from edgeai_repro.claims.registry import TECHNIQUES, technique
from edgeai_repro.errors import UserError
from edgeai_repro.evidence.measurement import Interval, Settings
from edgeai_repro.measure.latency.interleaved import Plan, Timing

pytestmark = pytest.mark.usefixtures("few_rounds")
ONE = Interval.exact(1.0)
FEW = {name: [] for name in techniques_of() if name not in ("dynamic_quantization", "unstructured_pruning")}


def net() -> nn.Module:
    """Return a small network for 8 × 8 pixels."""
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(144, 2))


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


def test_every_row_is_timed_with_the_recorded_threads() -> None:
    """All rows have a latency; the number of threads is recorded, and torch's own is restored."""
    before, steps = torch.get_num_threads(), []

    result = audit(net(), resolution=8, settings=FEW, threads=3, on_progress=steps.append)

    assert [row.technique for row in result.rows if row.latency] == [
        "none",
        "dynamic_quantization",
        "unstructured_pruning",
    ]
    assert result.environment.threads == 3
    assert torch.get_num_threads() == before
    assert steps == ["none", "dynamic_quantization", "unstructured_pruning", "latency"]
    assert Audit.model_validate_json(result.model_dump_json()) == result


def test_models_run_with_the_recorded_threads() -> None:
    """The model runs in eval and inference mode, with the number of threads that is recorded."""
    states = set()

    class Observed(nn.Module):
        def forward(self, image: Tensor) -> Tensor:
            states.add((torch.get_num_threads(), torch.is_inference_mode_enabled(), self.training))
            return image

    audit(Observed(), resolution=8, settings={name: [] for name in TECHNIQUES}, threads=3)

    assert (3, True, False) in states
    assert {threads for threads, _, _ in states} == {3}


def test_without_latency_nothing_is_timed() -> None:
    """With `latency=False` no row has a latency, and no step reports one."""
    steps: list[str] = []

    result = audit(net(), resolution=8, settings=FEW, latency=False, on_progress=steps.append)

    assert [row.latency for row in result.rows] == [None] * len(result.rows)
    assert "latency" not in steps


def test_pruned_model_is_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The combination starts from the pruned model that already has a row."""
    settings_seen = []

    def pruned(model: nn.Module, settings: Sequence[Settings], inputs: object = None) -> Iterator[nn.Module]:
        """Copy the model."""
        for setting in settings:
            settings_seen.append(setting)
            yield copy.deepcopy(model)

    real = TECHNIQUES["structured_pruning"]
    monkeypatch.setitem(TECHNIQUES, real.name, replace(real, apply=pruned))

    audit(net(), resolution=8, latency=False)

    assert settings_seen == [{"target": 0.8}]


def test_model_that_does_not_run_has_one_reason() -> None:
    """A model that doesn't accept the image has no latency, and its row has a single reason."""
    result = audit(net(), resolution=9, settings=FEW)

    assert [row.latency for row in result.rows] == [None] * len(result.rows)
    assert (result.uncompressed.problem or "").startswith("MACs can't be counted: the network must run")
    assert "timed" not in (result.uncompressed.problem or "")


def test_technique_that_breaks_the_model_has_a_reason() -> None:
    """If a compressed model doesn't run, its row has the reason and the other models are timed."""

    @technique("broken")
    def broken(model: nn.Module, settings: Sequence[Settings]) -> Iterator[nn.Module]:
        """Append a layer that doesn't fit."""
        for _ in settings:
            yield nn.Sequential(model, nn.Linear(5, 5))

    try:
        result = audit(net(), resolution=8, settings=FEW)
    finally:
        del TECHNIQUES["broken"]

    assert [row.technique for row in result.rows if row.latency is None] == ["broken"]
    assert (result.rows[-1].problem or "").startswith("does not run: RuntimeError: ")


def test_model_that_fails_while_it_is_timed_keeps_its_counts() -> None:
    """A model that fails during timing has no latency; its counts are kept."""

    class Failing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.runs = 0

        def forward(self, image: Tensor) -> Tensor:
            self.runs += 1
            if self.runs > 10:
                raise RuntimeError("worn out")
            return image

    result = audit(Failing(), resolution=8, settings={name: [] for name in TECHNIQUES})

    assert result.uncompressed.problem == "can't be timed: RuntimeError: worn out"
    assert result.uncompressed.macs == ReportedAndActual(reported=0, actual=0)


def test_emulated_processor_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    """On an emulated processor nothing is timed, and the first row has the reason."""
    monkeypatch.setattr(latency.environment, "emulated", lambda: True)

    result = audit(net(), resolution=8, settings=FEW).uncompressed

    assert result.latency is None
    assert (result.problem or "").startswith("can't be timed: this processor is emulated")


def test_passive_threads_are_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    """With OMP_WAIT_POLICY=passive only a single thread is timed; with several the first row has the reason."""
    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")

    several, one = (audit(net(), resolution=8, settings=FEW, threads=threads).uncompressed for threads in (2, 1))

    assert several.latency is None
    assert re.match("can't be timed: eager mode isn't timed .*OMP_WAIT_POLICY", several.problem or "")
    assert one.latency is not None
    assert one.problem is None


def test_jumping_clock_keeps_the_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """If a clock jumps, nothing is timed, the first row has the reason, and the counts are kept."""

    def jump(*_: object) -> dict[str, Timing]:
        raise UserError("'clock' must not jump (got 5 s)")

    monkeypatch.setattr(rows, "time_models", jump)
    result = audit(net(), resolution=8, settings=FEW)

    assert result.uncompressed.problem == "can't be timed: 'clock' must not jump (got 5 s)"
    assert {row.problem for row in result.rows[1:]} == {None}


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


@pytest.mark.parametrize("width", [80, 120])
def test_table_cuts_no_number(width: int) -> None:
    """At 80 and at 120 columns headings and numbers are whole, and an unreliable time is marked."""
    rows = [
        timed_row("none", macs=4_460_000_000, speedup=1.0),
        timed_row("dynamic_quantization", macs=301_580_000, speedup=3.3, problem="too noisy here").model_copy(
            update={"settings": {"target": 0.8}}
        ),
    ]
    result = audit(net(), resolution=8, latency=False).model_copy(update={"rows": rows})
    lines = render(result, colour=False, width=width).splitlines()
    text = "\n".join(lines)

    assert max(map(len, lines)) <= width
    for whole in ("parameters()", "bit ops", "ms here", "speed-up", "301.58 M", "~ 10.0", "~ 3.30 ×", "2.97–3.63"):
        assert whole in text, f"{whole!r} must be in one piece"
    assert "dynamic quantization, target 0.8  too noisy here" in text
    assert "ms: median and quartiles of 8 images with" in text
