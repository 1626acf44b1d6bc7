"""An audit on a terminal: what is stored and what is computed, a row a technique, and where counters mislead."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from rich.box import SIMPLE_HEAD
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from edgeai_repro.audit.schema import Audit, Latency, ReportedAndActual, Row, saved
from edgeai_repro.claims.registry import UNCOMPRESSED
from edgeai_repro.evidence.measurement import Interval
from edgeai_repro.judge.formatting import format_number
from edgeai_repro.report.console import to_text
from edgeai_repro.report.text import humanize

UNKNOWN = ReportedAndActual(reported=None, actual=None)
UNITS = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
NONE = "–"
NOISY = "~"  # before a time that isn't to be believed
Cell = tuple[str, str]  # a figure, and below it what it is against the model as it is


def render(audit: Audit, *, colour: bool, width: int | None = None) -> str:
    """Return an audit as text, with ANSI colours or plain; `width` in columns."""
    return to_text(_parts(audit), colour=colour, width=width)


def _parts(audit: Audit) -> Iterator[RenderableType]:
    yield Text(f"{audit.model} ({audit.source}), one image of {audit.resolution} × {audit.resolution}", "bold")
    yield _table(audit, "what is stored", _stored)
    yield _table(audit, "what is computed", _computed)
    timed = [row.latency for row in audit.rows if row.latency]
    if timed:
        threads = audit.environment.threads or 1
        yield Text(
            f"ms: median and quartiles of {timed[0].n} images with {threads} thread{'s'[: threads > 1]}; faster: "
            "than the model as it is, with an interval of 95 %"
        )
    if audit.shares:
        held = ", ".join(f"{kind} {share:.1%}" for kind, share in audit.shares.items())
        yield Text(f"parameters by layer: {held}")
    for row in audit.rows:
        for problem in filter(None, [row.problem, row.latency and row.latency.problem]):
            yield Text.assemble((_name(row).replace("\n", ", "), "magenta"), f"  {problem}")
    for warning in audit.warnings:
        yield Text.assemble(("! ", "yellow"), warning)


def _table(audit: Audit, heading: str, cells: Callable[[Row, Row], Mapping[str, Cell]]) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column(heading, no_wrap=True)
    for column in cells(audit.dense, audit.dense):
        table.add_column(column, justify="right")
    for row in audit.rows:
        table.add_row(_name(row), *("\n".join(filter(None, cell)) for cell in cells(audit.dense, row).values()))
    return table


def _stored(dense: Row, row: Row) -> dict[str, Cell]:
    before, after = dense.parameters or UNKNOWN, row.parameters or UNKNOWN
    counted = {
        "parameters()": (before.reported, after.reported),
        "stored": (before.actual, after.actual),
        "not 0": (dense.nonzero_parameters, row.nonzero_parameters),
        "bytes": (dense.bytes, row.bytes),
        "deflated": (dense.deflated_bytes, row.deflated_bytes),
    }
    return {name: _count(*counts, compare=row is not dense) for name, counts in counted.items()}


def _computed(dense: Row, row: Row) -> dict[str, Cell]:
    before, after = dense.macs or UNKNOWN, row.macs or UNKNOWN
    counted = {
        "thop MACs": (before.reported, after.reported),
        "computed": (before.actual, after.actual),
        "bit ops": (dense.bit_operations, row.bit_operations),
    }
    cells = {name: _count(*counts, compare=row is not dense) for name, counts in counted.items()}
    return cells if dense.latency is None else cells | _times(row.latency)


def _times(latency: Latency | None) -> dict[str, Cell]:
    if latency is None:
        return {"ms here": (NONE, ""), "faster": (NONE, "")}
    mark = f"{NOISY} " if latency.problem else ""
    took, faster = latency.milliseconds, latency.faster
    return {
        "ms here": (f"{mark}{_digits(took.value)}", _ends(took)),
        "faster": ("", "") if faster is None else (f"{mark}{_digits(faster.value)} ×", _ends(faster)),
    }


def _ends(interval: Interval) -> str:
    return f"{_digits(interval.low)}–{_digits(interval.high)}"


def _digits(value: float) -> str:
    """Return three digits, which is more than a time is good for."""
    return f"{value:.0f}" if value >= 100 else f"{value:#.3g}"


def _name(row: Row) -> str:
    name = "as it is" if row.technique == UNCOMPRESSED else humanize(row.technique)
    settings = ", ".join(f"{humanize(name)} {value}" for name, value in row.settings.items())
    return "\n".join(filter(None, [name, settings]))


def _count(before: int | None, after: int | None, *, compare: bool) -> Cell:
    """Return a number, and what was saved against the model as it is."""
    if after is None:
        return NONE, ""
    factor, unit = next(((factor, unit) for factor, unit in UNITS if after >= factor), (1.0, ""))
    change = saved(before, after) if compare else None
    return format_number(after / factor, unit), "" if change is None else f"{_sign(change)}{abs(change):.1f} %"


def _sign(change: float) -> str:
    return "" if abs(change) < 0.05 else "−" if change > 0 else "+"
