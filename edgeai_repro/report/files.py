"""The report's files: `report.html` to look at, `report.md` for a job's summary."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from edgeai_repro.errors import UserError
from edgeai_repro.files import check_writable, write_text
from edgeai_repro.report import document
from edgeai_repro.report.document import DeviceResult, Document

HTML, MARKDOWN = "report.html", "report.md"


def build(json_path: Path, folder: Path, measured: Sequence[DeviceResult] = ()) -> list[Path]:
    """Write the report of a run from the file that --claims-json wrote, and return its files.

    `measured` is what devices contributed, also since that run. Raises UserError, in one line, where the file is no
    such document or the folder can't be written.
    """
    return write(document.with_measured(document.read(json_path), measured), folder)


def write(found: Document, folder: Path) -> list[Path]:
    """Write the report of a run into a folder, made where it is missing, and return its files.

    Both are rendered before either is replaced. Raises UserError where they can't be written, or where what
    renders them isn't installed.
    """
    paths = check(folder)
    from edgeai_repro.report import html, markdown

    for path, text in zip(paths, [html.render(found), markdown.render(found)], strict=True):
        write_text(path, text)
    return paths


def check(folder: Path) -> list[Path]:
    """Return the files of a report in a folder. Raises UserError where it couldn't be made or written there."""
    for package in ("jinja2", "matplotlib"):
        if find_spec(package) is None:
            raise UserError(
                f"{package!r} must be installed to write a report (got none); pip install 'edgeai-repro[report]'"
            )
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder}: must be a folder (got a file); name another")
    paths = [folder / HTML, folder / MARKDOWN]
    for path in paths:
        check_writable(path)
    return paths
