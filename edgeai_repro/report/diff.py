"""What moved between two runs of the claims: verdicts, rows, flip margins, and the stacks they ran on. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal, TypeVar

from edgeai_repro.evidence.measurement import Environment, Frozen, Measurement
from edgeai_repro.judge.formatting import format_number
from edgeai_repro.report import text as cells
from edgeai_repro.report.document import ClaimEntry, Document, ImplicationEntry

T = TypeVar("T")
ABSENT = "–"


class Change(Frozen):
    """Something that isn't as it was: of which claim (or of the stack), what, and how it was told in both runs.

    `change` is the difference where both are numbers in the same unit.
    """

    claim: str
    what: str
    before: str
    after: str
    change: float | None = None


class Difference(Frozen):
    """All that moved from one run to another. Where a run has no such claim or row, it says so with a dash."""

    schema_version: Literal[1] = 1
    environment: list[Change]
    verdicts: list[Change]
    rows: list[Change]
    flip_margins: list[Change]


def compare(before: Document, after: Document) -> Difference:
    """Return what moved between two runs; seconds, which never repeat, are left out."""
    claims = _paired(_claims(before), _claims(after))
    implications = _paired(_implications(before), _implications(after))
    return Difference(
        environment=list(_environments(before.environment, after.environment)),
        verdicts=[
            *(move for name, pair in claims.items() for move in _if_changed(name, "verdict", *map(_verdict, pair))),
            *(
                move
                for name, pair in implications.items()
                for move in _if_changed(name, "holds", *map(_holds, pair))
            ),
        ],
        rows=[move for name, pair in claims.items() for move in _rows(name, *pair)],
        flip_margins=[move for name, pair in claims.items() for move in _margins(name, *pair)],
    )


def _claims(document: Document) -> dict[str, ClaimEntry]:
    return {f"{paper.id}/{claim.id}": claim for paper in document.papers for claim in paper.claims}


def _implications(document: Document) -> dict[str, ImplicationEntry]:
    return {f"{paper.id}/{entry.id}": entry for paper in document.papers for entry in paper.implications}


def _paired(before: Mapping[str, T], after: Mapping[str, T]) -> dict[str, tuple[T | None, T | None]]:
    return {name: (before.get(name), after.get(name)) for name in dict.fromkeys([*before, *after])}


def _if_changed(name: str, what: str, before: str, after: str) -> Iterator[Change]:
    if before != after:
        yield Change(claim=name, what=what, before=before, after=after)


def _verdict(claim: ClaimEntry | None) -> str:
    return ABSENT if claim is None else cells.humanize(claim.verdict)


def _holds(entry: ImplicationEntry | None) -> str:
    return ABSENT if entry is None else ("holds" if entry.holds else "does not hold")


def _rows(name: str, before: ClaimEntry | None, after: ClaimEntry | None) -> Iterator[Change]:
    """Yield each value of each row that moved, or stands in one of the runs alone."""
    if before is None or after is None:
        return
    unit = after.unit
    for where, (old, new) in _paired(_by_place(before), _by_place(after)).items():
        for quantity in ("reported", "actual"):
            was, now = (None if row is None else getattr(row, quantity) for row in (old, new))
            if was != now:
                yield Change(
                    claim=name,
                    what=f"{quantity} {where}",
                    before=cells.interval(was, unit) or ABSENT,
                    after=cells.interval(now, unit) or ABSENT,
                    change=None if was is None or now is None else now.value - was.value,
                )


def _by_place(claim: ClaimEntry) -> dict[str, Measurement]:
    """Return rows by model and settings; where several are alike, as those of several seeds, they are numbered."""
    rows: dict[str, Measurement] = {}
    for row in claim.rows:
        place, number = _place(claim, row), 2
        while place in rows:
            place, number = f"{_place(claim, row)} ({number})", number + 1
        rows[place] = row
    return rows


def _place(claim: ClaimEntry, row: Measurement) -> str:
    """Name a row by its model and technique, and by those parameters that tell it from others of the model."""
    own = [other for other in claim.rows if other.model == row.model and other.technique == row.technique]
    telling = [name for name in row.details if len({other.details.get(name) for other in own}) > 1]
    technique = "" if row.technique == claim.technique else row.technique
    parts = [row.model, technique, *(f"{cells.humanize(name)} {row.details[name]}" for name in telling)]
    return ", ".join(filter(None, parts))


def _margins(name: str, before: ClaimEntry | None, after: ClaimEntry | None) -> Iterator[Change]:
    was, now = (None if claim is None else claim.flip_margin for claim in (before, after))
    if before is None or after is None or was == now:
        return
    alike = was is not None and now is not None and was.of == now.of
    yield Change(
        claim=name,
        what="flip margin",
        before=ABSENT if was is None else was.text,
        after=ABSENT if now is None else now.text,
        change=now.amount - was.amount if alike and was and now else None,
    )


def _environments(before: Environment, after: Environment) -> Iterator[Change]:
    def told(environment: Environment) -> dict[str, str]:
        plain = environment.model_dump(exclude={"versions"}, exclude_none=True)
        return {**{name: str(value) for name, value in plain.items()}, **environment.versions}

    for what, (was, now) in _paired(told(before), told(after)).items():
        yield from _if_changed("", what, was or ABSENT, now or ABSENT)


def format_change(move: Change) -> str:
    """Return the difference of a move in words, with its sign; empty where there is none."""
    return "" if move.change is None else f"{'+' if move.change > 0 else ''}{format_number(move.change, '')}"
