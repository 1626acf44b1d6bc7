"""What moved between two runs: verdicts, rows, flip margins, the stack, and nothing that didn't."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgeai_repro.judge.verdict import judge
from edgeai_repro.report import document, terminal
from edgeai_repro.report.diff import Change, compare
from edgeai_repro.report.document import Document
from tests.support import reports
from tests.support.factories import claim, paper_entry, row
from tests.unit.test_cli import Command

NAME = "paper/a-claim"


def run(value: float, actual: float | None = None, *, torch: str = "2.15.0", seconds: float = 0.0) -> Document:
    """Return a run of one claim of 10 ± 1 that was measured as given."""
    from edgeai_repro.claims.schema import Paper

    rows = [row(value, actual, settings={"target": 0.8}, seconds=seconds), row(3.0, model="convnext_small")]
    verdict = judge(claim(), rows)
    entry = document.paper_entry(Paper.model_validate(paper_entry()), [verdict], [])
    environment = reports.HERE.model_copy(update={"versions": {"torch": torch}})
    return Document(environment=environment, papers=[entry], seconds={"build": seconds})


def test_same() -> None:
    """A run and another that differs in nothing but its seconds: nothing moved."""
    found = compare(run(10.0, seconds=1.0), run(10.0, seconds=2.0))

    assert [found.environment, found.verdicts, found.rows, found.flip_margins] == [[], [], [], []]


def test_moved() -> None:
    """A value that left the band: the verdict, the row with its change, the margin, and the torch that did it."""
    found = compare(run(10.0), run(12.5, torch="2.16.0"))

    assert found.verdicts == [Change(claim=NAME, what="verdict", before="reproduced", after="contradicted")]
    assert found.rows == [
        Change(claim=NAME, what="reported convnext_tiny", before="10 %", after="12.5 %", change=2.5)
    ]
    assert found.environment == [Change(claim="", what="torch", before="2.15.0", after="2.16.0")]
    (margin,) = found.flip_margins
    assert (margin.before, margin.change) == ("reported value by 1 points", None)
    assert margin.after == "a band wider by 1.5 points"


def test_margin_of_a_kind() -> None:
    """A margin that stayed of its kind says by how much it moved."""
    (margin,) = compare(run(10.0), run(10.5)).flip_margins

    assert margin.change == pytest.approx(-0.5)


def test_actual_alone() -> None:
    """A actual value that moves, or that one run has and the other doesn't, is a row that moved."""
    assert [move.what for move in compare(run(10.0, 9.0), run(10.0, 9.5)).rows] == ["actual convnext_tiny"]
    assert compare(run(10.0, 9.5), run(10.0)).rows == [
        Change(claim=NAME, what="actual convnext_tiny", before="9.5 %", after="–")
    ]


def test_one_run_alone() -> None:
    """A claim that one run hasn't judged moved from its verdict to a dash."""
    before, after = run(10.0), run(10.0).model_copy(update={"papers": []})

    assert compare(before, after).verdicts == [Change(claim=NAME, what="verdict", before="reproduced", after="–")]
    assert not compare(before, after).rows


def test_swept_rows_keep_apart() -> None:
    """Rows of one model under several settings are told by those; a full run against itself moved nowhere."""
    whole = reports.run()
    swept = next(entry for entry in whole.papers[0].claims if entry.id == "swept-claim")
    shifted = swept.rows[1].model_copy(update={"reported": row(10.25).reported})
    moved = swept.model_copy(update={"rows": [swept.rows[0], shifted, *swept.rows[2:]]})
    claims = [moved if entry is swept else entry for entry in whole.papers[0].claims]
    after = whole.model_copy(update={"papers": [whole.papers[0].model_copy(update={"claims": claims})]})

    assert compare(whole, whole).rows == []
    assert [(move.claim, move.what) for move in compare(whole, after).rows] == [
        ("paper/swept-claim", "reported convnext_tiny, target 0.7")
    ]


def test_terminal() -> None:
    """The terminal shows a table for what moved, and says of the rest that none did."""
    text = terminal.render_diff(compare(run(10.0), run(10.5)), colour=False)

    assert "verdicts: none moved" in text
    assert "rows: 1 moved" in text
    assert "+0.5" in text
    assert "\x1b" not in text


def test_command(tmp_path: Path, command: Command) -> None:
    """Exit status 1 where a verdict moved, 0 where not; --json prints the same as data."""
    files = []
    for name, value in {"a": 10.0, "b": 10.5, "c": 20.0}.items():
        files.append(str(tmp_path / f"{name}.json"))
        document.write(run(value), Path(files[-1]))

    assert command("diff", files[0], files[1])[0] == 0
    status, out, _ = command("diff", files[0], files[2], "--json")
    assert status == 1
    assert json.loads(out)["verdicts"][0]["after"] == "contradicted"


@pytest.mark.parametrize("text", ["{", "[]", '{"papers": 1}'])
def test_foreign(tmp_path: Path, command: Command, text: str) -> None:
    """A broken or foreign file is one line and status 2."""
    good, bad = tmp_path / "good.json", tmp_path / "bad.json"
    document.write(run(10.0), good)
    bad.write_text(text, encoding="utf-8")

    status, out, err = command("diff", str(good), str(bad))

    assert (status, out, err.count("\n")) == (2, "", 1)
    assert str(bad) in err
