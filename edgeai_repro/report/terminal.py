"""The report on a terminal: a table of verdicts, and a sentence for each claim that needs one."""

from __future__ import annotations

from collections.abc import Iterable

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from edgeai_repro.report import front_page, text
from edgeai_repro.report.console import to_text
from edgeai_repro.report.diff import Difference, format_change
from edgeai_repro.report.document import ClaimEntry, Document, PaperEntry
from edgeai_repro.report.plain import on_one_line

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
    """Return the document as text, with ANSI colours or plain. `width` is in columns."""
    document = front_page.published_papers_first(document)
    parts = [*_front_page(document), *(_paper(paper, document) for paper in document.papers), *_machines(document)]
    return to_text(parts, colour=colour, width=width)


def render_diff(difference: Difference, *, colour: bool, width: int | None = None) -> str:
    """Return the differences between two runs as text, one table per kind. `width` is in columns."""
    parts: list[RenderableType] = []
    for title, changes in [
        ("environment", difference.environment),
        ("verdicts", difference.verdicts),
        ("rows", difference.rows),
        ("flip margins", difference.flip_margins),
    ]:
        if not changes:
            parts.append(Text(f"{title}: none changed"))
            continue
        table = Table(box=SIMPLE_HEAD, title=f"{title}: {len(changes)} changed", title_justify="left")
        for heading in ("claim", "field", "before", "after", "change"):
            table.add_column(heading, overflow="fold")
        for change in changes:
            table.add_row(change.claim, change.field, change.before, change.after, format_change(change))
        parts.append(table)
    return to_text(parts, colour=colour, width=width)


def _front_page(document: Document) -> Iterable[RenderableType]:
    """Yield the verdicts of each paper as a table, and the most surprising ones as sentences."""
    if lines := front_page.lines(document):
        table = Table(
            box=SIMPLE_HEAD,
            title=front_page.headline(front_page.all_claims(document)),
            title_justify="left",
            pad_edge=False,
        )
        table.add_column("paper", overflow="fold")
        for heading in front_page.HEADINGS:
            table.add_column(heading, justify="right", style=STYLES.get(heading))
        for line in lines:
            table.add_row(on_one_line(line.label), *(str(count or "") for count in line.counts))
        yield table
    for surprise in front_page.surprises(document):
        claim = surprise.claim
        yield Text.assemble(
            (f"{text.SIGNS[claim.verdict]} {claim.id}", STYLES[claim.verdict]),
            f"  {on_one_line(surprise.sentence)}",
        )
    if lines:
        yield Text()


def _paper(paper: PaperEntry, document: Document) -> RenderableType:
    table = Table(
        box=SIMPLE_HEAD, title=on_one_line(f"{paper.id}: {paper.title}"), title_justify="left", pad_edge=False
    )
    table.add_column("claim", no_wrap=True)
    for heading in ("paper", "reported", "actual", "band"):
        table.add_column(heading, justify="right")
    table.add_column("verdict", no_wrap=True)
    if document.other_environments:
        table.add_column("machine", justify="right")
    table.add_column("flips if", overflow="fold")
    for claim in paper.claims:
        table.add_row(*_cells(claim, document))
    return Group(table, *_sentences(paper))


def _machines(document: Document) -> Iterable[RenderableType]:
    """Yield the machines of a merged document by their numbers in the tables, and the versions that all had."""
    if document.other_environments:
        for number, environment in enumerate(document.environments, 1):
            yield Text(f"machine {number}  {text.machine(environment)}")
        yield Text(f"on each: {text.software(document.environment)}\n")


def _cells(claim: ClaimEntry, document: Document) -> Iterable[str | Text]:
    style = STYLES[claim.verdict]
    yield claim.id
    yield on_one_line(claim.printed)
    yield text.reported_value(claim)
    yield text.actual_value(claim)
    yield text.band_edges(claim)
    yield Text(text.verdict_label(claim), style=f"bold {style}" if text.drifted(claim) else style)
    if document.other_environments:
        yield text.measured_by(claim, text.deciding_row(claim))
    yield text.flip_text(claim)


def _sentences(paper: PaperEntry) -> Iterable[Text]:
    for claim in paper.claims:
        if claim.verdict == "reproduced" and claim.verdict == claim.expected:
            continue
        yield Text.assemble((claim.id, STYLES[claim.verdict]), f"  {text.explanation(claim)}")
    for implication in paper.implications:
        result, colour = ("holds", "green") if implication.holds else ("does not hold", "red")
        yield Text.assemble((implication.id, colour), on_one_line(f"  {result}: {implication.text}"))
    yield Text()
