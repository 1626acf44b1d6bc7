"""submitit does the work of a grid: one SLURM job per run."""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal

import submitit
from submitit.core.utils import FailedJobError, FailedSubmissionError, UncompletedJobError

from edgeai_repro.errors import UserError, one_line
from edgeai_repro.files import write_text
from edgeai_repro.grid.board import TICK_SECONDS
from edgeai_repro.grid.schema import Resources
from edgeai_repro.grid.work import Outcome, Task, Tick, Work, nothing

JOBS = "slurm-jobs"  # the folder of submitit's files, next to the folders of the runs
JOB = "slurm-job.txt"  # the number of a run's job, in the run's folder
WINDOW = 100  # jobs in the queue at a time: many clusters allow each user a few hundred


@dataclass(frozen=True)
class Requeued:
    """Work that submitit queues again when SLURM preempts its job or its time is over: training resumes."""

    work: Work

    def __call__(self, task: Task) -> Outcome:
        """Do the work of a task."""
        return self.work(task, nothing)

    def checkpoint(self, task: Task) -> submitit.helpers.DelayedSubmission:
        """Return what submitit queues: the same again, because training keeps its own checkpoint."""
        return submitit.helpers.DelayedSubmission(self, task)


class SubmititEngine:
    """Submits each task as a job. Jobs that an earlier driver left in the queue are not submitted again.

    `cluster` is submitit's name of the executor: `local` starts a process per job, on this machine.
    """

    def __init__(
        self,
        resources: Resources,
        root: Path,
        options: Mapping[str, int | str],
        *,
        cluster: Literal["slurm", "local"] = "slurm",
        window: int = WINDOW,
    ) -> None:
        """Prepare jobs with these resources and these options of sbatch; their files go to `root`.

        Raises UserError if there is no SLURM here, or if sbatch has no such option.
        """
        if cluster == "slurm" and not (shutil.which("sbatch") and shutil.which("srun")):
            raise UserError("--on=slurm needs sbatch and srun, which are missing; run it on a cluster's login node")
        self._folder = (root / JOBS).absolute()
        self._retries = resources.retries
        self._window = window
        self._executor = submitit.AutoExecutor(self._folder, cluster=cluster)
        try:
            self._executor.update_parameters(
                name="edgeai-repro",
                cpus_per_task=resources.cpus,
                gpus_per_node=math.ceil(resources.gpus),
                timeout_min=math.ceil(60 * resources.hours),
                **{f"slurm_{name}": value for name, value in options.items()},
            )
        except (NameError, ValueError) as error:
            raise UserError(f"'slurm' must have options that submitit knows (got {one_line(error)})") from None

    def outcomes(self, work: Work, tasks: Iterable[Task], tick: Tick) -> Iterator[tuple[Task, Outcome]]:
        """Yield each task with its outcome. A killed job is submitted again, as often as `retries` allows."""
        waiting = iter(tasks)
        at_work: dict[str, _Job] = {}
        while True:
            for task in islice(waiting, self._window - len(at_work)):
                at_work[task.run.id] = _Job(task, self._left_in_queue(task) or self._submit(work, task))
            if not at_work:
                return
            tick()
            for name, entry in list(at_work.items()):
                if not entry.job.done():
                    continue
                try:
                    outcome: Outcome = entry.job.result()
                except FailedJobError as error:
                    outcome = Outcome.failed(_reason(error))
                except UncompletedJobError as error:
                    if entry.kills < self._retries:
                        at_work[name] = _Job(entry.task, self._submit(work, entry.task), entry.kills + 1)
                        continue
                    outcome = Outcome.failed(_reason(error))
                (entry.task.folder / JOB).unlink(missing_ok=True)
                del at_work[name]
                yield entry.task, outcome
            time.sleep(TICK_SECONDS)

    def _submit(self, work: Work, task: Task) -> submitit.Job[Outcome]:
        try:
            job = self._executor.submit(Requeued(work), task)
        except (FailedSubmissionError, UncompletedJobError, OSError) as error:
            raise UserError(
                f"sbatch must take the job of {task.run.id} (got {one_line(error)}); see 'slurm'"
            ) from None
        write_text(task.folder / JOB, f"{job.job_id}\n")
        return job

    def _left_in_queue(self, task: Task) -> submitit.Job[Outcome] | None:
        """Return the job of a task that an earlier driver submitted, None if there is none or it was killed."""
        path = task.folder / JOB
        if not path.exists():
            return None
        kind = submitit.SlurmJob if self._executor.cluster == "slurm" else submitit.LocalJob
        job: submitit.Job[Outcome] = kind(self._folder, path.read_text(encoding="utf-8").strip())
        return job if job.paths.result_pickle.exists() or not job.done(force_check=True) else None


@dataclass(frozen=True)
class _Job:
    """A task, its job, and how many of its jobs were killed before."""

    task: Task
    job: submitit.Job[Outcome]
    kills: int = 0


def _reason(error: UncompletedJobError) -> str:
    """Return why a job gave no outcome in one line, and then submitit's whole message with the logs."""
    return f"the job gave no result ({one_line(error)})\n{error}"
