"""The ranked variants as a table, for a terminal and for a page. No torch."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import RenderableType
from rich.text import Text

from edgeai_repro.audit.ranking import three_digits
from edgeai_repro.audit.schema import Ranked, RankedBy, Ranking
from edgeai_repro.report.columns import Column, fitting_table

COLUMNS = (
    Column("", 0, "right"),
    Column("variant", 0, wraps=True, narrowest=20),
    Column("MB", 0, "right"),
    Column("ms here", 0, "right"),
    Column("bound", 2, "right"),
    Column("expected", 1, "right"),
    Column("output error", 0, "right"),
    Column("", 3, wraps=True),
)
ORDER: dict[RankedBy, str] = {
    "expected": "by the time that published rates let expect on {}",
    "bound": "by the least time on {}, because no rate is published for some precision",
    "measured": "by the time measured on {}",
    "bytes": "by bytes, because nothing was timed",
}
UNKNOWN = "–"
LEAST = 0.001  # percent; rounding gives less
FRONT = "front"  # no other variant is better in time, bytes and error


def parts(ranking: Ranking, width: int) -> Iterator[RenderableType]:
    """Yield the table of a ranking, for a terminal of `width` columns, and the advice below it."""
    yield Text(f"variants, {heading(ranking)}", "bold")
    yield fitting_table("", COLUMNS, [cells(variant) for variant in ranking.variants], width)
    yield Text(f"→ {ranking.advice}")
    yield Text(f"  {ranking.unknown}")


def heading(ranking: Ranking) -> str:
    """Return what the order of the variants is, as the end of a sentence."""
    return ORDER[ranking.ranked_by].format(ranking.device)


def cells(variant: Ranked) -> tuple[str, ...]:
    """Return the cells of a variant's row, one per column."""
    remark = variant.reason or ", ".join(filter(None, [FRONT * variant.on_front, _target(variant)]))
    return (
        UNKNOWN if variant.rank is None else str(variant.rank),
        variant.name,
        three_digits(variant.bytes / 1e6),
        _milliseconds(variant.milliseconds),
        _milliseconds(variant.bound_ms),
        _milliseconds(variant.expected_ms),
        _error(variant.error),
        remark,
    )


def _target(variant: Ranked) -> str:
    return {None: "", True: "within the target", False: "too slow"}[variant.meets_target]


def _error(share: float | None) -> str:
    if share is None:
        return UNKNOWN
    return f"< {LEAST} %" if 0 < 100 * share < LEAST else f"{three_digits(100 * share)} %"


def _milliseconds(value: float | None) -> str:
    return UNKNOWN if value is None else three_digits(value)
