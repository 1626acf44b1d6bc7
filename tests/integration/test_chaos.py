"""A sample of `make chaos`: a command is killed, and its disk is full, at its first and last change of a file."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="all commands are imported before they are killed")

ROOT = Path(__file__).parents[2]


def test_killed_command_damages_nothing_and_the_next_one_ends_well() -> None:
    """The table shows no problem; each fault happens in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "tests.chaos.run", "--only=evidence attest", "--most=2"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    columns, row = done.stdout.splitlines()
    assert columns.split() == ["what", "kills", "full", "disks", "runs", "no", "verdict", "seconds", "problems"]
    name, attest, kills, full_disks, _, problems = row.split()
    assert (name, attest, kills, full_disks, problems) == ("evidence", "attest", "2", "4", "0")
