"""Each import rule of pyproject.toml notices a planted import."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LAYERS, CIRCLES, TORCH = "Imports go down only", "No circle of imports", "without torch"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the package and of its rules, which a test may change."""
    shutil.copytree(ROOT / "edgeai_repro", tmp_path / "edgeai_repro", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def _results(checkout: Path) -> dict[str, str]:
    """Return KEPT or BROKEN for each rule, by its name."""
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache", "--no-logo"],
        cwd=checkout,
        env={**os.environ, "PYTHONPATH": str(checkout), "COLUMNS": "200"},
        check=False,
        capture_output=True,
        text=True,
    )
    return dict(re.findall(r"^(.+) (KEPT|BROKEN)", done.stdout, re.MULTILINE))


@pytest.mark.parametrize(
    ("module", "planted", "rule"),
    [
        ("compress/quantization.py", "def f() -> None:\n    import edgeai_repro.report.text", LAYERS),
        ("devices/spec.py", "if TYPE_CHECKING:\n    import edgeai_repro.devices.roofline", CIRCLES),
        ("judge/rows.py", "import torch", TORCH),
    ],
)
def test_planted_import_breaks_only_its_rule(checkout: Path, module: str, planted: str, rule: str) -> None:
    """Imports inside functions and for type checkers count, too."""
    path = checkout / "edgeai_repro" / module
    path.write_text(f"{path.read_text(encoding='utf-8')}\n{planted}\n", encoding="utf-8")

    results = _results(checkout)

    assert len(results) == 3
    assert [name for name, result in results.items() if result == "BROKEN"] == [
        name for name in results if rule in name
    ]


def test_rules_are_kept_without_a_planted_import(checkout: Path) -> None:
    """The control."""
    assert set(_results(checkout).values()) == {"KEPT"}
