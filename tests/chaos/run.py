"""Kills commands at each change of a file, fills their disk, and runs claims under load; `make chaos` runs it.

Each command runs in a folder with an earlier result. After a kill, results must be the earlier or the new ones, and
the same command must then end well and leave no temporary file. With a full disk, a command must end with one line,
leave the results whole and no temporary file. Under load, no verdict may flip and no file may be mixed (`load.py`).
"""

from __future__ import annotations

import argparse
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from pathlib import Path

from tests.chaos import faults
from tests.chaos.commands import COMMANDS, Command
from tests.chaos.faults import Outcome
from tests.chaos.load import LOADS, Load, strain

PRELOADED = (
    *("edgeai_repro.session", "edgeai_repro.report.html", "edgeai_repro.report.markdown"),
    *("edgeai_repro.edge.build", "edgeai_repro.evidence.plausibility", "edgeai_repro.plugin.hooks"),
    *("edgeai_repro.measure.network_profiles", "edgeai_repro.training.train", "edgeai_repro.audit.onnx_file"),
)
LOGGED = re.compile(r"\d\d:\d\d:\d\d ")  # a line of training's log
SIZES = (64, 16_384)  # bytes that a file may have on a disk that fills while it is written


COLUMNS = (
    f"{'what':<18} {'kills':>6} {'full disks':>11} {'runs':>5} {'no verdict':>11} {'seconds':>8} {'problems':>9}"
)


@dataclass
class Row:
    """What was done to a command, and what went wrong. `runs` and `undecided` are of claims under load."""

    name: str
    kills: int = 0
    full_disks: int = 0
    runs: str = ""
    undecided: str = ""
    seconds: float = 0.0
    problems: list[str] = field(default_factory=list)

    def show(self) -> None:
        """Print the row, and each problem on a line below."""
        counts = f"{self.kills or '':>6} {self.full_disks or '':>11} {self.runs:>5} {self.undecided:>11}"
        print(f"{self.name:<18} {counts} {self.seconds:>8.0f} {len(self.problems):>9}")
        for problem in self.problems:
            print(f"    {problem}")
        sys.stdout.flush()


def torment(command: Command, most: int) -> Row:
    """Kill a command at up to `most` moments, spread over its changes of files, and fill its disk at as many."""
    row, started = Row(command.name), time.monotonic()
    with _folder(command) as folder:
        whole = faults.run(command, folder)
        failed = [whole.error.strip()[-200:]] if whole.status else []
        row.problems += [f"undisturbed: {text}" for text in [*failed, *_damage(command, folder)]]
    for moment in _spread(whole.changes, most):
        row.kills += 1
        row.problems += [f"kill {moment}: {problem}" for problem in _after_kill(command, moment)]
    for moment in _spread(whole.made, most):
        row.full_disks += 1
        row.problems += [f"full disk {moment}: {text}" for text in _after_full_disk(command, fail_at=moment)]
    for size in SIZES:
        row.full_disks += 1
        row.problems += [f"full at {size} bytes: {text}" for text in _after_full_disk(command, most_bytes=size)]
    row.seconds = time.monotonic() - started
    return row


def under(load: Load) -> Row:
    """Run claims under a load."""
    strained = strain(load)
    undecided = f"{strained.undecided} of {strained.times}"
    return Row(
        load.name,
        runs=str(load.runs),
        undecided=undecided,
        seconds=strained.seconds,
        problems=strained.problems,
    )


def _spread(count: int, most: int) -> list[int]:
    number = min(most, count)
    return [1 + round(place * (count - 1) / max(number - 1, 1)) for place in range(number)]


def _after_kill(command: Command, moment: int) -> Iterator[str]:
    with _folder(command) as folder:
        outcome = faults.run(command, folder, kill_at=moment)
        if not outcome.killed:
            return
        yield from _damage(command, folder)
        again = faults.run(command, folder)
        if again.status:
            yield f"the next run fails: {again.error.strip()[-200:]}"
        yield from _damage(command, folder)
        yield from _leftovers(folder)


def _after_full_disk(command: Command, *, fail_at: int = 0, most_bytes: int = 0) -> Iterator[str]:
    with _folder(command) as folder:
        outcome = faults.run(command, folder, fail_at=fail_at, most_bytes=most_bytes)
        yield from _damage(command, folder)
        yield from _leftovers(folder)
        if outcome.status and (problem := _no_line(outcome)):
            yield problem


def _no_line(outcome: Outcome) -> str | None:
    """Return what is wrong with the message of a failed command, None if it is one line for users."""
    lines = [line for line in outcome.error.splitlines() if line.strip() and not LOGGED.match(line)]
    wrong = len(lines) != 1 or not lines[0].startswith("edgeai-repro: ")
    return f"the message is {lines[-3:]}" if lines and wrong else None


def _damage(command: Command, folder: Path) -> Iterator[str]:
    try:
        command.check(folder)
    except Exception as error:  # whatever a damaged file makes a reader raise
        yield f"damaged: {error!r}"[:200]


def _leftovers(folder: Path) -> Iterator[str]:
    left = [str(path.relative_to(folder)) for path in folder.rglob(".*") if path.name != ".benchmarks"]
    if left:
        yield f"left over: {', '.join(sorted(left)[:3])}"


class _folder:  # noqa: N801 - used as a function
    """A new folder, prepared for a command, and removed afterwards."""

    def __init__(self, command: Command) -> None:
        self._command = command

    def __enter__(self) -> Path:
        self._path = Path(tempfile.mkdtemp(prefix="chaos-"))
        self._command.prepare(self._path)
        return self._path

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self._path, ignore_errors=True)


def main() -> None:
    """Print a table of all commands."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--most", type=int, default=40, help="moments per command and fault")
    parser.add_argument("--only", default="", help="only rows whose names contain this text")
    options = parser.parse_args()
    for module in PRELOADED:
        import_module(module)  # once, not in each of the processes
    print(COLUMNS)
    failed = False
    works: list[tuple[str, Callable[[], Row]]] = [
        *((command.name, partial(torment, command, options.most)) for command in COMMANDS),
        *((load.name, partial(under, load)) for load in LOADS),
    ]
    for name, work in works:
        if options.only in name:
            row = work()
            row.show()
            failed = failed or bool(row.problems)
    raise SystemExit(failed)


if __name__ == "__main__":
    main()
