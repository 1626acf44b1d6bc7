"""Imports the conftest.py next to claims, which registers the metrics and techniques of a user."""

from __future__ import annotations

from collections.abc import Set
from pathlib import Path

from edgeai_repro.files import is_file
from edgeai_repro.networks.user_code import import_file

CONFTEST = "conftest.py"


def register_conftests(file: Path, unknown: Set[str]) -> None:
    """Import the conftest.py next to a claims file, or next to its folder, if the file names unknown metrics.

    pytest imports the same files by itself. Raises UserError if a conftest.py can't be imported.
    """
    if unknown:
        for folder in (file.absolute().parent, file.absolute().parent.parent):
            if is_file(folder / CONFTEST):
                import_file(folder / CONFTEST)
