"""A run's document: the JSON file and the table on a terminal."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from edgeai_repro.claims.schema import Paper
from edgeai_repro.errors import UserError
from edgeai_repro.evidence.measurement import Environment
from edgeai_repro.judge.verdict import Verdict
from edgeai_repro.report import console, document, terminal
from edgeai_repro.report.document import Document, ImplicationEntry
from tests.support.factories import PAPER, claim, claim_entry, judged, paper_entry, row
from tests.support.reports import one_of_each

HERE = Environment(python="3.11", machine="x86_64", cpu="a cpu", cores=2, threads=2, engine="x86", versions={})


def _document(*verdicts: Verdict, holds: bool | None = None, **paper: Any) -> Document:
    read = Paper.model_validate(paper_entry(paper={**PAPER, **paper}))
    implications = [] if holds is None else [ImplicationEntry(id="an-implication", holds=holds, text="1 + 1 = 2")]
    entry = document.paper_entry(read, map(document.claim_entry, verdicts), implications)
    return Document(environment=HERE, papers=[entry])


def _render(*verdicts: Verdict, **fields: Any) -> str:
    return terminal.render(_document(*verdicts, **fields), colour=False)


class TestFile:
    """The JSON file that --claims-json writes."""

    def test_written_document_is_read_back(self, tmp_path: Path) -> None:
        """Reading the file gives an equal document."""
        written = _document(*one_of_each(), holds=True)

        document.write(written, tmp_path / "out.json")

        assert document.read(tmp_path / "out.json") == written

    def test_uncounted_operators_are_written_and_read_back(self, tmp_path: Path) -> None:
        """The names of the operators that the actual count does not know stay with their row."""
        rows = [row(10.0, 10.0, uncounted=("aten::stft", "mine::op"))]

        document.write(_document(judged(claim(), rows)), tmp_path / "out.json")

        (entry,) = document.read(tmp_path / "out.json").papers[0].claims
        assert entry.rows[0].uncounted == ("aten::stft", "mine::op")

    def test_json_has_the_keys_of_the_schema(self, tmp_path: Path) -> None:
        """The keys that other programs rely on are present."""
        document.write(_document(*one_of_each(), holds=False), tmp_path / "out.json")

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
    def test_open_end_of_a_band_is_null(self, side: str, low: float | None, high: float | None) -> None:
        """JSON has no infinity, so the open end of a one-sided band is null."""
        one_sided = claim(band={"rounding": 1.0, "side": side, "derivation": "for the test"})

        band = document.claim_entry(judged(one_sided, [row(10.0)])).band

        assert (band.low, band.high) == (low, high)

    def test_entry_points_at_the_deciding_row(self) -> None:
        """`row` is the index of the deciding row among all measured rows."""
        one_sided = claim(models=["convnext_tiny", "convnext_small"], quantifier="up_to")
        entry = document.claim_entry(judged(one_sided, [row(9.0), row(10.0, model="convnext_small")]))

        assert entry.row == 1
        assert [measured.model for measured in entry.rows] == ["convnext_tiny", "convnext_small"]

    def test_drifted_verdict_is_not_explained(self) -> None:
        """The reason of the expected verdict doesn't explain a different verdict."""
        drifted, expected = judged(claim(), [row(12.0)]), judged(claim(), [row(10.0)])

        assert document.claim_entry(drifted).explanation == ""
        assert document.claim_entry(expected).explanation == "the test says so"

    @pytest.mark.parametrize(
        ("text", "complaint"),
        [
            ("{", "must be valid JSON"),
            ("{}", "environment: is missing"),
            ('{"schema_version": 3, "environment": null, "papers": []}', "schema_version: must be "),
            ('{"schema_version": 1}', r"written by edgeai-repro 0\.1; run the claims again"),
        ],
    )
    def test_other_json_is_refused(self, tmp_path: Path, text: str, complaint: str) -> None:
        """A file that is not a run's document, or has another version, is refused."""
        (tmp_path / "out.json").write_text(text, encoding="utf-8")

        with pytest.raises(UserError, match=complaint):
            document.read(tmp_path / "out.json")


