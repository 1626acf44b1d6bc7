"""The report's files: `report.html` for a browser and `report.md` for the summary of a CI job."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from edgeai_repro.errors import UserError
from edgeai_repro.extras import how_to_install
from edgeai_repro.files import check_writable, write_text
from edgeai_repro.report import document
from edgeai_repro.report.device_results import with_device_results
from edgeai_repro.report.document import DeviceResult, Document

HTML, MARKDOWN = "report.html", "report.md"


def build(json_path: Path, folder: Path, results: Sequence[DeviceResult] = ()) -> list[Path]:
    """Write the report of a run from the JSON of --claims-json, and return the report's files.

    `results` come from devices, also later than the run. Raises UserError if the JSON is not a run's document or
    the folder can't be written.
    """
    return write(with_device_results(document.read(json_path), results), folder)


def write(run: Document, folder: Path) -> list[Path]:
    """Write the report of a run into a folder, which is made if it is missing, and return the report's files.

    Both files are rendered before either is replaced. Of a partial run only `report.md` is written: its user has
    pressed Ctrl-C, and the figures of the page take seconds. Raises UserError if they can't be written, or if a
    library of the report isn't installed.
    """
    paths = check(folder)
    from edgeai_repro.report import markdown

    if run.partial:
        write_text(folder / MARKDOWN, markdown.render(run))
        return [folder / MARKDOWN]
    from edgeai_repro.report import html  # imports matplotlib, which takes a second

    for path, text in zip(paths, [html.render(run), markdown.render(run)], strict=True):
        write_text(path, text)
    return paths


def check(folder: Path) -> list[Path]:
    """Return the paths of the report's files. Raises UserError if they could not be written."""
    for package in ("jinja2", "matplotlib"):
        if find_spec(package) is None:
            raise UserError(f"{package} is missing, which a report needs; {how_to_install('report')}")
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder}: must be a folder (got a file); choose another path")
    paths = [folder / HTML, folder / MARKDOWN]
    for path in paths:
        check_writable(path)
    return paths
