"""`make bench`: compares a claims run with the floor, in seconds per step and in peak memory."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

CONVNEXTS = ("convnext_tiny", "convnext_small", "convnext_base", "convnext_large")
RUNS = {"four models": (*CONVNEXTS, "alexnet"), "convnext_tiny": ("convnext_tiny",)}
ORDER = ("claims", "floor", "floor", "claims")


@dataclass(frozen=True)
class Outcome:
    """The wall seconds of a process, its peak resident memory in GB (1e9 bytes), and its seconds by step."""

    wall: float
    peak: float
    steps: dict[str, float]


def main() -> None:
    """Print a table for each selection of models."""
    console = Console(width=None if sys.stdout.isatty() else 110)
    for title, models in RUNS.items():
        outcomes: dict[str, list[Outcome]] = {"claims": [], "floor": []}
        for kind in ORDER:
            outcomes[kind].append(claims(models) if kind == "claims" else floor(models))
        console.print(table(title, outcomes))


def claims(models: tuple[str, ...]) -> Outcome:
    """Run the claims about some models, without those about edge devices: the floor times nothing."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "claims.json"
        options = [
            "-q",
            "-m",
            "claims and not edge",
            f"--claims-models={','.join(models)}",
            f"--claims-json={path}",
        ]
        wall, peak = measured([sys.executable, "-m", "pytest", *options], Path(folder) / "log")
        return Outcome(wall, peak, json.loads(path.read_text())["seconds"])


def floor(models: tuple[str, ...]) -> Outcome:
    """Run only the steps, for the same models."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        wall, peak = measured([sys.executable, "-m", "tests.benchmarks.floor", *models], log)
        return Outcome(wall, peak, json.loads(log.read_text()))


def measured(command: list[str], log: Path, accepted: Collection[int] = (0,)) -> tuple[float, float]:
    """Run a command; return its wall seconds and peak GB. Raises RuntimeError for another exit status."""
    start = time.perf_counter()
    with log.open("wb") as stream:
        process = subprocess.Popen(command, stdout=stream, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in accepted:
        raise RuntimeError(log.read_text())
    return wall, usage.ru_maxrss * 1024 / 1e9


def table(title: str, outcomes: dict[str, list[Outcome]]) -> Table:
    """Return a table of both kinds: medians by step, their ratio, and peak memory."""
    result = Table("step", "claims", "floor", title=f"{title}: seconds, medians of {ORDER.count('claims')}")
    for column in result.columns[1:]:
        column.justify = "right"
    medians = {kind: statistics.median(run.wall for run in runs) for kind, runs in outcomes.items()}
    steps = {step for runs in outcomes.values() for run in runs for step in run.steps}
    for step in sorted(steps):
        row = (
            statistics.median(run.steps.get(step, 0.0) for run in outcomes[kind]) for kind in ("claims", "floor")
        )
        result.add_row(step, *(f"{value:.2f}" for value in row))
    result.add_section()
    result.add_row("wall", *(f"{medians[kind]:.2f}" for kind in ("claims", "floor")))
    result.add_row("claims / floor", f"{medians['claims'] / medians['floor']:.2f}", "")
    result.add_row("peak GB", *(f"{max(run.peak for run in outcomes[kind]):.2f}" for kind in ("claims", "floor")))
    return result


if __name__ == "__main__":
    main()
