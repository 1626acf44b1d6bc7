"""Ctrl-C ends a run of claims even while a library computes, and what was judged so far is written."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edgeai_repro.report import document
from tests.support.factories import paper_yaml
from tests.support.repository import CONFTEST, PLUGINS, TEST, planted

COMPUTE = """        if reported == "computing":
            import numpy as np
            from pathlib import Path
            big = np.ones((6000, 6000), np.float32)
            Path("computing").touch()
            for _ in range(600):
                big @ big
"""
START_SECONDS = 120  # the longest that a busy machine takes to import what the run needs


def test_run_that_computes_ends_with_its_results_so_far(tmp_path: Path) -> None:
    """Python raises nothing while a product of matrices is computed, which would take minutes."""
    before = '        if reported == "broken":\n'
    (tmp_path / "conftest.py").write_text(CONFTEST.replace(before, COMPUTE + before), encoding="utf-8")
    (tmp_path / "test_paper.py").write_text(TEST, encoding="utf-8")
    (tmp_path / "claims").mkdir()
    claims = [planted(10, id="first"), planted("computing", id="second"), planted(10, id="third")]
    (tmp_path / "claims" / "paper.yaml").write_text(paper_yaml(*claims), encoding="utf-8")
    arguments = ["--claims-dir=claims", "--claims-json=v.json", "--claims-report=report", *PLUGINS]

    with subprocess.Popen(
        [sys.executable, "-m", "pytest", "-q", *arguments], cwd=tmp_path, stdout=subprocess.PIPE, text=True
    ) as process:
        _wait_for(tmp_path / "computing", process)
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate()

    assert process.returncode == pytest.ExitCode.INTERRUPTED
    assert output.splitlines()[-1] == "edgeai-repro: interrupted"
    run = document.read(tmp_path / "v.json")
    assert (run.partial, [entry.id for entry in run.papers[0].claims]) == (True, ["first"])
    assert (tmp_path / "report" / "report.md").read_text("utf-8").startswith("**Partial: ")


def _wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    for _ in range(START_SECONDS * 20):
        if path.exists() or process.poll() is not None:
            return
        time.sleep(0.05)
