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
from tests.support.signals import heard

COMPUTE = """        if reported == "computing":
            import numpy as np
            from pathlib import Path
            big = np.ones((6000, 6000), np.float32)
            Path("computing").touch()
            for _ in range(600):
                big @ big
"""
ENDLESS_END = """

import pytest, sys, time
from pathlib import Path

@pytest.hookimpl(trylast=True)
def pytest_sessionfinish():
    Path("figures").write_text(str("matplotlib" in sys.modules))
    time.sleep(600)
"""
PYTEST = (sys.executable, "-m", "pytest")
ARGUMENTS = ("--claims-dir=claims", "--claims-json=v.json", "--claims-report=report", *PLUGINS)
START_SECONDS = 120  # the longest that a busy machine takes to import what the run needs


def test_run_that_computes_ends_with_its_results_so_far(tmp_path: Path) -> None:
    """Python raises nothing while a product of matrices is computed, which would take minutes."""
    before = '        if reported == "broken":\n'
    _write(tmp_path, CONFTEST.replace(before, COMPUTE + before), "computing")

    command = [*PYTEST, "-q", *ARGUMENTS]
    with heard(), subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as process:
        _wait_for(tmp_path / "computing", process)
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate()

    assert process.returncode == pytest.ExitCode.INTERRUPTED
    assert output.splitlines()[-1] == "edgeai-repro: interrupted"
    _check_partial(tmp_path)


def test_interrupted_run_waits_for_no_figures_and_no_plugin(tmp_path: Path) -> None:
    """What was judged is written first, and a plugin that never ends the run is left behind."""
    _write(tmp_path, CONFTEST + ENDLESS_END, "interrupted")

    ended = subprocess.run([*PYTEST, *ARGUMENTS], cwd=tmp_path, capture_output=True, text=True)

    assert (ended.returncode, ended.stderr) == (pytest.ExitCode.INTERRUPTED, "\nedgeai-repro: interrupted\n")
    assert (tmp_path / "figures").read_text("utf-8") == "False"
    _check_partial(tmp_path)


@pytest.mark.parametrize("file", ["conftest.py", "test_paper.py"])
def test_interrupted_import_ends_in_one_line(file: str, tmp_path: Path) -> None:
    """Libraries are imported for seconds before the first claim; Python's traceback would have a hundred lines."""
    _write(tmp_path, CONFTEST, 10)
    (tmp_path / file).write_text("raise KeyboardInterrupt\n", encoding="utf-8")

    ended = subprocess.run([*PYTEST, *ARGUMENTS], cwd=tmp_path, capture_output=True, text=True)

    assert ended.returncode == pytest.ExitCode.INTERRUPTED
    assert "edgeai-repro: interrupted" in ended.stdout + ended.stderr
    assert "Traceback" not in ended.stdout + ended.stderr
    assert "KeyboardInterrupt" not in ended.stdout + ended.stderr


def _write(folder: Path, conftest: str, second: str | float) -> None:
    """Write a folder with three claims, the second of which measures what is given."""
    (folder / "conftest.py").write_text(conftest, encoding="utf-8")
    (folder / "test_paper.py").write_text(TEST, encoding="utf-8")
    (folder / "claims").mkdir()
    claims = [planted(10, id="first"), planted(second, id="second"), planted(10, id="third")]
    (folder / "claims" / "paper.yaml").write_text(paper_yaml(*claims), encoding="utf-8")


def _check_partial(folder: Path) -> None:
    run = document.read(folder / "v.json")
    assert (run.partial, [entry.id for entry in run.papers[0].claims]) == (True, ["first"])
    assert (folder / "report" / "report.md").read_text("utf-8").startswith("**Partial: ")


def _wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    for _ in range(START_SECONDS * 20):
        if path.exists() or process.poll() is not None:
            return
        time.sleep(0.05)
