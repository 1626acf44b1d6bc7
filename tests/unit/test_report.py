"""The document of a run, as a file and as a table on a terminal."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from edgeai_repro.claims.schema import Paper
from edgeai_repro.errors import UserError
from edgeai_repro.evidence.measurement import Environment
from edgeai_repro.judge.verdict import Verdict, judge, not_testable
from edgeai_repro.report import console, document, terminal
from edgeai_repro.report.document import Document, ImplicationEntry
from tests.support.factories import PAPER, claim, claim_entry, paper_entry, row

HERE = Environment(python="3.11", machine="x86_64", cpu="a cpu", cores=2, threads=2, engine="x86", versions={})
TARGETS = {"target": [0.5, 0.7, 0.8]}
CHOICE = {"name": "target", "default": 0.8, "swept_on": ["convnext_tiny"]}


def _document(*verdicts: Verdict, holds: bool | None = None, **paper: Any) -> Document:
    read = Paper.model_validate(paper_entry(paper={**PAPER, **paper}))
    implications = [] if holds is None else [ImplicationEntry(id="an-implication", holds=holds, text="1 + 1 = 2")]
    return Document(environment=HERE, papers=[document.paper_entry(read, verdicts, implications)])


def _render(*verdicts: Verdict, **fields: Any) -> str:
    return terminal.render(_document(*verdicts, **fields), colour=False)


def _one_of_each() -> list[Verdict]:
    """Return a verdict of each kind, all as expected."""

    def expecting(name: str, verdict: str, **fields: Any) -> Any:
        return claim(id=name, expect={"verdict": verdict, "reason": f"why {name}"}, **fields)

    values = (8.0, 10.0, 10.5)
    swept = [row(value, settings={"target": at}) for value, at in zip(values, TARGETS["target"], strict=True)]
    return [
        judge(expecting("reproduced-claim", "reproduced"), [row(10.0, 9.5)]),
        judge(expecting("attainable-claim", "attainable", settings=TARGETS, choice=CHOICE), swept),
        judge(expecting("artefact-claim", "artefact"), [row(10.0, 0.0)]),
        judge(expecting("contradicted-claim", "contradicted"), [row(12.25)]),
        judge(expecting("inconclusive-claim", "reproduced"), [row((8.5, 9.5))]),
        not_testable(expecting("untestable-claim", "reproduced"), "data", "set EDGEAI_DATA to a folder"),
    ]


class TestFile:
    """The file that --claims-json writes."""

    def test_round_trip(self, tmp_path: Path) -> None:
        """What is written is read as it was: verdicts, rows, implications."""
        written = _document(*_one_of_each(), holds=True)

        document.write(written, tmp_path / "out.json")

        assert document.read(tmp_path / "out.json") == written

    def test_fields(self, tmp_path: Path) -> None:
        """The file has the keys that the design fixes."""
        document.write(_document(*_one_of_each(), holds=False), tmp_path / "out.json")

        written = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
        (paper,) = written["papers"]
        entry = paper["claims"][2]
        assert {"schema_version", "environment", "papers"} <= written.keys()
        assert {"id", "title", "claims", "implications"} <= paper.keys()
        assert {
            *("id", "metric", "technique", "source", "paper_value", "band", "verdict", "expected", "reason"),
            *("flip_margin", "assumptions", "rows"),
        } <= entry.keys()
        assert {"low": 9.0, "high": 11.0, "side": "both"}.items() <= entry["band"].items()
        assert paper["implications"] == [{"id": "an-implication", "holds": False, "text": "1 + 1 = 2"}]

    @pytest.mark.parametrize(("side", "low", "high"), [("at_least", 9.0, None), ("at_most", None, 11.0)])
    def test_open_band(self, side: str, low: float | None, high: float | None) -> None:
        """JSON has no infinity: a band's open end is null."""
        asked = claim(band={"rounding": 1.0, "side": side, "derivation": "for the test"})

        band = document.claim_entry(judge(asked, [row(10.0)])).band

        assert (band.low, band.high) == (low, high)

    def test_deciding_row(self) -> None:
        """The entry points at the row that decided, among all that were measured."""
        asked = claim(models=["convnext_tiny", "convnext_small"], quantifier="up_to")
        entry = document.claim_entry(judge(asked, [row(9.0), row(10.0, model="convnext_small")]))

        assert entry.row == 1
        assert [measured.model for measured in entry.rows] == ["convnext_tiny", "convnext_small"]

    def test_drift_is_not_explained(self) -> None:
        """The expectation's reason doesn't explain a verdict that is another one."""
        drifted, expected = judge(claim(), [row(12.0)]), judge(claim(), [row(10.0)])

        assert document.claim_entry(drifted).explanation == ""
        assert document.claim_entry(expected).explanation == "the test says so"

    @pytest.mark.parametrize(
        ("text", "complaint"),
        [
            ("{", "must be valid JSON"),
            ("{}", "environment: is missing"),
            ('{"schema_version": 2, "environment": null, "papers": []}', "schema_version: must be "),
        ],
    )
    def test_refused(self, tmp_path: Path, text: str, complaint: str) -> None:
        """Raises UserError for a file that is no such document, or of another version."""
        (tmp_path / "out.json").write_text(text, encoding="utf-8")

        with pytest.raises(UserError, match=complaint):
            document.read(tmp_path / "out.json")


