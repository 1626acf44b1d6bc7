"""The layout of the package and of its tests: a module is short enough to be read in one go."""

from __future__ import annotations

from pathlib import Path

import edgeai_repro

PACKAGE = Path(edgeai_repro.__file__).parent
TESTS = Path(__file__).parents[1]
MOST_LINES = 250


def long_modules(folder: Path) -> list[str]:
    """Return the modules below a folder that have too many lines, each with its number of lines."""
    lines = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in sorted(folder.rglob("*.py"))}
    return [f"{path.relative_to(folder)}: {count}" for path, count in lines.items() if count > MOST_LINES]


def test_no_module_has_more_than_250_lines() -> None:
    """A longer one has two purposes, or a part that can be simpler."""
    assert long_modules(PACKAGE) == []


def test_no_file_of_tests_has_more_than_250_lines() -> None:
    """A longer one tests two things, or has helpers that belong into `tests/support/`."""
    assert long_modules(TESTS) == []


def test_module_of_251_lines_is_named(tmp_path: Path) -> None:
    """Modules of subpackages count, too; one of 250 lines is not too long."""
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "long.py").write_text("pass\n" * 251, encoding="utf-8")
    (tmp_path / "fits.py").write_text("pass\n" * 250, encoding="utf-8")

    assert long_modules(tmp_path) == ["inner/long.py: 251"]
