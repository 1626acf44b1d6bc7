"""The GitHub Action: its steps run as scripts, outside of this repository."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.support.factories import AT_32, claim_entry, paper_yaml

ROOT = Path(__file__).parents[2]
ACTION = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
COUNTED = claim_entry(
    **{"id": "counted", "metric": "params", "technique": "none", "models": ["resnet20"], "value": 0.27},
    **{"quote": "0.27M parameters", "printed": "0.27M", "conditions": {**AT_32, "classes": [10]}},
    band={"rounding": 0.005, "side": "both", "derivation": "two printed decimals"},
)


def step(name: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a step of the action by its name in a folder."""
    (found,) = [step for step in ACTION["runs"]["steps"] if step.get("name") == name]
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("EDGEAI_", "GITHUB_"))}
    given = {"ACTION": str(ROOT), "PYTHON": sys.executable, "PYTHONPATH": str(ROOT), **variables}
    return subprocess.run(
        ["bash", "-c", found["run"]], cwd=folder, env={**kept, **given}, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another repository with a claims folder, and a test of its own that must not be collected."""
    folder = tmp_path_factory.mktemp("repository")
    (folder / "claims").mkdir()
    (folder / "claims" / "paper.yaml").write_text(paper_yaml(COUNTED), encoding="utf-8")
    (folder / "conftest.py").write_text("raise RuntimeError('not of the action')\n", encoding="utf-8")
    return folder


def test_steps_judge_and_show_a_folder(repository: Path) -> None:
    """The results, the summary of the job and the badge are there."""
    summary = repository / "summary.md"
    judged = step("Judge", repository, CLAIMS="claims", RESULTS="results", QUICK="true")
    shown = step("Show", repository, RESULTS="results", GITHUB_STEP_SUMMARY=str(summary))

    assert judged.returncode == 0, judged.stdout + judged.stderr
    assert shown.returncode == 0, shown.stderr
    assert "| counted | ✓ reproduced |" in summary.read_text(encoding="utf-8")
    assert json.loads((repository / "results" / "badge.json").read_text()) == {
        "schemaVersion": 1,
        "label": "claims",
        "message": "1 of 1 hold",
        "color": "green",
    }
    assert {file.name for file in (repository / "results").iterdir()} >= {
        "verdicts.json",
        "report.html",
        "report.md",
    }


def test_run_that_ended_early_says_so(tmp_path: Path) -> None:
    """The summary is never empty."""
    summary = tmp_path / "summary.md"

    assert step("Show", tmp_path, RESULTS="results", GITHUB_STEP_SUMMARY=str(summary)).returncode == 0
    assert summary.read_text() == "No verdict: the run ended before the first one.\n"


def test_workflow_in_the_readme_is_complete_in_15_lines() -> None:
    """It is that of the examples, and gives only inputs that the action has."""
    text = (ROOT / "examples" / "workflow.yml").read_text(encoding="utf-8")
    workflow = yaml.safe_load(text)

    assert f"```yaml\n{text}```" in (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 15
    assert set(workflow["jobs"]["claims"]["steps"][1]["with"]) <= set(ACTION["inputs"])


@pytest.mark.parametrize("option", ["--bundle=claims", "--edge-threads=2", "--claims-require=edge"])
def test_options_that_exclude_each_other_are_refused(repository: Path, option: str) -> None:
    """The error is one line that names both."""
    done = step("Judge", repository, CLAIMS="claims", RESULTS="results", QUICK="true", ARGUMENTS=option)

    name = option.partition("=")[0]
    assert done.returncode == 4
    assert f"ERROR: --claims-quick must be given without {name}: it only counts; leave one" in done.stderr
