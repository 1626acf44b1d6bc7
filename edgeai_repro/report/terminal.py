"""The document on a terminal: a table of verdicts, and a sentence for each that needs one."""

from __future__ import annotations

from collections.abc import Iterable

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from edgeai_repro.report import text as cells
from edgeai_repro.report.console import to_text
from edgeai_repro.report.diff import Difference, format_change
from edgeai_repro.report.document import ClaimEntry, Document, PaperEntry

STYLES = {
    "reproduced": "green",
    "attainable": "cyan",
    "artefact": "yellow",
    "contradicted": "red",
    "inconclusive": "magenta",
    "not_testable": "bright_black",
    "error": "red",
}


def render(document: Document, *, colour: bool, width: int | None = None) -> str:
    """Return the document as text, with ANSI colours or plain; `width` in columns."""
    return to_text([_paper(paper) for paper in document.papers], colour=colour, width=width)


def render_diff(found: Difference, *, colour: bool, width: int | None = None) -> str:
    """Return what moved between two runs as text, one table for each kind of move."""
    parts: list[RenderableType] = []
    for title, moves in [
        ("stack", found.environment),
        ("verdicts", found.verdicts),
        ("rows", found.rows),
        ("what would turn it", found.flip_margins),
    ]:
        table = Table(box=SIMPLE_HEAD, title=f"{title}: {len(moves) or 'none'} moved", title_justify="left")
        for heading in ("claim", "what", "before", "after", "change"):
            table.add_column(heading, overflow="fold")
        for move in moves:
            table.add_row(move.claim, move.what, move.before, move.after, format_change(move))
        parts.append(table if moves else Text(f"{title}: none moved"))
    return to_text(parts, colour=colour, width=width)


def _paper(paper: PaperEntry) -> RenderableType:
    table = Table(box=SIMPLE_HEAD, title=f"{paper.id}: {paper.title}", title_justify="left", pad_edge=False)
    table.add_column("claim", no_wrap=True)
    for heading in ("paper", "reported", "actual"):
        table.add_column(heading, justify="right")
    table.add_column("band", justify="right")
    table.add_column("verdict", no_wrap=True)
    table.add_column("what would turn it", overflow="fold")
    for claim in paper.claims:
        table.add_row(*_row(claim))
    return Group(table, *_sentences(paper))


def _row(claim: ClaimEntry) -> Iterable[str | Text]:
    style = STYLES[claim.verdict]
    yield claim.id
    yield cells.paper_value(claim)
    yield cells.reported(claim)
    yield cells.actual(claim)
    yield cells.band(claim)
    yield Text(cells.label(claim), style=f"bold {style}" if cells.drifted(claim) else style)
    yield cells.flip_text(claim)


def _sentences(paper: PaperEntry) -> Iterable[Text]:
    for claim in paper.claims:
        if claim.verdict == "reproduced" and claim.verdict == claim.expected:
            continue
        yield Text.assemble((claim.id, STYLES[claim.verdict]), f"  {cells.explanation(claim)}")
    for implication in paper.implications:
        mark = ("holds", "green") if implication.holds else ("does not hold", "red")
        yield Text.assemble((implication.id, mark[1]), f"  {mark[0]}: {implication.text}")
    yield Text()
