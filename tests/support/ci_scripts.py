"""Runs the scripts of the folder `ci/`."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]


def script(name: str, *arguments: object, given: str = "", **variables: object) -> subprocess.CompletedProcess[str]:
    """Run a script of `ci/` with these arguments, standard input and environment variables."""
    dropped = ("EDGEAI_", "GITHUB_", "WEIGHTS", "MAKE", "MFLAGS")  # make, too, may run these tests
    bare = {key: value for key, value in os.environ.items() if not key.startswith(dropped)}
    return subprocess.run(
        [ROOT / "ci" / name, *map(str, arguments)],
        env={**bare, **{key: str(value) for key, value in variables.items()}},
        input=given,
        check=False,
        capture_output=True,
        text=True,
    )
