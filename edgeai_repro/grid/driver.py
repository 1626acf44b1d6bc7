"""The driver of a grid: it gives runs to an engine, and it alone writes their records."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgeai_repro.errors import UserError
from edgeai_repro.evidence.training_record import write_record
from edgeai_repro.grid import folders
from edgeai_repro.grid.board import TICK_SECONDS, Board
from edgeai_repro.grid.engines import Engine
from edgeai_repro.grid.runs import Run
from edgeai_repro.grid.work import Outcome, Task, Work


@dataclass(frozen=True)
class Place:
    """Where a grid works: the folder of its runs, that of the data, and the directory of its relative paths."""

    root: Path
    data: Path
    directory: Path

    def task(self, run: Run, threads: int) -> Task:
        """Return the task of a run."""
        return Task(run, self.data, self.root / run.id, threads, self.directory)


class Driver:
    """Trains the runs of a grid. Finished ones are left alone, killed ones are resumed."""

    def __init__(self, engine: Engine, work: Work, board: Board, place: Place, threads: int) -> None:
        self._engine = engine
        self._work = work
        self._board = board
        self._place = place
        self._threads = threads

    def drive(self, runs: Iterable[Run]) -> None:
        """Train all runs, and wait for those that another driver has. Raises UserError if no lock can be had."""
        folders.check_lockable(self._place.root)
        remaining: Sequence[Run] = list(runs)
        try:
            while remaining:
                held = []
                for task, outcome in self._engine.outcomes(self._work, self._tasks(remaining), self._board.tick):
                    if outcome.state == "held":
                        held.append(task)
                        self._board.elsewhere(task)
                    else:
                        self._settle(task, outcome)
                self._wait_for_one(held)
                remaining = [task.run for task in held]
        finally:
            self._board.write()

    def _tasks(self, runs: Iterable[Run]) -> Iterator[Task]:
        """Yield the tasks of the runs that are not finished, each when the engine has room for it."""
        for run in runs:
            task = self._place.task(run, self._threads)
            try:
                record = folders.finished_record(run, task.folder)
            except UserError as error:
                self._board.failed(run, str(error))
                continue
            if record is not None:
                folders.clear(task.folder)
                self._board.finished(run, record, earlier=True)
                continue
            self._board.submitted(task)
            yield task

    def _settle(self, task: Task, outcome: Outcome) -> None:
        if outcome.record is None:
            folders.write_failure(task.folder, outcome.reason)
            self._board.failed(task.run, outcome.reason)
            return
        write_record(outcome.record, task.folder)
        folders.clear(task.folder)
        self._board.finished(task.run, outcome.record)

    def _wait_for_one(self, held: Sequence[Task]) -> None:
        """Wait until another driver releases one of the runs that it has."""
        while held and all(folders.is_held(task.folder) for task in held):
            self._board.tick()
            time.sleep(TICK_SECONDS)
