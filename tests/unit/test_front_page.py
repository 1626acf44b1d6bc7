"""What every report opens with: papers by verdicts, and the most surprising claims."""

from __future__ import annotations

import re
from typing import Any

import pytest

from edgeai_repro.claims.schema import Paper
from edgeai_repro.judge.verdict import Verdict
from edgeai_repro.report import document, front_page, html, terminal
from edgeai_repro.report.document import Document, PaperEntry
from tests.support import reports
from tests.support.factories import PAPER, claim, judged, paper_entry, row
from tests.support.reports import HERE


def _paper(name: str, *verdicts: Verdict, **fields: Any) -> PaperEntry:
    read = Paper.model_validate(paper_entry(paper={**PAPER, "id": name, **fields}))
    return document.paper_entry(read, map(document.claim_entry, verdicts), [])


def _judged(name: str, reported: float, actual: float | None = None, **fields: Any) -> Verdict:
    return judged(claim(id=name, **fields), [row(reported, actual)])


@pytest.fixture
def run() -> Document:
    """Two papers of one and three claims, and a file of our own with one."""
    return Document(
        environment=HERE,
        papers=[
            _paper("first", _judged("holds", 10.0), authors="Ann Lee", year=2020),
            _paper(
                "second",
                _judged("near-miss", 11.1),
                _judged("far", 40.0),
                _judged("artefact", 10.0, 0.0),
                authors="Bo Ek, Cy Fox and Di Gray",
                year=2021,
            ),
            _paper("ours", _judged("own", 90.0, source="ours"), title="Our file"),
        ],
    )


def test_each_paper_has_a_line_and_our_own_sentences_have_the_last(run: Document) -> None:
    """The counts of a line follow the headings, and our own sentences are not counted with a paper's."""
    first, second, own = front_page.lines(run)

    assert front_page.HEADINGS == ("reproduced", "attainable", "artefact", "contradicted", "undecided")
    assert (first.label, first.counts) == ("Lee 2020", (1, 0, 0, 0, 0))
    assert (second.label, second.counts) == ("Ek et al. 2021", (0, 0, 1, 2, 0))
    assert (own.paper, own.counts) == (None, (0, 0, 0, 1, 0))


def test_page_names_the_claims_that_its_first_sentence_counts() -> None:
    """Each verdict has its claims, with links; our own sentence is not among them."""
    page = html.render(reports.run())

    shown = page.partition('<ul class="outcomes">')[2].partition("</ul>")[0]
    lines = [re.findall(r'href="#paper/([\w-]+)"', line) for line in shown.split("<li>")[1:]]
    assert lines == [["swept-claim"], ["artefact-claim"], ["contradicted-claim"], ["inconclusive-claim"], ["fast"]]


def test_one_paper_has_no_front_page(run: Document) -> None:
    """Its table of verdicts says the same."""
    alone = run.model_copy(update={"papers": run.papers[1:2]})

    assert front_page.lines(alone) == []
    assert front_page.surprises(alone) == []


def test_farthest_claim_is_the_first_surprise(run: Document) -> None:
    """The distance is a share: 0 instead of 10 beats 40 instead of 11. Near misses and our own claims are out."""
    found = front_page.surprises(run)

    assert [surprise.claim.id for surprise in found] == ["artefact", "far"]
    assert [surprise.distance for surprise in found] == [1.0, pytest.approx(29 / 40)]


def test_at_most_two_surprises_are_of_one_paper() -> None:
    """One paper can't fill the page."""
    many = _paper("many", *(_judged(f"far-{number}", 40.0 + number) for number in range(5)))

    found = front_page.surprises(Document(environment=HERE, papers=[many, _paper("one", _judged("near", 20.0))]))

    assert [surprise.claim.id for surprise in found] == ["far-4", "far-3", "near"]


@pytest.mark.parametrize(
    ("authors", "citation"),
    [
        ("Ann Lee", "Lee 2020"),
        ("Samer Francy, Raghubir Singh", "Francy & Singh 2020"),
        ("Ann Lee & Bo Ek", "Lee & Ek 2020"),
        ("Ann Lee, Bo Ek, and Cy Fox", "Lee et al. 2020"),
    ],
)
def test_paper_is_cited_by_authors_and_year(authors: str, citation: str) -> None:
    """One author, two, or the first of several."""
    assert front_page.citation(_paper("any", authors=authors, year=2020)) == citation


def test_long_quote_keeps_the_words_around_the_number() -> None:
    """It is cut between words, and the number stays."""
    quote = f"{'before ' * 30}saves 95% of all{' after' * 30}"

    short = front_page.shorten(quote, "95%")

    assert short.startswith("… before before")
    assert "saves 95% of all after" in short
    assert short.endswith("after …")
    assert len(short) < 160
    assert front_page.shorten("saves 95%", "95%") == "saves 95%"


def test_terminal_opens_with_the_papers(run: Document) -> None:
    """The table of papers comes first, then the surprises, then the claims of each paper."""
    shown = terminal.render(run, colour=False)

    assert shown.startswith("Of 4 published claims, 1 holds, 1 is an artefact of counting, 2 are contradicted.")
    order = [shown.index(part) for part in ("Ek et al. 2021", "≠ artefact", "✕ far", "near-miss")]
    assert order == sorted(order)
