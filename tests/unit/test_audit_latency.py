"""The audit's times: what is timed beside what, what is said of noise, and what can't be timed."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from edgeai_repro.audit import latency as timing
from edgeai_repro.audit import table as audit_table
from edgeai_repro.audit import warnings as advice
from edgeai_repro.audit.audit import audit
from edgeai_repro.audit.latency import FEWEST, timed
from edgeai_repro.audit.schema import Audit, Latency, ReportedAndActual, Row
from edgeai_repro.claims.registry import TECHNIQUES, Settings, technique
from edgeai_repro.errors import UserError
from edgeai_repro.evidence.measurement import Interval
from edgeai_repro.measure.latency.interleaved import Plan, Timing

ONE = Interval.exact(1.0)
FEW = {"structured_pruning": [], "combined": []}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time as little as an interval allows."""
    monkeypatch.setattr(timing, "SECONDS", 0.0)
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)


def net() -> nn.Module:
    """Return a small network for 8 × 8 pixels."""
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(144, 2))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[Mapping[str, Sequence[float]]], list[Plan]]:
    """Let a race end with the given milliseconds of each block, by name; return the list of its plans."""

    def set_to(blocks: Mapping[str, Sequence[float]]) -> list[Plan]:
        plans: list[Plan] = []

        def race(contenders: Mapping[str, object], plan: Plan) -> dict[str, Timing]:
            plans.append(plan)
            return {name: Timing(np.array([[value] * 3 for value in blocks[name]])) for name in contenders}

        monkeypatch.setattr(timing, "race", race)
        return plans

    return set_to


def test_compared_with_the_model_as_it_is(clock: Callable[..., list[Plan]]) -> None:
    """Each has its median in milliseconds and how many times faster it is; the model as it is has no such ratio."""
    clock({"": [30.0] * 4, "int8": [10.0] * 4})

    own, others = timed(lambda: None, {"int8": lambda: None})

    assert (own.milliseconds, own.faster, own.problem) == (Interval.exact(30.0), None, None)
    assert others["int8"].milliseconds == Interval.exact(10.0)
    assert others["int8"].faster == Interval.exact(3.0)
    assert (others["int8"].n, others["int8"].control) == (12, ONE)


def test_noise(clock: Callable[..., list[Plan]]) -> None:
    """A model that differs from itself by a tenth is too noisy, and so is what is beside it; they are shown."""
    clock({"": [10.0, 11.0] * 4, "int8": [5.0] * 8})

    own, others = timed(lambda: None, {"int8": lambda: None})

    expected = "too noisy here to believe its times: against itself 0.91 … 0.91, where 0.95 … 1.05 is asked"
    assert own.problem == expected
    assert (others["int8"].problem or "").startswith(
        "too noisy here to believe its times: against itself 0.91 … 1,"
    )
    assert others["int8"].milliseconds.value == 5.0


@pytest.mark.parametrize(("seconds", "rounds"), [(10.0, FEWEST), (0.0001, 17), (0.04, 8)])
def test_turns(
    clock: Callable[..., list[Plan]], monkeypatch: pytest.MonkeyPatch, seconds: float, rounds: int
) -> None:
    """What is slow is timed as seldom as an interval allows, what is fast more often."""
    plans = clock({"": [1.0] * 4, "int8": [1.0] * 4})
    now = [0.0]

    def tick() -> None:
        now[0] += seconds

    monkeypatch.setattr(timing, "SECONDS", 4.0)
    monkeypatch.setattr(timing.time, "perf_counter", lambda: now[0])
    timed(tick, {"int8": tick})

    assert [plan.rounds for plan in plans] == [rounds]


def test_all_rows() -> None:
    """Every row has a time, taken with the threads that are recorded; torch has its own number again after it."""
    before, steps = torch.get_num_threads(), []

    found = audit(net(), resolution=8, settings=FEW, threads=3, each=steps.append)

    assert [row.technique for row in found.rows if row.latency] == [
        "none",
        "dynamic_quantization",
        "unstructured_pruning",
    ]
    assert found.environment.threads == 3
    assert torch.get_num_threads() == before
    assert steps == ["none", "dynamic_quantization", "unstructured_pruning", "latency"]
    assert Audit.model_validate_json(found.model_dump_json()) == found


def test_threads_while_timed() -> None:
    """The threads that are recorded are those that a model answers with."""
    seen = set()

    class Asking(nn.Module):
        def forward(self, image: Tensor) -> Tensor:
            seen.add((torch.get_num_threads(), torch.is_inference_mode_enabled(), self.training))
            return image

    audit(Asking(), resolution=8, settings={name: [] for name in TECHNIQUES}, threads=3)

    assert (3, True, False) in seen
    assert {threads for threads, _, _ in seen} == {3}


def test_counted_only() -> None:
    """Without latency nothing is timed."""
    steps: list[str] = []

    found = audit(net(), resolution=8, settings=FEW, latency=False, each=steps.append)

    assert [row.latency for row in found.rows] == [None] * len(found.rows)
    assert "latency" not in steps


