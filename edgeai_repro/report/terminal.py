"""The report on a terminal: a table of verdicts, and a sentence for each claim that needs one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from edgeai_repro.report import front_page, text
from edgeai_repro.report.columns import BETWEEN, EDGES, Cell, Column, fitting_table
from edgeai_repro.report.console import PIPED_WIDTH, to_text
from edgeai_repro.report.diff import ABSENT, Change, Difference, format_change
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


MOST_CLAIMS = 100  # of a large run, whose other claims are in its files
COLUMNS = (
    Column("claim", 0),
    Column("paper", 1, "right", wraps=True),
    Column("reported", 2, "right"),
    Column("actual", 3, "right"),
    Column("band", 4, "right"),
    Column("verdict", 0),
    Column("machine", 5, "right"),
    Column("flips if", 6, wraps=True, narrowest=22),
)
_SIGNS = {str(name): sign for name, sign in text.SIGNS.items()}
SIGNS_OF_COLUMNS = {name: _SIGNS.get(name, "–") for name in front_page.HEADINGS}  # if the words don't fit
DIFF_COLUMNS = (
    Column("claim", 0),
    Column("field", 2, wraps=True),
    Column("before", 1, wraps=True),
    Column("after", 0, wraps=True),
    Column("change", 3, "right"),
)


def render(document: Document, *, colour: bool, width: int | None = None) -> str:
    """Return the document as text, with ANSI colours or plain. `width` is in columns."""
    document = _in_time(front_page.published_papers_first(document))
    columns = width or PIPED_WIDTH
    shown = _unexpected(document.papers) if document.is_large else document.papers
    papers = [_paper(paper, document, columns) for paper in shown]
    partial = [Text(front_page.PARTIAL, "yellow")] if document.partial else []
    partial += [] if document.papers else [Text(front_page.headline([]))]
    parts = [*partial, *_front_page(document, columns), *papers, *_left_out(document, shown), *_machines(document)]
    return to_text(parts, colour=colour, width=width)


def _in_time(document: Document) -> Document:
    """Return a document without the claims that a quick run left out: they are many, and one line counts them."""
    papers = []
    for paper in document.papers:
        claims = [claim for claim in paper.claims if claim.requirement != "time"]
        if claims or paper.implications or not paper.claims:
            papers.append(paper.model_copy(update={"claims": claims}))
    return document.model_copy(update={"papers": papers})


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
        rows = [(one.claim, one.field, one.before, one.after, format_change(one)) for one in changes]
        parts.append(fitting_table(f"{title}: {_counted(changes)}", DIFF_COLUMNS, rows, width or PIPED_WIDTH))
    return to_text(parts, colour=colour, width=width)


def _counted(changes: Sequence[Change]) -> str:
    """Return how many values moved, and how many only one of the runs has."""
    absent = sum(ABSENT in (one.before, one.after) for one in changes)
    parts = {"changed": len(changes) - absent, "in only one of the runs": absent}
    return ", ".join(f"{count} {kind}" for kind, count in parts.items() if count)


def _front_page(document: Document, width: int) -> Iterable[RenderableType]:
    """Yield the verdicts of each paper as a table, and the most surprising ones as sentences."""
    if lines := front_page.lines(document):
        natural = [max(len(line.label) for line in lines), *map(len, front_page.HEADINGS)]
        wide = sum(natural) + BETWEEN * (len(natural) - 1) + EDGES <= width
        names = {heading: heading if wide else sign for heading, sign in SIGNS_OF_COLUMNS.items()}
        columns = [Column("paper", 0, wraps=True), *(Column(name, 0, "right") for name in names.values())]
        rows: list[list[Cell]] = [
            [on_one_line(line.label), *(_count(*one) for one in zip(names, line.counts, strict=True))]
            for line in lines
        ]
        yield fitting_table(front_page.headline(front_page.all_claims(document)), columns, rows, width)
        if not wide:
            yield Text(", ".join(f"{sign} {heading}" for heading, sign in SIGNS_OF_COLUMNS.items()))
    for surprise in front_page.surprises(document):
        claim = surprise.claim
        yield Text.assemble(
            (f"{text.SIGNS[claim.verdict]} {claim.id}", STYLES[claim.verdict]),
            f"  {on_one_line(surprise.sentence)}",
        )
    if lines:
        yield Text()


def _count(heading: str, count: int) -> Text:
    return Text(str(count or ""), STYLES.get(heading, ""))


def _paper(paper: PaperEntry, document: Document, width: int) -> RenderableType:
    columns = [column for column in COLUMNS if column.heading != "machine" or document.other_environments]
    rows = [tuple(_cells(claim, document)) for claim in paper.claims]
    table = fitting_table(on_one_line(f"{paper.id}: {paper.title}"), columns, rows, width)
    return Group(table, *_sentences(paper))


def _unexpected(papers: Iterable[PaperEntry]) -> list[PaperEntry]:
    """Return the papers with their first claims that fail a run, at most `MOST_CLAIMS` in all."""
    shown, left = [], MOST_CLAIMS
    for paper in papers:
        claims = list(filter(front_page.fails, paper.claims))[:left]
        left -= len(claims)
        shown += [paper.model_copy(update={"claims": claims, "implications": []})] if claims else []
    return shown


def _left_out(document: Document, shown: Iterable[PaperEntry]) -> Iterable[Text]:
    """Yield how many claims of a large run are not shown."""
    if left_out := len(front_page.all_claims(document)) - sum(len(paper.claims) for paper in shown):
        yield Text(
            f"{left_out} more claims, most of them as expected, are in the files of --claims-json and report\n"
        )


def _machines(document: Document) -> Iterable[RenderableType]:
    """Yield the machines of a merged document by their numbers in the tables, and the versions that all had."""
    if document.other_environments:
        for number, environment in enumerate(document.environments, 1):
            yield Text(f"machine {number}  {text.machine(environment)}")
        yield Text(f"on each: {text.software(document.environment)}\n")


def _cells(claim: ClaimEntry, document: Document) -> Iterable[Cell]:
    style = STYLES[claim.verdict]
    yield claim.id
    yield on_one_line(claim.printed)
    yield text.reported_value(claim)
    yield text.actual_value(claim).replace(" (", "\n(")  # what is not counted
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
