"""The example of your own paper, metric and technique, run as a reader would run it."""

from __future__ import annotations

import ast
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.commands import Command

EXAMPLE = Path(__file__).parents[2] / "examples" / "own_claims"


def judge(folder: Path, *options: str) -> tuple[int, dict[str, str]]:
    """Run pytest in a folder and return its exit status and the verdicts, by claim."""
    results = folder / "results.json"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--claims-json={results}", *options]
    process = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert results.exists(), process.stdout + process.stderr
    (paper,) = json.loads(results.read_text(encoding="utf-8"))["papers"]
    return process.returncode, {claim["id"]: claim["verdict"] for claim in paper["claims"]}


def test_example_gets_the_expected_verdicts(tmp_path: Path) -> None:
    """Its own technique and metric work together with the provided ones, and the run passes."""
    folder = Path(shutil.copytree(EXAMPLE, tmp_path / "mine"))

    assert judge(folder) == (
        0,
        {"ternary-zeros": "reproduced", "ternary-size": "contradicted", "pruned-zeros": "reproduced"},
    )


def test_wrong_number_in_another_claims_folder_fails_the_run(tmp_path: Path) -> None:
    """--claims-dir names the folder, and the verdict drifts from the expected one."""
    folder = Path(shutil.copytree(EXAMPLE, tmp_path / "mine"))
    (folder / "claims").rename(folder / "others")
    file = folder / "others" / "my-paper.yaml"
    file.write_text(file.read_text(encoding="utf-8").replace("value: 42.0", "value: 45.0"), encoding="utf-8")

    status, verdicts = judge(folder, "--claims-dir=others", "-k", "ternary-zeros")

    assert (status, verdicts) == (1, {"ternary-zeros": "contradicted"})


def test_example_imports_only_from_the_top_of_the_package() -> None:
    """Users depend on `edgeai_repro` itself, so that modules inside it may move."""
    imported = {
        node.module
        for file in EXAMPLE.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("edgeai_repro")
    }

    assert imported == {"edgeai_repro"}


def test_command_line_finds_the_conftest(monkeypatch: pytest.MonkeyPatch, command: Command) -> None:
    """`edgeai-repro claims` takes metrics and techniques from the conftest.py next to the claims folder."""
    monkeypatch.chdir(EXAMPLE)

    checked = command("claims", "check", "claims/my-paper.yaml")
    listed = command("claims", "list")
    shown = command("claims", "show", "ternary-zeros")

    assert (checked[0], checked[2]) == (0, "")
    assert "3 claims" in checked[1]
    assert (listed[0], "ternary_weights" in listed[1]) == (0, True)
    assert (shown[0], "zero_weights" in shown[1]) == (0, True)


@pytest.mark.parametrize("conftest", [None, ""])
def test_unknown_metric_is_refused_with_a_hint(conftest: str | None, tmp_path: Path, command: Command) -> None:
    """The error says that a conftest.py next to the claims folder can register it."""
    folder = Path(shutil.copytree(EXAMPLE / "claims", tmp_path / "mine" / "claims"))
    if conftest is not None:
        (folder.parent / "conftest.py").write_text(conftest, encoding="utf-8")

    status, out, err = command("claims", "check", str(folder / "my-paper.yaml"))

    assert (status, out) == (2, "")
    assert err.startswith(f"edgeai-repro: {folder / 'my-paper.yaml'}: ")
    for fact in ("zero_weights", "ternary_weights", "conftest.py next to the claims folder"):
        assert fact in err


def test_broken_conftest_is_named(tmp_path: Path, command: Command) -> None:
    """The error names the conftest.py, not the claims file."""
    folder = Path(shutil.copytree(EXAMPLE / "claims", tmp_path / "mine" / "claims"))
    (folder.parent / "conftest.py").write_text("import nothing_of_that_name", encoding="utf-8")

    status, out, err = command("claims", "check", str(folder / "my-paper.yaml"))

    assert (status, out, err.count("\n")) == (2, "", 1)
    assert str(folder.parent / "conftest.py") in err
    assert "ModuleNotFoundError: No module named 'nothing_of_that_name'" in err


def test_conftest_is_not_imported_if_all_names_are_known(tmp_path: Path, command: Command) -> None:
    """Another mistake in the file imports nothing."""
    folder = Path(shutil.copytree(EXAMPLE.parents[1] / "claims", tmp_path / "claims"))
    (tmp_path / "conftest.py").write_text("raise RuntimeError('the conftest ran')", encoding="utf-8")
    file = folder / "francy2024.yaml"
    file.write_text(file.read_text(encoding="utf-8").replace("quantifier: up_to", "quantifier: upto"), "utf-8")

    err = command("claims", "list", "--claims-dir", str(folder))[2]

    assert "'upto'" in err
    assert "the conftest ran" not in err
