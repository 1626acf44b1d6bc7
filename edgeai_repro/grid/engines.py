"""The engines that do the work of a grid: a loop here, Ray or SLURM in their own modules."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

from edgeai_repro.errors import UserError, did_you_mean
from edgeai_repro.grid.schema import GridFile
from edgeai_repro.grid.work import Outcome, Task, Tick, Work

NAMES = "local, ray, ray://HOST or slurm"
FIXED_NAMES = ("local", "ray", "slurm")
RAY_CLUSTER = "ray://"


class Engine(Protocol):
    """Does the work of tasks."""

    def outcomes(self, work: Work, tasks: Iterable[Task], tick: Tick) -> Iterator[tuple[Task, Outcome]]:
        """Yield each task with its outcome, in the order in which they end.

        `tasks` are taken as there is room for them. `tick` is called at least about every second, or after each
        epoch if the work is done in this process.
        """
        ...


class Loop:
    """Does one task after the other, in this process."""

    def outcomes(self, work: Work, tasks: Iterable[Task], tick: Tick) -> Iterator[tuple[Task, Outcome]]:
        """Yield each task with its outcome."""
        for task in tasks:
            yield task, work(task, tick)


def engine(name: str, file: GridFile, root: Path) -> Engine:
    """Return the engine of a name. Raises UserError if it is unknown, not installed, or does not answer."""
    if name == "local":
        return Loop()
    if name == "ray" or name.startswith(RAY_CLUSTER):
        _require("ray", name)
        from edgeai_repro.grid.ray_engine import RayEngine

        return RayEngine(file.resources, None if name == "ray" else name)
    if name == "slurm":
        _require("submitit", name)
        from edgeai_repro.grid.submitit_engine import SubmititEngine

        return SubmititEngine(file.resources, root, file.slurm)
    raise UserError(f"--on must be {NAMES} (got {name!r}); {did_you_mean(name, FIXED_NAMES)}")


def _require(package: str, name: str) -> None:
    extra = "ray" if package == "ray" else "slurm"
    if find_spec(package) is None:
        raise UserError(f"--on={name} needs {package}, which is missing; pip install 'edgeai-repro[{extra}]'")
