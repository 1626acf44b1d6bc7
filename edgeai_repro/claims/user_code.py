"""A user's own Python files, imported from where they lie: one that makes a model, or the conftest.py by claims."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from edgeai_repro.claims.registry import METRICS, TECHNIQUES, UNCOMPRESSED
from edgeai_repro.errors import UserError, one_line
from edgeai_repro.files import read_yaml

CONFTEST = "conftest.py"


def import_file(path: Path) -> ModuleType:
    """Return a Python file as a module. Raises UserError where there is none, or it can't be imported."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if not path.is_file() or spec is None or spec.loader is None:
        raise UserError(f"'{path}' must be a Python file (got no such file); check the path")
    module = importlib.util.module_from_spec(spec)
    folder = str(path.absolute().parent)
    sys.path.insert(0, folder)  # what stands beside it can be imported, as when it is run
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # whatever a stranger's code raises
        raise UserError(f"'{path}' must be importable (got {one_line(error)}); mend it") from error
    finally:
        sys.path.remove(folder)
    return module


def register_conftests(files: Iterable[Path]) -> bool:
    """Import the conftest.py by each claims file that names a metric or technique which isn't known yet.

    It lies beside the file, or beside its folder, where pytest would have taken it from. Tells whether there was
    one. Raises UserError where a file can't be read, or a conftest.py not be imported.
    """
    found = False
    for file in files:
        for folder in (file.absolute().parent, file.absolute().parent.parent):
            if _unknown(read_yaml(file)) and (folder / CONFTEST).is_file():
                import_file(folder / CONFTEST)
                found = True
    return found


def _unknown(document: Any) -> set[str]:
    known = {*METRICS, *TECHNIQUES, UNCOMPRESSED}
    return {name for name in _named(document) if isinstance(name, str)} - known


def _named(document: Any) -> Iterator[object]:
    """Yield the metrics and techniques of a claims file, which may be wrong in any way."""
    claims = document.get("claims") if isinstance(document, dict) else None
    for claim in claims if isinstance(claims, list) else []:
        if isinstance(claim, dict):
            yield from (claim.get("metric"), claim.get("technique"))
