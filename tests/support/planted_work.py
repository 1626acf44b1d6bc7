"""Work of a grid that trains nothing: it ends at once, sleeps, breaks or dies. No torch."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from functools import cache

import numpy as np

from edgeai_repro.evidence.environment import describe
from edgeai_repro.evidence.measurement import Environment
from edgeai_repro.evidence.training_record import Evaluation, TrainingRecord
from edgeai_repro.grid.folders import held
from edgeai_repro.grid.work import Outcome, Task, Tick, nothing


def record_of(task: Task, evaluations: tuple[Evaluation, ...] = ()) -> TrainingRecord:
    """Return a record of a task's run that was not trained."""
    return TrainingRecord(
        recipe=task.run.recipe.as_dict(),
        precision="fp32",
        command=task.run.command(task.folder),
        commit="unknown",
        environment=_environment(),
        curve=(),
        seconds=0.0,
        hidden_widths=(),
        weights_sha256="",
        init_sha256=None,
        data_sha256={},
        evaluations=evaluations,
    )


@cache
def _environment() -> Environment:
    """Return the environment. To find the versions takes tens of milliseconds, which belong to the training."""
    return describe()


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


@dataclass(frozen=True)
class Simulated:
    """Holds the lock of a run, sleeps, and returns a record of the usual size: two bitmaps of 10,000 images."""

    seconds: float

    def __call__(self, task: Task, tick: Tick = nothing) -> Outcome:
        """Do the work of a task."""
        with held(task.folder):
            time.sleep(self.seconds)
            bits = np.random.default_rng(task.run.seed).random(10_000) < 0.9
            evaluations = (Evaluation.of("none", bits), Evaluation.of("dynamic_quantization", bits))
            return Outcome(state="finished", record=record_of(task, evaluations))
