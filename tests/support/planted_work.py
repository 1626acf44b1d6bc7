"""Work of a grid that trains nothing, breaks or dies, without torch."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass

from edgeai_repro.evidence.environment import describe
from edgeai_repro.evidence.training_record import Evaluation, TrainingRecord
from edgeai_repro.grid.work import Outcome, Task, Tick, nothing


def record_of(task: Task, evaluations: tuple[Evaluation, ...] = ()) -> TrainingRecord:
    """Return a record of a task's run that was not trained."""
    return TrainingRecord(
        recipe=task.run.recipe.as_dict(),
        precision="fp32",
        command=task.run.command(task.folder),
        commit="unknown",
        environment=describe(),
        curve=(),
        seconds=0.0,
        hidden_widths=(),
        weights_sha256="",
        init_sha256=None,
        data_sha256={},
        evaluations=evaluations,
    )


@dataclass(frozen=True)
class Planted:
    """Finishes every run at once, but raises in the run named `broken`, and dies in the one named `killed`."""

    broken: str = ""
    killed: str = ""

    def __call__(self, task: Task, tick: Tick = nothing) -> Outcome:
        """Do the work of a task."""
        if task.run.id == self.killed:
            os.kill(os.getpid(), signal.SIGKILL)
        if task.run.id == self.broken:
            raise ZeroDivisionError
        return Outcome(state="finished", record=record_of(task))
