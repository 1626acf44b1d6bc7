"""Annotations of GitHub Actions stand on the claim's line, and no text of a claim can start another command."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from edgeai_repro.claims.lines import claim_lines
from edgeai_repro.judge.verdict import error_verdict
from edgeai_repro.report.document import ClaimEntry, Document, PaperEntry, claim_entry
from edgeai_repro.report.github import commands, escape_message, escape_property
from tests.support.factories import claim, judged, row
from tests.support.reports import HERE

FILE = """\
schema_version: 2
paper: {id: paper, title: A Paper}
shared: &shared
  quote: it is
claims:
  # a comment
  - id: first
    quote: "two
      lines"

  - <<: *shared
    metric: size
    id: second
  - id: third
"""
COMMAND = re.compile(r"::(?P<level>\w+) (?P<properties>[^:]*)::(?P<message>.*)")  # as the runner reads a line


def decoded(line: str) -> dict[str, str]:
    """Return what GitHub's runner reads from a line, by its own rules."""
    found = COMMAND.fullmatch(line)
    assert found is not None, line
    properties = dict(entry.split("=", 1) for entry in found["properties"].split(","))
    values = {"level": found["level"], **properties, "message": found["message"]}
    for code, character in (("%0D", "\r"), ("%0A", "\n"), ("%3A", ":"), ("%2C", ","), ("%25", "%")):
        values = {name: value.replace(code, character) for name, value in values.items()}
    return values


def expecting(verdict: str, *values: float, **fields: Any) -> ClaimEntry:
    """Return the entry of a claim that is expected to have a verdict, with measured values."""
    expect = {"verdict": verdict, "reason": fields.pop("reason", "the test says so")}
    return claim_entry(judged(claim(expect=expect, **fields), [row(*values)]))


def annotated(*claims: ClaimEntry, file: Path, root: Path) -> list[str]:
    """Return the annotations of a run that judged these claims."""
    paper = PaperEntry(id="paper", title="A Paper", claims=list(claims), implications=[])
    return commands(Document(environment=HERE, papers=[paper]), {"paper": file}, root)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A claims file in the folder `claims` of a checkout."""
    path = tmp_path / "claims" / "paper.yaml"
    path.parent.mkdir()
    path.write_text(FILE, "utf-8")
    return path


def test_lines_are_those_of_the_file(file: Path) -> None:
    """Comments, texts of several lines and merge keys do not shift them."""
    lines = file.read_text("utf-8").splitlines()
    expected = {
        name: next(n for n, line in enumerate(lines, 1) if line.lstrip().startswith(start))
        for name, start in (("first", "- id: first"), ("second", "- <<"), ("third", "- id: third"))
    }

    assert claim_lines(file) == expected
    assert expected == {"first": 7, "second": 11, "third": 14}


def test_real_claims_are_found_on_their_lines() -> None:
    """In each file of this repository."""
    folder = Path(__file__).parents[2] / "claims"
    for path in folder.glob("*.yaml"):
        lines = path.read_text("utf-8").splitlines()
        for name, line in claim_lines(path).items():
            start = " ".join(lines[line - 1 : line + 1])  # an anchor may stand before the id
            assert re.match(rf" *- .*\bid: {re.escape(name)}\b", start), (path, name)


def test_level_and_place_of_each_verdict(file: Path) -> None:
    """Drift and errors come first, because GitHub shows only ten of each level; what holds has none."""
    shown = annotated(
        expecting("artefact", 10, 0, id="first"),
        expecting("reproduced", 10, id="second"),
        expecting("reproduced", 20, id="third"),
        expecting("contradicted", 20, id="second"),
        claim_entry(error_verdict(claim(id="first"), "it broke")),
        expecting("contradicted", 10, id="third"),
        file=file,
        root=file.parents[1],
    )

    found = [decoded(line) for line in shown]
    assert [(one["level"], one["line"], one["title"]) for one in found] == [
        ("error", "14", "paper/third: contradicted (expected reproduced)"),
        ("error", "7", "paper/first: error"),
        ("error", "14", "paper/third: reproduced (expected contradicted)"),
        ("warning", "7", "paper/first: artefact"),
        ("warning", "11", "paper/second: contradicted"),
    ]
    assert {one["file"] for one in found} == {"claims/paper.yaml"}
    assert "the test says so" in found[3]["message"]


@pytest.mark.parametrize(
    "reason",
    [
        "100 % of\n::error::x",
        "a\r\n::add-mask::b",
        "\x1b[2J::stop-commands::x\u2028::debug::y",
        "a,b:c%0A::set-env::d",
    ],
)
def test_text_of_a_claim_starts_no_command(file: Path, reason: str) -> None:
    """Each annotation is one line, and the runner reads the text back from its message."""
    entry = expecting("artefact", 10, 0, id="first", reason=reason)
    (line,) = annotated(entry, file=file, root=file.parents[1])

    assert line.isprintable(), "no control character, and no end of a line"
    assert line.startswith("::warning file=claims/paper.yaml,line=7,title=")
    words = [word for word in re.split(r"[^\w]+", reason) if word not in ("x1b", "")]
    assert all(word in decoded(line)["message"] for word in words)


def test_path_of_a_file_may_have_any_character(tmp_path: Path) -> None:
    """It can't end its property or add another."""
    path = tmp_path / "a,line=99::b%\nc.yaml"
    path.write_text("claims: [{id: first}]", "utf-8")
    (line,) = annotated(expecting("artefact", 10, 0, id="first"), file=path, root=tmp_path)

    assert decoded(line)["file"] == path.name
    assert decoded(line)["line"] == "1"


def test_file_that_was_removed_is_annotated_on_its_first_line(tmp_path: Path) -> None:
    """The verdicts of the run are not lost."""
    (line,) = annotated(expecting("artefact", 10, 0), file=tmp_path / "gone.yaml", root=tmp_path)

    assert decoded(line)["line"] == "1"


def test_escapes_are_those_of_the_toolkit() -> None:
    """The rules of actions/toolkit, `escapeData` and `escapeProperty`."""
    assert escape_message("50 %\r\n: , %25") == "50 %25%0D%0A: , %2525"
    assert escape_property("50 %\r\n: , %25") == "50 %25%0D%0A%3A %2C %2525"
