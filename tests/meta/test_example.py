"""The worked example of a paper, a metric and a technique of one's own, run as its reader would."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

EXAMPLE = Path(__file__).parents[2] / "examples" / "own_claims"


def judged(folder: Path, *options: str) -> tuple[int, dict[str, str]]:
    """Run pytest in a folder and return its status and the verdicts, by claim."""
    found = folder / "found.json"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--claims-json", str(found)]
    done = subprocess.run([*command, *options], cwd=folder, capture_output=True, text=True, check=False)
    assert found.exists(), done.stdout + done.stderr
    (paper,) = json.loads(found.read_text(encoding="utf-8"))["papers"]
    return done.returncode, {claim["id"]: claim["verdict"] for claim in paper["claims"]}


def test_example(tmp_path: Path) -> None:
    """Own technique, own metric, and ours with them: each claim gets its verdict, and the run passes."""
    folder = Path(shutil.copytree(EXAMPLE, tmp_path / "mine"))

    assert judged(folder) == (
        0,
        {"ternary-zeros": "reproduced", "ternary-size": "contradicted", "pruned-zeros": "reproduced"},
    )


def test_example_elsewhere(tmp_path: Path) -> None:
    """A claims file of another folder is judged with --claims-dir; a wrong number in it fails the run."""
    folder = Path(shutil.copytree(EXAMPLE, tmp_path / "mine"))
    (folder / "claims").rename(folder / "others")
    mine = folder / "others" / "my-paper.yaml"
    mine.write_text(mine.read_text(encoding="utf-8").replace("value: 42.0", "value: 45.0"), encoding="utf-8")

    status, verdicts = judged(folder, "--claims-dir", "others", "-k", "ternary-zeros")

    assert (status, verdicts) == (1, {"ternary-zeros": "contradicted"})
