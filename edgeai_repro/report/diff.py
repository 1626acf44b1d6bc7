"""Compares two runs of the claims: verdicts, rows, flip margins, and the environments. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence, Set
from typing import Literal, TypeVar

from edgeai_repro.evidence.measurement import Environment, Frozen, Measurement
from edgeai_repro.judge.formatting import format_number, unit_of_row
from edgeai_repro.report.document import ClaimEntry, Document, ImplicationEntry
from edgeai_repro.report.text import format_optional, humanize

T = TypeVar("T")
ABSENT = "–"


class Change(Frozen):
    """One difference between two runs: the claim (empty for the environment), the field, and both values.

    `change` is the numeric difference, or None if there is none.
    """

    claim: str
    field: str
    before: str
    after: str
    change: float | None = None


class Difference(Frozen):
    """All differences between two runs. A dash stands for a claim or a row that a run doesn't have."""

    schema_version: Literal[2] = 2
    environment: list[Change]
    verdicts: list[Change]
    rows: list[Change]
    flip_margins: list[Change]


def compare(before: Document, after: Document) -> Difference:
    """Return the differences between two runs, except for durations, which never repeat."""
    claims = _pairs(_claims(before), _claims(after))
    implications = _pairs(_implications(before), _implications(after))
    return Difference(
        environment=list(_environment_changes(before, after)),
        verdicts=[
            *(change for name, pair in claims.items() for change in _verdict_changes(name, *pair)),
            *(change for name, pair in implications.items() for change in _implication_changes(name, *pair)),
        ],
        rows=[change for name, pair in claims.items() for change in _row_changes(name, *pair)],
        flip_margins=[change for name, pair in claims.items() for change in _margin_changes(name, *pair)],
    )


def format_change(change: Change) -> str:
    """Return the numeric difference with its sign; empty if there is none."""
    return "" if change.change is None else f"{'+' if change.change > 0 else ''}{format_number(change.change, '')}"


def _claims(run: Document) -> dict[str, ClaimEntry]:
    return {f"{paper.id}/{claim.id}": claim for paper in run.papers for claim in paper.claims}


def _implications(run: Document) -> dict[str, ImplicationEntry]:
    return {f"{paper.id}/{entry.id}": entry for paper in run.papers for entry in paper.implications}


def _pairs(before: Mapping[str, T], after: Mapping[str, T]) -> dict[str, tuple[T | None, T | None]]:
    """Return the values of both mappings by key; None if a mapping doesn't have the key."""
    return {key: (before.get(key), after.get(key)) for key in dict.fromkeys([*before, *after])}


def _environment_changes(before: Document, after: Document) -> Iterator[Change]:
    """Yield each field that differs; a merged document may have several values of it."""

    def fields(environment: Environment) -> dict[str, str]:
        described = environment.model_dump(exclude={"versions"}, exclude_none=True)
        return {**{name: str(value) for name, value in described.items()}, **environment.versions}

    def flat(run: Document) -> dict[str, str]:
        described = [fields(environment) for environment in run.environments]
        names = dict.fromkeys(name for values in described for name in values)
        values = {name: dict.fromkeys(one[name] for one in described if name in one) for name in names}
        return {name: ", ".join(of_name) for name, of_name in values.items()}

    for name, (old, new) in _pairs(flat(before), flat(after)).items():
        yield from _if_changed("", name, old, new)


def _verdict_changes(name: str, before: ClaimEntry | None, after: ClaimEntry | None) -> Iterator[Change]:
    old, new = (None if claim is None else humanize(claim.verdict) for claim in (before, after))
    return _if_changed(name, "verdict", old, new)


def _implication_changes(
    name: str, before: ImplicationEntry | None, after: ImplicationEntry | None
) -> Iterator[Change]:
    words = {True: "holds", False: "does not hold"}
    old, new = (None if entry is None else words[entry.holds] for entry in (before, after))
    return _if_changed(name, "holds", old, new)


def _row_changes(name: str, before: ClaimEntry | None, after: ClaimEntry | None) -> Iterator[Change]:
    """Yield each value of each row that differs, or that only one run has."""
    if before is None or after is None:
        return
    for row_name, (old_row, new_row) in _pairs(_rows_by_name(before), _rows_by_name(after)).items():
        for quantity in ("reported", "actual"):
            old, new = (None if row is None else getattr(row, quantity) for row in (old_row, new_row))
            if old != new:
                unit = next(unit_of_row(row, after.unit) for row in (new_row, old_row) if row is not None)
                yield Change(
                    claim=name,
                    field=f"{quantity} {row_name}",
                    before=format_optional(old, unit) or ABSENT,
                    after=format_optional(new, unit) or ABSENT,
                    change=None if old is None or new is None else new.value - old.value,
                )


def _rows_by_name(claim: ClaimEntry) -> dict[str, Measurement]:
    """Return the rows by name. Rows of the same name, such as those of several seeds, are numbered."""
    siblings: defaultdict[tuple[str, str], list[Measurement]] = defaultdict(list)
    for row in claim.rows:
        siblings[row.model, row.technique].append(row)
    differing = {key: _differing_details(rows) for key, rows in siblings.items()}
    rows, times = {}, Counter[str]()
    for row in claim.rows:
        name = _row_name(claim, row, differing[row.model, row.technique])
        times[name] += 1
        rows[name if times[name] == 1 else f"{name} ({times[name]})"] = row
    return rows


def _differing_details(rows: Sequence[Measurement]) -> set[str]:
    """Return the names of the settings, conditions and notes in which rows differ; one that a row lacks differs."""
    values: defaultdict[str, set[object]] = defaultdict(set)
    counts = Counter[str]()
    for row in rows:
        for name, value in row.details.items():
            values[name].add(value)
            counts[name] += 1
    return {name for name, different in values.items() if len(different) > 1 or counts[name] < len(rows)}


def _row_name(claim: ClaimEntry, row: Measurement, differing: Set[str]) -> str:
    """Name a row by its model and technique, and by the details in which rows of the same model differ."""
    technique = "" if row.technique == claim.technique else row.technique
    details = (f"{humanize(name)} {value}" for name, value in row.details.items() if name in differing)
    return ", ".join(filter(None, [row.model, technique, *details]))


def _margin_changes(name: str, before: ClaimEntry | None, after: ClaimEntry | None) -> Iterator[Change]:
    if before is None or after is None:
        return
    old, new = before.flip_margin, after.flip_margin
    if old != new:
        yield Change(
            claim=name,
            field="flip margin",
            before=ABSENT if old is None else old.text,
            after=ABSENT if new is None else new.text,
            change=new.amount - old.amount if old and new and old.of == new.of else None,
        )


def _if_changed(claim: str, field: str, before: str | None, after: str | None) -> Iterator[Change]:
    if before != after:
        yield Change(claim=claim, field=field, before=before or ABSENT, after=after or ABSENT)
