"""The work of one run, the same function on every engine. It writes everything but the record."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edgeai_repro.errors import MissingRequirement, UserError, one_line
from edgeai_repro.evidence.measurement import Frozen
from edgeai_repro.evidence.training_record import TrainingRecord
from edgeai_repro.grid.folders import HeldError, finished_record, held, write_progress
from edgeai_repro.grid.runs import Run
from edgeai_repro.training.progress import Progress


@dataclass(frozen=True)
class Task:
    """A run with all that a worker needs: the folder of the data, the run's folder, the number of threads, and the
    directory from which relative paths count.
    """

    run: Run
    data: Path
    folder: Path
    threads: int
    directory: Path


class Outcome(Frozen):
    """How a task ended: with a record, with the reason of a failure, or held by another process."""

    state: Literal["finished", "failed", "held"]
    record: TrainingRecord | None = None
    reason: str = ""

    @classmethod
    def failed(cls, reason: str) -> Outcome:
        """Return the outcome of a failure. The first line of the reason is shown, all of it is written down."""
        return cls(state="failed", reason=reason)


Tick = Callable[[], None]
Work = Callable[[Task, Tick], Outcome]


def nothing() -> None:
    """Do nothing: the tick of a worker in another process."""


def train_run(task: Task, tick: Tick = nothing) -> Outcome:
    """Train the run of a task, or resume it, and return its record. `tick` is called after each epoch.

    A run that is finished is not trained again, and one that another process holds is left to it.
    """
    try:
        with chdir(task.directory), held(task.folder):
            record = finished_record(task.run, task.folder) or _trained(task, tick)
            return Outcome(state="finished", record=record)
    except HeldError:
        return Outcome(state="held")
    except (UserError, MissingRequirement) as error:
        return Outcome.failed(str(error))
    except Exception as error:  # a mistake of ours: the other runs go on, and the driver writes the traceback down
        return Outcome.failed(f"{one_line(error)}\n{traceback.format_exc()}")


def _trained(task: Task, tick: Tick) -> TrainingRecord:
    from edgeai_repro.measure.latency.threads import torch_threads
    from edgeai_repro.training.train import train_without_record

    def report(progress: Progress) -> None:
        write_progress(task.folder, progress)
        tick()

    with torch_threads(task.threads):  # sums are rounded by the number of threads: all engines have the same
        return train_without_record(
            task.run.recipe,
            task.data,
            task.folder,
            command=task.run.command(task.folder),
            sparsities=task.run.options.sparsities,
            report=report,
        )
