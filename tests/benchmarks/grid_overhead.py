"""`make bench`: what a grid costs per run, and the memory of its driver, at 10, 1,000 and 10,000 runs of 10 ms.

Each measurement is a new process, which prints its own row. The work sleeps under the run's lock and returns a
record of the usual size; the driver writes it. Overhead is the wall time per run beyond the sleep; workers sleep at
the same time. On a busy machine only the driver's CPU time says something.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import yaml
from rich.console import Console
from rich.table import Table

from edgeai_repro.grid.board import Board
from edgeai_repro.grid.driver import Driver, Place
from edgeai_repro.grid.engines import Engine, Loop
from edgeai_repro.grid.runs import read_grid
from edgeai_repro.grid.schema import Resources
from tests.support.planted_work import Simulated

SECONDS = 0.01
WORKERS = {"local": 1, "ray": 2}
MIB = 2**20
COLUMNS = ("wall, s", "overhead, ms per run", "driver's CPU, ms per run")
MEMORY = ("memory before, MiB", "after a tenth", "after all")


def main() -> None:
    """Print a table: the overhead per run, and the driver's memory before the first run and after the last."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--engines", nargs="+", default=list(WORKERS), choices=WORKERS)
    parser.add_argument("--runs", nargs="+", type=int, default=[10, 1_000, 10_000])
    parser.add_argument("--one", action="store_true", help="measure the first engine and number in this process")
    given = parser.parse_args()
    if given.one:
        print(*measure(given.engines[0], given.runs[0]))
        return
    table = Table("engine", "runs", *COLUMNS, *MEMORY)
    for engine in given.engines:
        for runs in given.runs:
            command = [sys.executable, "-m", "tests.benchmarks.grid_overhead", "--one"]
            command += ["--engines", engine, "--runs", str(runs)]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            table.add_row(engine, f"{runs:,}", *done.stdout.splitlines()[-1].split())
    Console(width=None if sys.stdout.isatty() else 120).print(table)


def measure(engine: str, count: int) -> list[str]:
    """Return the wall seconds, overhead and CPU time in ms per run, and the memory in MiB: before, early, after."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        file = {"schema_version": 2, "networks": ["resnet20"], "techniques": {"a": {}}, "seeds": list(range(count))}
        (root / "grid.yaml").write_text(yaml.safe_dump(file), encoding="utf-8")
        chosen = _engine(engine)
        runs = read_grid(root / "grid.yaml").runs
        ended: list[object] = []
        early: list[float] = []

        def note(state: object) -> None:
            ended.append(None)
            if len(ended) == max(1, count // 10):
                early.append(_memory())

        board = Board(runs, root / "summary.txt", changed=note, refresh=lambda states, total: None)
        driver = Driver(chosen, Simulated(SECONDS), board, Place(root, root, root), 1)
        before = _memory()
        start, busy = time.perf_counter(), time.process_time()
        driver.drive(runs)
        wall, busy = time.perf_counter() - start, time.process_time() - busy
        if (written := len(list(root.glob("*/result.json")))) != count:
            raise RuntimeError(f"{count} records must be written (got {written})")
        overhead = 1000 * (wall / count - SECONDS / WORKERS[engine])
        return [f"{value:.1f}" for value in (wall, overhead, 1000 * busy / count, before, *early, _memory())]


def _engine(name: str) -> Engine:
    if name == "local":
        return Loop()
    from edgeai_repro.grid.ray_engine import RayEngine, start

    start(WORKERS[name])
    return RayEngine(Resources(), None)


def _memory() -> float:
    return float(psutil.Process().memory_info().rss / MIB)


if __name__ == "__main__":
    main()
