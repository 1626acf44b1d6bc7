"""Each command of the README runs as printed, in a copy of a fresh clone; the expensive ones have a reason."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from edgeai_repro.report import document, files

ROOT = Path(__file__).parents[2]
BROWSER = shutil.which("chromium")
MOST_PAGES = 12
COPIED = ("claims", "docs", "evidence", "examples")
# Beginnings of lines that are not run here, and why. Their options are checked by test_doc_samples.py.
NOT_RUN = {
    "make ": "runs everything; CI runs it",
    "source .venv": "the tests run in an environment already",
    "export ": "sets a variable of the shell",
    "pip install": "installs packages; ci/edge-install.sh and the wheel are tested",
    "pytest ": "judges for minutes, or needs a bundle and a device",
    "edgeai-repro data get": "downloads 170 MB",
    "edgeai-repro train": "trains for hours, on data that must be downloaded first",
    "edgeai-repro bundle": "builds and checks networks for minutes",
    "edgeai-repro classify": "needs the bundle of the line before it",
    "edgeai-repro merge": "needs the shards of several machines",
    "edgeai-repro audit": "times networks for a minute; the audit has its own tests",
}


# Sizes and times that no run of the claims measures, and where they come from.
NOT_OF_THE_RUN = {"20 ms": "a paper's", "7 GB": "an installation"}
GENERATED = re.compile(r"<!-- table: [a-z-]+ -->.*?<!-- end -->|```.*?```", re.DOTALL)
SIZE_OR_TIME = re.compile(r"\b\d[\d.,]*\s(?:[GMk]i?B|ms|s|min|seconds|minutes|hours)\b")


def readme_lines() -> list[str]:
    """Return the lines of the README's blocks for a shell, without their comments."""
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    return [line.partition(" #")[0].rstrip() for block in blocks for line in block.splitlines() if line]


def reason(line: str) -> str | None:
    """Return why a line is not run, None if it is."""
    return next((why for beginning, why in NOT_RUN.items() if line.startswith(beginning)), None)


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data of a fresh clone, and the verdicts that a run of all claims has written."""
    folder = tmp_path_factory.mktemp("clone")
    for name in COPIED:
        shutil.copytree(ROOT / name, folder / name)
    shutil.copy(ROOT / "docs" / "verdicts.json", folder / "verdicts.json")
    program = folder / "bin" / "edgeai-repro"
    program.parent.mkdir()
    main = "from edgeai_repro.__main__ import main; main()"
    program.write_text(f"#!/bin/sh\nexec {sys.executable} -c '{main}' \"$@\"\n", encoding="utf-8")
    program.chmod(0o755)
    return folder


@pytest.mark.parametrize("line", [line for line in readme_lines() if reason(line) is None])
def test_command_of_the_readme_runs_as_printed(clone: Path, line: str) -> None:
    """The exit status is 0, and nothing is reported as a mistake."""
    path = f"{clone / 'bin'}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", line],
        cwd=clone,
        env={**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), "COLUMNS": "80", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")


@pytest.fixture(scope="module")
def report(clone: Path) -> Path:
    """The report of all papers. A command of the README writes it; drawing it again would take many seconds."""
    page = clone / "claims-report" / "report.html"
    if not page.exists():
        files.write(document.read(clone / "verdicts.json"), page.parent)
    return page


@pytest.mark.skipif(BROWSER is None, reason="no browser: apt-get install chromium")
def test_report_of_all_papers_prints_on_few_pages(report: Path, tmp_path: Path) -> None:
    """Each claim has its line; what is folded on the screen is left out."""
    assert printed_pages(report, tmp_path / "report.pdf") < MOST_PAGES


@pytest.mark.skipif(BROWSER is None, reason="no browser: apt-get install chromium")
def test_printed_pages_are_counted(tmp_path: Path) -> None:
    """A page with two breaks is printed on three."""
    page = tmp_path / "page.html"
    page.write_text("one<p style='break-before: page'>two<p style='break-before: page'>three", encoding="utf-8")

    assert printed_pages(page, tmp_path / "page.pdf") == 3


def printed_pages(page: Path, pdf: Path) -> int:
    """Return the number of sheets that a browser prints a page on."""
    options = ("--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={pdf.parent / 'profile'}")
    command = [str(BROWSER), *options, "--no-pdf-header-footer", f"--print-to-pdf={pdf}", page.as_uri()]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    return len(re.findall(rb"/Type\s*/Page\b", pdf.read_bytes()))


def hand_written_sizes(page: str) -> set[str]:
    """Return the sizes and times of a page that `docs/build.py` doesn't take from docs/verdicts.json."""
    return {" ".join(found.split()) for found in SIZE_OR_TIME.findall(GENERATED.sub("", page))}


def test_sizes_and_times_come_from_the_run() -> None:
    """What is written by hand would stay when the run changes, so only what no run measures is."""
    assert hand_written_sizes((ROOT / "README.md").read_text(encoding="utf-8")) == NOT_OF_THE_RUN.keys()


def test_size_by_hand_is_noticed() -> None:
    """Next to a block that is generated, across the end of a line."""
    page = "<!-- table: cost -->\n3 GB, 5 min\n<!-- end -->\nIt takes 7.1\nGB and 9 minutes, and has 12 claims."

    assert hand_written_sizes(page) == {"7.1 GB", "9 minutes"}


def test_each_reason_is_that_of_a_line() -> None:
    """A reason that no line has would hide the next line that begins like this."""
    unused = [beginning for beginning in NOT_RUN if not any(line.startswith(beginning) for line in readme_lines())]

    assert unused == []
