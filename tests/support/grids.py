"""Grids of small runs on noise, and work that workers in other processes can do."""

from __future__ import annotations

import os
import signal
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from edgeai_repro.data.cifar import Split
from edgeai_repro.evidence.training_record import load_record
from edgeai_repro.grid.board import Board
from edgeai_repro.grid.driver import Driver, Place
from edgeai_repro.grid.engines import Engine
from edgeai_repro.grid.runs import Run, read_grid
from edgeai_repro.grid.work import Outcome, Task, Tick, Work, nothing, train_run
from edgeai_repro.training import trainer

STEPS = 4  # of each run: 20 images in batches of 8 are 2 steps per epoch
SMALL: dict[str, Any] = {
    "schema_version": 2,
    "networks": ["resnet20"],
    "techniques": {"dense": {"epochs": 2, "batch_size": 8, "precision": "fp32"}},
    "seeds": [0],
}


def noise() -> Split:
    """Return 20 images of noise in the place of CIFAR-10."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (20, 3, 32, 32), dtype=torch.uint8, generator=generator)
    return Split(images, torch.randint(10, (20,), generator=generator), 10, "noise")


def write_grid(folder: Path, **changes: Any) -> Path:
    """Write the file of a small grid, with these keys changed or added, and return its path."""
    path = folder / "small.yaml"
    path.write_text(yaml.safe_dump({**SMALL, **changes}), encoding="utf-8")
    return path


def runs_of(folder: Path, **changes: Any) -> tuple[Run, ...]:
    """Return the runs of a small grid with these keys changed or added."""
    return read_grid(write_grid(folder, **changes)).runs


@dataclass(frozen=True)
class NoiseWork:
    """Trains on noise, and writes each step that was taken to the file `log`, with the process that took it.

    The first process that has taken `kill_after` steps of a run kills itself as `kill -9` does.
    """

    log: Path
    kill_after: int | None = None

    def __call__(self, task: Task, tick: Tick = nothing) -> Outcome:
        """Do the work of a task."""
        step = trainer.Trainer.step
        killed = self.log.with_suffix(".killed")

        def recorded(run: trainer.Trainer) -> float:
            if run.done == self.kill_after and not killed.exists():
                killed.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            with self.log.open("a", encoding="utf-8") as stream:
                stream.write(f"{task.run.id} {run.done} {os.getpid()}\n")
            return step(run)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(trainer, "load_split", lambda folder, part, dataset: noise())
            patch.setattr(trainer.Trainer, "step", recorded)
            return train_run(task, tick)

    def steps(self) -> dict[str, list[tuple[int, int]]]:
        """Return the steps that were taken and the processes that took them, by run."""
        taken = defaultdict(list)
        for line in self.log.read_text(encoding="utf-8").splitlines():
            name, step, process = line.split()
            taken[name].append((int(step), int(process)))
        return dict(taken)


def drive(engine: Engine, work: Work, runs: tuple[Run, ...], root: Path, threads: int = 1) -> Board:
    """Let a driver train runs in the folder `root`, and return its board."""
    board = Board(runs, root / "summary.txt", changed=lambda state: None, refresh=lambda states, total: None)
    Driver(engine, work, board, Place(root, root, Path.cwd()), threads).drive(runs)
    return board


def results(runs: tuple[Run, ...], root: Path) -> dict[str, Any]:
    """Return all that is recorded of each run but its wall time and its command, which names the folder."""
    return {
        run.id: load_record(root / run.id / "result.json").model_dump(exclude={"seconds", "command"})
        for run in runs
    }
