"""`make bench`: the seconds of commands that a person waits for, with their bounds."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parents[2]
RUN = "import sys; from edgeai_repro.__main__ import main; sys.argv[0] = 'edgeai-repro'; main()"
TIMES = 3


def main() -> None:
    """Print a table of the commands: the median of the wall seconds, and the bound."""
    with tempfile.TemporaryDirectory() as folder:
        commands: list[tuple[list[str], float]] = [
            (["--help"], 0.3),
            (["claims", "list"], 0.3),
            (["report", str(ROOT / "docs" / "verdicts.json"), "-o", folder], 3.0),
            (["audit", "convnext_tiny"], 15.0),
        ]
        table = Table("command", "seconds", "at most", title=f"command line: medians of {TIMES}")
        for arguments, bound in commands:
            shown = " ".join(word for word in arguments if not word.startswith("/"))
            table.add_row(shown, f"{statistics.median(seconds(arguments) for _ in range(TIMES)):.2f}", f"{bound:g}")
    Console(width=None if sys.stdout.isatty() else 80).print(table)


def seconds(arguments: list[str]) -> float:
    """Return the seconds of one run of the command line. Raises CalledProcessError if it fails."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", RUN, *arguments], cwd=ROOT, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
