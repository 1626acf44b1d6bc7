"""Imports a user's own Python files: a module with a model, or the conftest.py next to claims."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Set
from pathlib import Path
from types import ModuleType

from edgeai_repro.errors import UserError, one_line

CONFTEST = "conftest.py"


def import_file(path: Path) -> ModuleType:
    """Return a Python file as a module. Raises UserError if it is missing or can't be imported."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if not path.is_file() or spec is None or spec.loader is None:
        raise UserError(f"{path}: must be a Python file (no such file); check the path")
    module = importlib.util.module_from_spec(spec)
    folder = str(path.absolute().parent)
    sys.path.insert(0, folder)  # so that it can import its neighbours, as when it is run
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # whatever a stranger's code raises
        raise UserError(f"{path}: must be importable (got {one_line(error)}); fix it") from error
    finally:
        sys.path.remove(folder)
    return module


def register_conftests(file: Path, unknown: Set[str]) -> None:
    """Import the conftest.py next to a claims file, or next to its folder, if the file names unknown metrics.

    pytest imports the same files by itself. Raises UserError if a conftest.py can't be imported.
    """
    if unknown:
        for folder in (file.absolute().parent, file.absolute().parent.parent):
            if (folder / CONFTEST).is_file():
                import_file(folder / CONFTEST)