class TestTable:
    """The table of verdicts."""

    def test_row(self) -> None:
        """A line has the claim, the paper's value, reported and actual, the band, the verdict and the margin."""
        lines = _render(*_one_of_each()).splitlines()

        heading = next(line for line in lines if "verdict" in line)
        assert heading.split() == [
            "claim",
            "paper",
            "reported",
            "actual",
            "band",
            "verdict",
            "what",
            "would",
            "turn",
            "it",
        ]
        line = next(line for line in lines if line.split()[:1] == ["artefact-claim"])
        assert re.split(r"\s{2,}", line.strip()) == [
            *("artefact-claim", "10 %", "10 %", "0 %", "9 … 11", "artefact"),
            "reported value by 1 points",
        ]

    @pytest.mark.parametrize(("side", "shown"), [("at_least", "≥ 9"), ("at_most", "≤ 11")])
    def test_open_band(self, side: str, shown: str) -> None:
        """A one-sided band is shown by its one edge."""
        asked = claim(band={"rounding": 1.0, "side": side, "derivation": "for the test"})

        assert f" {shown} " in _render(judge(asked, [row(10.0)]))

    def test_drift(self) -> None:
        """A drifted verdict names the expected one beside it; one that is skipped doesn't."""
        assert "contradicted (expected reproduced)" in _render(judge(claim(), [row(12.0)]))
        assert "(expected" not in _render(*_one_of_each())

    @pytest.mark.parametrize(
        ("name", "sentence"),
        [
            ("attainable", "holds with target 0.7 … 0.8 (tried 0.5 … 0.8)"),
            (
                "artefact",
                "is what counters report, 0 % is what was removed: why artefact-claim.",
            ),
            (
                "contradicted",
                "12.25 % (convnext_tiny) lies 1.25 points over the band, 9 … 11 %: why contr",
            ),
            (
                "inconclusive",
                "9 % [8.5, 9.5] (convnext_tiny) straddles an edge of the band, 9 … 11 %;",
            ),
            ("untestable", "set EDGEAI_DATA to a folder."),
        ],
    )
    def test_sentences(self, name: str, sentence: str) -> None:
        """Every verdict that isn't plain has one sentence, a skip's with what to supply."""
        text = " ".join(_render(*_one_of_each()).split())

        assert f"{name}-claim " in text
        assert sentence in text

    def test_no_sentence(self) -> None:
        """A claim that is reproduced as expected needs no sentence."""
        assert _render(*_one_of_each()).count("reproduced-claim") == 1

    @pytest.mark.parametrize(("holds", "shown"), [(True, "holds"), (False, "does not hold")])
    def test_implication(self, holds: bool, shown: str) -> None:
        """An implication says whether it holds, and its derivation."""
        assert f"an-implication  {shown}: 1 + 1 = 2" in _render(holds=holds)

    def test_brackets(self) -> None:
        """Brackets and colons in a title are text, not markup."""
        assert "paper: [Re] A paper :smile: [/red]" in _render(title="[Re] A paper :smile: [/red]")


class TestScreen:
    """Where the table is shown."""

    @pytest.mark.parametrize("variable", ["FORCE_COLOR", "NO_COLOR", "COLUMNS"])
    def test_plain(self, monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
        """Piped, the table is plain text in lines of a fixed width, whatever the environment says."""
        monkeypatch.setenv(variable, "40")

        lines = _render(*_one_of_each(), holds=True).splitlines()

        assert not any("\x1b" in line for line in lines)
        assert 100 < max(map(len, lines)) <= console.PIPED_WIDTH

    @pytest.mark.parametrize("term", ["dumb", "xterm-256color"])
    def test_colour(self, monkeypatch: pytest.MonkeyPatch, term: str) -> None:
        """With colours asked for, verdicts are coloured, and drift stands out in bold."""
        monkeypatch.setenv("TERM", term)
        drifted = judge(claim(), [row(12.0)])

        text = terminal.render(_document(*_one_of_each(), drifted), colour=True)

        assert re.search(r"\x1b\[33martefact *\x1b\[0m", text)
        assert re.search(r"\x1b\[1;31mcontradicted \(expected reproduced\) *\x1b\[0m", text)

    def test_width(self) -> None:
        """On a terminal, the table keeps to its width."""
        text = terminal.render(_document(*_one_of_each()), colour=False, width=100)

        assert max(map(len, text.splitlines())) <= 100

    def test_same_text(self) -> None:
        """Colours change nothing else."""
        given = _document(*_one_of_each())

        coloured = terminal.render(given, colour=True)

        assert re.sub(r"\x1b\[[\d;]*m", "", coloured) == terminal.render(given, colour=False)


def test_entry_is_pure() -> None:
    """The same verdict gives the same entry: nothing is read from the machine."""
    verdict = judge(claim(**claim_entry()), [row(10.0)])

    assert document.claim_entry(verdict) == document.claim_entry(verdict)
