"""The worked example of a paper, a metric and a technique of one's own, run as its reader would."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgeai_repro.claims.registry import METRICS, TECHNIQUES
from tests.unit.test_cli import Command

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


@pytest.fixture
def registered() -> Iterator[None]:
    """Forget what a test registers."""
    before = [(known, set(known)) for known in (METRICS, TECHNIQUES)]
    yield
    for known, names in before:
        for name in set(known) - names:
            del known[name]


@pytest.mark.usefixtures("registered")
def test_example_without_pytest(monkeypatch: pytest.MonkeyPatch, command: Command) -> None:
    """The command line takes metrics and techniques from the conftest.py by the claims, as pytest does."""
    monkeypatch.chdir(EXAMPLE)

    assert command("claims", "check", "claims/my-paper.yaml") == (
        0,
        "claims/my-paper.yaml: 3 claims, all right\n",
        "",
    )
    status, out, _ = command("claims", "list")
    assert (status, "ternary_weights" in out) == (0, True)
    assert command("claims", "show", "ternary-zeros")[0] == 0


@pytest.mark.usefixtures("registered")
def test_example_without_its_conftest(tmp_path: Path, command: Command) -> None:
    """Without the conftest.py, or with one that has something else, the line says where one's own is looked for."""
    folder = Path(shutil.copytree(EXAMPLE / "claims", tmp_path / "mine" / "claims"))
    file = folder / "my-paper.yaml"
    complaint = f"edgeai-repro: {file}: claims[ternary-zeros]: metric must be known (got 'zero_weights'; known are "
    ending = ", or registered in a conftest.py beside the claims folder"

    for text in (None, "", "import nothing_of_that_name"):
        if text is not None:
            (folder.parent / "conftest.py").write_text(text, encoding="utf-8")
        status, out, err = command("claims", "check", str(file))

        assert (status, out, err.count("\n")) == (2, "", 1 if text else 3)
        if text:
            assert "conftest.py' must be importable (got ModuleNotFoundError: No module named" in err
        else:
            assert err.startswith(complaint)
            assert ending in err


@pytest.mark.usefixtures("registered")
def test_other_mistakes_import_nothing(tmp_path: Path, command: Command) -> None:
    """A conftest.py is imported only where a claim names what isn't known: not for another mistake."""
    folder = Path(shutil.copytree(EXAMPLE.parents[1] / "claims", tmp_path / "claims"))
    (tmp_path / "conftest.py").write_text("raise RuntimeError('imported')", encoding="utf-8")
    file = folder / "francy2024.yaml"
    file.write_text(file.read_text(encoding="utf-8").replace("quantifier: up_to", "quantifier: upto"), "utf-8")

    assert "(got 'upto'); did you mean 'up_to'" in command("claims", "list", "--claims-dir", str(folder))[2]