class TestTable:
    """The table of verdicts on a terminal."""

    def test_line_has_all_columns(self) -> None:
        """The columns are claim, paper, reported, actual, band, verdict, and what flips the verdict."""
        lines = _render(*one_of_each()).splitlines()

        heading = next(line for line in lines if "verdict" in line)
        assert re.split(r"\s{2,}", heading.strip()) == [
            *("claim", "paper", "reported", "actual", "band", "verdict", "flips if")
        ]
        line = next(line for line in lines if line.split()[:1] == ["artefact-claim"])
        assert re.split(r"\s{2,}", line.strip()) == [
            *("artefact-claim", "10 %", "10 %", "0 %", "9 … 11", "artefact"),
            "the reported value moves by 1 points",
        ]

    def test_paper_column_shows_the_printed_word(self) -> None:
        """If the paper prints a word, the column doesn't show the number that the band is built on."""
        limited = claim(quote="with limited reductions", printed="limited", value=0.0)

        line = next(line for line in _render(judged(limited, [row(0.5)])).splitlines() if "a-claim" in line)

        assert re.split(r"\s{2,}", line.strip())[:3] == ["a-claim", "limited", "0.5 %"]

    @pytest.mark.parametrize(("side", "shown"), [("at_least", "≥ 9"), ("at_most", "≤ 11")])
    def test_one_sided_band_has_one_edge(self, side: str, shown: str) -> None:
        """A one-sided band is shown as ≥ or ≤ its edge."""
        one_sided = claim(band={"rounding": 1.0, "side": side, "derivation": "for the test"})

        assert f" {shown} " in _render(judged(one_sided, [row(10.0)]))

    def test_actual_value_names_what_it_does_not_count(self) -> None:
        """The column of the actual value names the operators that are not part of it."""
        verdict = judged(claim(), [row(10.0, 10.0, uncounted=("aten::stft",))])

        assert "(not counted: aten::stft)" in _render(verdict)

    def test_drift_names_the_expected_verdict(self) -> None:
        """Only a drifted verdict has the expected one next to it."""
        assert "contradicted (expected reproduced)" in _render(judged(claim(), [row(12.0)]))
        assert "(expected" not in _render(*one_of_each())

    @pytest.mark.parametrize(
        ("name", "sentence"),
        [
            ("attainable", "holds with target 0.7 … 0.8 (tried 0.5 … 0.8)"),
            (
                "artefact",
                "; actually 0 %: why artefact-claim.",
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
    def test_verdict_that_needs_one_has_a_sentence(self, name: str, sentence: str) -> None:
        """Every verdict but "reproduced" has a sentence with its reason; that of a skip says what to supply."""
        text = " ".join(_render(*one_of_each()).split())

        assert f"{name}-claim " in text
        assert sentence in text

    def test_reproduced_claim_has_no_sentence(self) -> None:
        """A claim that is reproduced as expected stands only in the table."""
        assert _render(*one_of_each()).count("reproduced-claim") == 1

    @pytest.mark.parametrize(("holds", "shown"), [(True, "holds"), (False, "does not hold")])
    def test_implication_has_its_result(self, holds: bool, shown: str) -> None:
        """An implication is shown with its result and its derivation."""
        assert f"an-implication  {shown}: 1 + 1 = 2" in _render(holds=holds)

    def test_markup_in_a_title_is_text(self) -> None:
        """Brackets and colons in a title are not read as rich's markup."""
        assert "paper: [Re] A paper :smile: [/red]" in _render(title="[Re] A paper :smile: [/red]")


class TestConsole:
    """The table on terminals and in pipes."""

    @pytest.mark.parametrize("variable", ["FORCE_COLOR", "NO_COLOR", "COLUMNS"])
    def test_piped_table_is_plain(self, monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
        """In a pipe the table is plain text of a fixed width, whatever the environment variables say."""
        monkeypatch.setenv(variable, "40")

        lines = _render(*one_of_each(), holds=True).splitlines()

        assert not any("\x1b" in line for line in lines)
        assert 100 < max(map(len, lines)) <= console.PIPED_WIDTH

    @pytest.mark.parametrize("term", ["dumb", "xterm-256color"])
    def test_verdicts_are_coloured(self, monkeypatch: pytest.MonkeyPatch, term: str) -> None:
        """With colours, each verdict has its colour and drift is bold."""
        monkeypatch.setenv("TERM", term)
        drifted = judged(claim(), [row(12.0)])

        text = terminal.render(_document(*one_of_each(), drifted), colour=True)

        assert re.search(r"\x1b\[33martefact *\x1b\[0m", text)
        assert re.search(r"\x1b\[1;31mcontradicted \(expected reproduced\) *\x1b\[0m", text)

    def test_table_fits_the_terminal(self) -> None:
        """No line is wider than the terminal."""
        text = terminal.render(_document(*one_of_each()), colour=False, width=100)

        assert max(map(len, text.splitlines())) <= 100

    def test_colours_do_not_change_the_text(self) -> None:
        """Without the ANSI codes, the coloured text equals the plain one."""
        run = _document(*one_of_each())

        coloured = terminal.render(run, colour=True)

        assert re.sub(r"\x1b\[[\d;]*m", "", coloured) == terminal.render(run, colour=False)


def test_same_verdict_gives_the_same_entry() -> None:
    """An entry depends only on the verdict, not on the machine."""
    verdict = judged(claim(**claim_entry()), [row(10.0)])

    assert document.claim_entry(verdict) == document.claim_entry(verdict)
