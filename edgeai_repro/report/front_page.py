"""What every report opens with: the verdicts of each paper, and the most surprising ones. Pure; no torch.

A report of a single paper has no front page: its table of verdicts says the same.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from edgeai_repro.judge.rows import DECIDED, VerdictName
from edgeai_repro.report import text
from edgeai_repro.report.document import ClaimEntry, Document, PaperEntry

UNDECIDED = "undecided"
HEADINGS = (*DECIDED, UNDECIDED)
OWN = "Our own sentences"
SURPRISING = ("artefact", "contradicted")
SHOWN, PER_PAPER = 8, 2
NEAR = 0.02  # a miss by a smaller share is no surprise
WORDS_AROUND = 70  # characters of a quote before and after the printed number


_COUNTED: dict[VerdictName, tuple[str, str]] = {  # one claim, several claims
    "reproduced": ("holds", "hold"),
    "attainable": (
        "holds for some values of a setting that the paper doesn't state",
        "hold for some values of a setting that the paper doesn't state",
    ),
    "artefact": ("is an artefact of counting", "are artefacts of counting"),
    "contradicted": ("is contradicted", "are contradicted"),
    "inconclusive": ("is too close to decide", "are too close to decide"),
    "not_testable": ("can't be tested here", "can't be tested here"),
    "error": ("failed to be measured", "failed to be measured"),
}


@dataclass(frozen=True)
class Line:
    """A line of the table: a paper (None for our own sentences), its label, and its claims by `HEADINGS`."""

    paper: PaperEntry | None
    label: str
    counts: tuple[int, ...]

    @property
    def total(self) -> int:
        """The number of claims."""
        return sum(self.counts)


@dataclass(frozen=True)
class Surprise:
    """A claim whose value lies far outside its band: at `distance` 0 on an edge, at 1 very far away."""

    paper: PaperEntry
    claim: ClaimEntry
    distance: float

    @property
    def quote(self) -> str:
        """The quote, shortened to the words around the printed number."""
        return shorten(self.claim.quote, self.claim.printed)

    @property
    def sentence(self) -> str:
        """Who prints what, and what was measured."""
        return f"{citation(self.paper)}: “{self.quote}”: {text.explanation(self.claim)}"


PARTIAL = "Partial: the run was interrupted, so claims are missing that it did not reach."


def published_papers_first(document: Document) -> Document:
    """Return the document with published papers first, and files that hold only our own claims after them."""
    papers = sorted(document.papers, key=lambda paper: all(claim.source == "ours" for claim in paper.claims))
    return document.model_copy(update={"papers": papers})


def count_verdicts(claims: Iterable[ClaimEntry]) -> dict[VerdictName, int]:
    """Return the number of claims with each verdict that occurs, best verdict first."""
    counts = Counter(claim.verdict for claim in claims)
    return {verdict: counts[verdict] for verdict in text.VERDICTS if counts[verdict]}


def all_claims(document: Document) -> list[ClaimEntry]:
    """Return the claims of all papers."""
    return [claim for paper in document.papers for claim in paper.claims]


def fails(claim: ClaimEntry) -> bool:
    """Return whether a claim fails its run: it has another verdict than expected, or its measurement failed."""
    return text.drifted(claim) or claim.verdict == "error"


def unexpected(document: Document) -> list[tuple[PaperEntry, ClaimEntry]]:
    """Return the claims that fail a run with their papers."""
    return [(paper, claim) for paper in document.papers for claim in paper.claims if fails(claim)]


def headline(claims: Iterable[ClaimEntry]) -> str:
    """Return the numbers of all verdicts on published claims in one sentence; on our own if there are no others."""
    claims = list(claims)
    published = [claim for claim in claims if claim.source != "ours"]
    kind = "published " if 0 < len(published) < len(claims) else ""
    counts = count_verdicts(published or claims)
    parts = [f"{count} {_COUNTED[verdict][count > 1]}" for verdict, count in counts.items()]
    total = sum(counts.values())
    noun = "claim" if total == 1 else "claims"
    return f"Of {total} {kind}{noun}, {', '.join(parts)}." if parts else "No claim was judged."


def lead(document: Document) -> PaperEntry | None:
    """Return the paper that a report begins with: the published one with the most implications, else the first."""
    published = [paper for paper in document.papers if _published(paper)] or document.papers
    return max(published, key=lambda paper: len(paper.implications), default=None)


def lead_sentence(paper: PaperEntry) -> str:
    """Return what became of the claims of one paper; our own sentences are counted apart."""
    claims = _published(paper)
    own = len(paper.claims) - len(claims)
    apart = f" {own} more {'sentence is' if own == 1 else 'sentences are'} our own." if own and claims else ""
    return f"{citation(paper)}: {_first_small(headline(claims or paper.claims))}{apart}"


def by_verdict(paper: PaperEntry) -> dict[VerdictName, list[ClaimEntry]]:
    """Return the claims that `lead_sentence` counts, by verdict, best verdict first."""
    claims = _published(paper) or paper.claims
    return {verdict: [claim for claim in claims if claim.verdict == verdict] for verdict in count_verdicts(claims)}


def _first_small(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:]


def lines(document: Document) -> list[Line]:
    """Return the line of each published paper, and a last one for all sentences of our own; none for one paper."""
    if len(document.papers) < 2:
        return []
    published = [
        Line(paper, citation(paper), _count(claims)) for paper in document.papers if (claims := _published(paper))
    ]
    own = [claim for paper in document.papers for claim in paper.claims if claim.source == "ours"]
    return [*published, *([Line(None, OWN, _count(own))] if own else [])]


def surprises(document: Document) -> list[Surprise]:
    """Return the artefacts and contradictions of published papers that are farthest off, the farthest first.

    At most `PER_PAPER` are of one paper, and none are returned for a single paper.
    """
    if len(document.papers) < 2:
        return []
    found = []
    for paper in document.papers:
        ranked = sorted(_surprises(paper), key=lambda surprise: -surprise.distance)
        found += ranked[:PER_PAPER]
    return sorted(found, key=lambda surprise: -surprise.distance)[:SHOWN]


def citation(paper: PaperEntry) -> str:
    """Return a paper as it is cited: "Francy & Singh 2024", "Li et al. 2017"; its title if it names no author."""
    names = [name.split()[-1] for name in re.split(r",\s*|\s+and\s+|\s*&\s*", paper.authors) if name.strip()]
    if not names or paper.year is None:
        return paper.title
    authors = " & ".join(names) if len(names) < 3 else f"{names[0]} et al."
    return f"{authors} {paper.year}"


def shorten(quote: str, printed: str) -> str:
    """Return a quote with some words around the printed number, cut between words."""
    before, number, after = quote.partition(printed)
    if len(before) > WORDS_AROUND:
        before = f"… {before[-WORDS_AROUND:].partition(' ')[2]}"
    if len(after) > WORDS_AROUND:
        after = f"{after[:WORDS_AROUND].rpartition(' ')[0]} …"
    return f"{before}{number}{after}"


def _surprises(paper: PaperEntry) -> Iterator[Surprise]:
    for claim in _published(paper):
        row = text.deciding_row(claim)
        if claim.verdict in SURPRISING and row is not None:
            value = (row.actual or row.reported).value
            if (distance := claim.band.share_outside(value)) >= NEAR:
                yield Surprise(paper, claim, distance)


def _published(paper: PaperEntry) -> list[ClaimEntry]:
    return [claim for claim in paper.claims if claim.source != "ours"]


def _count(claims: list[ClaimEntry]) -> tuple[int, ...]:
    counts = Counter(claim.verdict if claim.verdict in DECIDED else UNDECIDED for claim in claims)
    return tuple(counts[heading] for heading in HEADINGS)
