"""Runs commands on a pseudo-terminal, so that they show what a user at a terminal sees."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import termios
from pathlib import Path

ROOT = Path(__file__).parents[2]
COMMAND_LINE = "import sys; sys.argv[0] = 'edgeai-repro'; from edgeai_repro.__main__ import main; main()"


def run_on_terminal(*arguments: str, columns: int = 200, folder: Path | None = None, **variables: str) -> str:
    """Run Python with these arguments in `folder`, on a terminal of 40 lines, and return its output."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (40, columns))
    environment = {"PYTHONPATH": str(ROOT), "TERM": "xterm", **variables}
    inherited = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    output = b""
    with subprocess.Popen(
        [sys.executable, *arguments], stdout=theirs, stderr=theirs, cwd=folder, env={**inherited, **environment}
    ):
        os.close(theirs)
        while True:
            try:
                chunk = os.read(ours, 4096)
            except OSError:  # on Linux: the other end is closed
                break
            if not chunk:
                break
            output += chunk
    os.close(ours)
    return output.decode()


def on_terminal(*arguments: str, **variables: str) -> str:
    """Run the command line on a pseudo-terminal and return its output."""
    return run_on_terminal("-c", COMMAND_LINE, *arguments, **variables)