def test_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is pruned and quantized starts from the pruned model that has its own row."""
    made = []

    def pruned(model: nn.Module, settings: Sequence[Settings]) -> Iterator[nn.Module]:
        """Nothing is pruned."""
        for setting in settings:
            made.append(setting)
            yield copy.deepcopy(model)

    kept = TECHNIQUES["structured_pruning"]
    monkeypatch.setitem(TECHNIQUES, kept.name, type(kept)(kept.name, kept.base, pruned, kept.description))

    audit(net(), resolution=8, latency=False)

    assert made == [{"target": 0.8}]


def test_what_does_not_run() -> None:
    """Of a model that takes no image of that size there is no time, and its row says why once."""
    found = audit(net(), resolution=9, settings=FEW)

    assert [row.latency for row in found.rows] == [None] * len(found.rows)
    assert (found.dense.problem or "").startswith("MACs can't be counted at 9 pixels: RuntimeError: ")
    assert "timed" not in (found.dense.problem or "")


def test_technique_that_breaks_a_model() -> None:
    """Where one technique's model doesn't run, its row says why, and the others are timed."""

    @technique("broken")
    def broken(model: nn.Module, settings: Sequence[Settings]) -> Iterator[nn.Module]:
        """A layer that fits nothing."""
        for _ in settings:
            yield nn.Sequential(model, nn.Linear(5, 5))

    try:
        found = audit(net(), resolution=8, settings=FEW)
    finally:
        del TECHNIQUES["broken"]

    assert [row.technique for row in found.rows if row.latency is None] == ["broken"]
    assert (found.rows[-1].problem or "").startswith("MACs can't be counted at 8 pixels: RuntimeError")


def test_runs_at_times() -> None:
    """A model that stops answering while it is timed has no time; what was counted stands."""

    class Tired(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.answers = 0

        def forward(self, image: Tensor) -> Tensor:
            self.answers += 1
            if self.answers > 10:
                raise RuntimeError("tired")
            return image

    found = audit(Tired(), resolution=8, settings={name: [] for name in TECHNIQUES})

    assert found.dense.problem == "can't be timed: RuntimeError: tired"
    assert found.dense.macs == ReportedAndActual(reported=0, actual=0)


def test_emulated(monkeypatch: pytest.MonkeyPatch) -> None:
    """On an emulated processor nothing is timed, and the first row says why."""
    monkeypatch.setattr(timing.environment, "emulated", lambda: True)

    found = audit(net(), resolution=8, settings=FEW).dense

    assert found.latency is None
    assert found.problem == "can't be timed: this processor is emulated, and its times tell nothing of any device"


def test_passive(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where eager mode's threads fall asleep nothing is timed, and the first row says why; one thread doesn't."""
    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")

    several, one = (audit(net(), resolution=8, settings=FEW, threads=threads).dense for threads in (2, 1))

    assert several.latency is None
    assert (several.problem or "").startswith(
        "can't be timed: eager mode isn't timed where OMP_WAIT_POLICY is passive"
    )
    assert one.latency is not None
    assert one.problem is None


def test_jump(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a clock jumps, nothing is timed, the first row says so, and what was counted stands."""

    def race(*_: object) -> dict[str, Timing]:
        raise UserError("'clock' must not jump (got 5 s)")

    monkeypatch.setattr(timing, "race", race)
    found = audit(net(), resolution=8, settings=FEW)

    assert found.dense.problem == "can't be timed: 'clock' must not jump (got 5 s)"
    assert [row.problem for row in found.rows[1:]] == [None, None]


def timed_row(name: str, *, macs: int, faster: float, problem: str | None = None, nonzero: int = 100) -> Row:
    """Return a row of 100 parameters of which `nonzero` aren't 0, timed at so many times the speed."""
    ratio = Interval(value=faster, low=0.9 * faster, high=1.1 * faster)
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
            faster=None if name == "none" else ratio,
            control=ONE,
            problem=problem,
        ),
    )


def test_warning_of_speed() -> None:
    """Where thop promises much more speed than there is, a sentence says both; not where it is near, or noisy."""
    dense = timed_row("none", macs=1000, faster=1.0)
    promise = "combined: 10 times fewer MACs are reported, but an image is 3 times as fast [2.7, 3.3] here"

    assert promise in advice.warnings([dense, timed_row("combined", macs=100, faster=3.0)], {})
    assert promise not in advice.warnings([dense, timed_row("combined", macs=100, faster=3.0, problem="noisy")], {})
    assert not any(
        "as fast" in text for text in advice.warnings([dense, timed_row("combined", macs=100, faster=8.0)], {})
    )


def test_warning_of_zeros() -> None:
    """Zeros take as long as all else, in figures where they can be told."""
    dense = timed_row("none", macs=1000, faster=1.0)
    (text,) = advice.warnings([dense, timed_row("unstructured_pruning", macs=1000, faster=1.0, nonzero=20)], {})

    assert "stored and multiplied like all else, and an image is 1 times as fast [0.9, 1.1] here; deflated" in text


@pytest.mark.parametrize("width", [80, 120])
def test_terminal(width: int) -> None:
    """At 80 and at 120 columns no heading and no figure is cut, and a time that isn't believed is marked."""
    rows = [
        timed_row("none", macs=4_460_000_000, faster=1.0),
        timed_row("dynamic_quantization", macs=301_580_000, faster=3.3, problem="too noisy here").model_copy(
            update={"settings": {"target": 0.8}}
        ),
    ]
    found = audit(net(), resolution=8, latency=False).model_copy(update={"rows": rows})
    lines = audit_table.render(found, colour=False, width=width).splitlines()
    text = "\n".join(lines)

    assert max(map(len, lines)) <= width
    for whole in ("parameters()", "bit ops", "ms here", "faster", "301.58 M", "~ 10.0", "~ 3.30 ×", "2.97–3.63"):
        assert whole in text, f"{whole!r} must be in one piece"
    assert "dynamic quantization, target 0.8  too noisy here" in text
    assert "ms: median and quartiles of 8 images with" in text
