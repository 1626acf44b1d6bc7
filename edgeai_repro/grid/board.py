"""The state of every run of a grid, one line each, and the file with these lines. No torch."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edgeai_repro.errors import UserError, one_line
from edgeai_repro.evidence.training_record import RESULT, TrainingRecord, load_record
from edgeai_repro.files import write_text
from edgeai_repro.grid import folders
from edgeai_repro.grid.runs import Run
from edgeai_repro.grid.work import Task
from edgeai_repro.judge.formatting import duration
from edgeai_repro.training.progress import Progress

STATES = ("finished", "running", "waiting", "failed")
TICK_SECONDS = 1.0
SUMMARY_SHARE = 20  # writing the summary takes at most 1 / 20 of the time, however many runs it has
ELSEWHERE = "by another driver"


@dataclass(slots=True)
class State:
    """The state of a run. `seconds_left` and `top1`, in percent, are None if unknown; `note` says why it failed."""

    run: Run
    name: Literal["finished", "running", "waiting", "failed"] = "waiting"
    epoch: int = 0
    top1: float | None = None
    seconds_left: float | None = None
    note: str = ""

    def line(self) -> str:
        """Return the state as a line: state, epoch, accuracy, time left, name and label of the run, note."""
        epochs = self.run.base.epochs
        top1 = "-" if self.top1 is None else f"{self.top1:.2f} %"
        left = "-" if self.seconds_left is None or self.name != "running" else duration(self.seconds_left)
        words = f"{self.name:8}  epoch {self.epoch:>3}/{epochs:<3}  {top1:>8}  {left:>8} left"
        return f"{words}  {self.run.id}  {self.run.label}" + (f"  ({self.note})" if self.note else "")


def total(states: Iterable[State]) -> str:
    """Return how many runs there are in each state."""
    counts: Counter[str] = Counter(state.name for state in states)
    parts = [f"{counts[name]} {name}" for name in STATES if counts[name]]
    runs = "run" if counts.total() == 1 else "runs"
    return f"{counts.total()} {runs}: {', '.join(parts)}"


class Board:
    """The states of a grid's runs while a driver works, in `path` too.

    `changed` is called with each new state of a run, and `refresh` about every second with the runs at work.
    """

    def __init__(
        self,
        runs: Iterable[Run],
        path: Path,
        *,
        changed: Callable[[State], None],
        refresh: Callable[[list[State], str], None],
    ) -> None:
        self.states = {run.id: State(run) for run in runs}
        self._path = path
        self._changed = changed
        self._refresh = refresh
        self._at_work: dict[str, tuple[Path, int]] = {}  # the run's folder, and when its progress was last written
        self._ticked = self._written = 0.0
        self._writing_seconds = 0.0

    def submitted(self, task: Task) -> None:
        """Note that a task was given to the engine. It runs as soon as it reports progress."""
        self._at_work[task.run.id] = (task.folder, _progress_time(task.folder))

    def elsewhere(self, task: Task) -> None:
        """Note that another driver has a run."""
        state = self._end(task.run, "running", note=ELSEWHERE)
        self._at_work[task.run.id] = (task.folder, -1)
        self._changed(state)

    def finished(self, run: Run, record: TrainingRecord, *, earlier: bool = False) -> None:
        """Note that a run is finished; `earlier`: before this driver began, which is no news."""
        state = self._end(run, "finished", top1=_top1(record))
        state.epoch = run.base.epochs
        if not earlier:
            self._changed(state)

    def failed(self, run: Run, reason: str) -> None:
        """Note that a run failed, and the first line of the reason."""
        self._changed(self._end(run, "failed", note=reason.partition("\n")[0]))

    def _end(
        self,
        run: Run,
        name: Literal["finished", "running", "failed"],
        *,
        note: str = "",
        top1: float | None = None,
    ) -> State:
        self._at_work.pop(run.id, None)
        state = self.states[run.id]
        state.name, state.note, state.seconds_left = name, note, None
        state.top1 = state.top1 if top1 is None else top1
        return state

    def tick(self) -> None:
        """Read how far the runs at work are, at most once per second, and write the summary."""
        now = time.monotonic()
        if now - self._ticked < TICK_SECONDS:
            return
        self._ticked = now
        for name, (folder, known) in self._at_work.items():
            if (written := _progress_time(folder)) != known and (progress := folders.read_progress(folder)):
                self._at_work[name] = (folder, written)
                self._progressed(self.states[name], progress)
        self._refresh([self.states[name] for name in self._at_work], total(self.states.values()))
        if now - self._written > SUMMARY_SHARE * self._writing_seconds:
            self.write()

    def _progressed(self, state: State, progress: Progress) -> None:
        begins = state.name == "waiting"
        state.name = "running"
        state.epoch, state.top1, state.seconds_left = progress.epoch, progress.top1, progress.seconds_left
        if begins:
            self._changed(state)

    def write(self) -> None:
        """Write the summary: the numbers of runs by state, and one line per run."""
        start = time.monotonic()
        lines = [total(self.states.values()), *(state.line() for state in self.states.values())]
        write_text(self._path, "\n".join(lines) + "\n")
        self._written = time.monotonic()
        self._writing_seconds = self._written - start


def stored_states(runs: Iterable[Run], root: Path) -> list[State]:
    """Return the states of runs as their folders show them, whoever works at them."""
    return [_stored_state(run, root / run.id) for run in runs]


def _stored_state(run: Run, folder: Path) -> State:
    state = State(run)
    if (folder / RESULT).exists():
        try:
            record = load_record(folder / RESULT)
        except UserError as error:
            state.name, state.note = "failed", one_line(error)
            return state
        state.name, state.epoch, state.top1 = "finished", run.base.epochs, _top1(record)
        return state
    if progress := folders.read_progress(folder):
        state.epoch, state.top1, state.seconds_left = progress.epoch, progress.top1, progress.seconds_left
    if folders.is_held(folder):
        state.name = "running"
    elif reason := folders.read_failure(folder):
        state.name, state.note = "failed", reason
    return state


def _top1(record: TrainingRecord) -> float | None:
    """Return the accuracy after the last epoch, in percent, None if the data have no test images."""
    return record.curve[-1].test_top1 if record.curve else None


def _progress_time(folder: Path) -> int:
    """Return when the progress of a run was last written, in nanoseconds; 0 if it never was."""
    path = folder / folders.PROGRESS
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return 0
