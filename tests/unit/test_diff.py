"""Differences between two runs: verdicts, rows, flip margins and the environment."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgeai_repro.claims.schema import Paper
from edgeai_repro.report import document, terminal
from edgeai_repro.report.diff import Change, compare
from edgeai_repro.report.document import Document
from tests.support import reports
from tests.support.commands import Command
from tests.support.factories import claim, judged, paper_entry, row

NAME = "paper/a-claim"


def run(value: float, actual: float | None = None, *, torch: str = "2.15.0", seconds: float = 0.0) -> Document:
    """Return a run of one claim of 10 ± 1 with a measured value."""
    rows = [row(value, actual, settings={"target": 0.8}, seconds=seconds), row(3.0, model="convnext_small")]
    claims = [document.claim_entry(judged(claim(), rows))]
    entry = document.paper_entry(Paper.model_validate(paper_entry()), claims, [])
    environment = reports.HERE.model_copy(update={"versions": {"torch": torch}})
    return Document(environment=environment, papers=[entry], seconds={"build": seconds})


def test_equal_runs_have_no_differences() -> None:
    """Runs that differ only in their durations have no differences."""
    difference = compare(run(10.0, seconds=1.0), run(10.0, seconds=2.0))

    assert [difference.environment, difference.verdicts, difference.rows, difference.flip_margins] == [
        [],
        [],
        [],
        [],
    ]


def test_value_that_leaves_the_band_changes_verdict_row_and_margin() -> None:
    """The verdict, the row with its numeric change, the margin and the version of torch are listed."""
    difference = compare(run(10.0), run(12.5, torch="2.16.0"))

    assert difference.verdicts == [Change(claim=NAME, field="verdict", before="reproduced", after="contradicted")]
    assert difference.rows == [
        Change(claim=NAME, field="reported convnext_tiny", before="10 %", after="12.5 %", change=2.5)
    ]
    assert difference.environment == [Change(claim="", field="torch", before="2.15.0", after="2.16.0")]
    (margin,) = difference.flip_margins
    assert (margin.before, margin.change) == ("the reported value moves by 1 points", None)
    assert margin.after == "the band widens by 1.5 points"


def test_margins_of_one_kind_have_a_numeric_change() -> None:
    """Two margins of the same kind are compared by their amounts."""
    (margin,) = compare(run(10.0), run(10.5)).flip_margins

    assert margin.change == pytest.approx(-0.5)


def test_actual_value_is_compared_too() -> None:
    """An actual value that differs, or that only one run has, is a change of the row."""
    assert [change.field for change in compare(run(10.0, 9.0), run(10.0, 9.5)).rows] == ["actual convnext_tiny"]
    assert compare(run(10.0, 9.5), run(10.0)).rows == [
        Change(claim=NAME, field="actual convnext_tiny", before="9.5 %", after="–")
    ]


def test_claim_of_one_run_changes_to_a_dash() -> None:
    """A claim that one run didn't judge has a dash there."""
    before, after = run(10.0), run(10.0).model_copy(update={"papers": []})

    assert compare(before, after).verdicts == [Change(claim=NAME, field="verdict", before="reproduced", after="–")]
    assert not compare(before, after).rows


def test_swept_rows_are_named_by_their_settings() -> None:
    """Rows of one model are named by the settings in which they differ."""
    whole = reports.run()
    swept = next(entry for entry in whole.papers[0].claims if entry.id == "swept-claim")
    shifted = swept.rows[1].model_copy(update={"reported": row(10.25).reported})
    moved = swept.model_copy(update={"rows": [swept.rows[0], shifted, *swept.rows[2:]]})
    claims = [moved if entry is swept else entry for entry in whole.papers[0].claims]
    after = whole.model_copy(update={"papers": [whole.papers[0].model_copy(update={"claims": claims})]})

    assert compare(whole, whole).rows == []
    assert [(change.claim, change.field) for change in compare(whole, after).rows] == [
        ("paper/swept-claim", "reported convnext_tiny, target 0.7")
    ]


def test_terminal_shows_tables_of_changes() -> None:
    """There is a table for each kind with changes, and a line for each kind without."""
    text = terminal.render_diff(compare(run(10.0), run(10.5)), colour=False)

    assert "verdicts: none changed" in text
    assert "rows: 1 changed" in text
    assert "+0.5" in text
    assert "\x1b" not in text


def test_exit_status_is_1_if_a_verdict_changed(tmp_path: Path, command: Command) -> None:
    """The exit status is 1 if a verdict changed, else 0; --json prints the differences as JSON."""
    files = []
    for name, value in {"a": 10.0, "b": 10.5, "c": 20.0}.items():
        files.append(str(tmp_path / f"{name}.json"))
        document.write(run(value), Path(files[-1]))

    assert command("diff", files[0], files[1])[0] == 0
    status, out, _ = command("diff", files[0], files[2], "--json")
    assert status == 1
    assert json.loads(out)["verdicts"][0]["after"] == "contradicted"


@pytest.mark.parametrize("text", ["{", "[]", '{"papers": 1}'])
def test_other_json_is_refused(tmp_path: Path, command: Command, text: str) -> None:
    """A file that is not a run's document gives status 2 and an error that names the file."""
    good, bad = tmp_path / "good.json", tmp_path / "bad.json"
    document.write(run(10.0), good)
    bad.write_text(text, encoding="utf-8")

    status, out, err = command("diff", str(good), str(bad))

    assert (status, out) == (2, "")
    assert str(bad) in err
