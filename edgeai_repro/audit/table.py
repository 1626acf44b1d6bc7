"""An audit as text for a terminal: what is stored, what is computed, and the warnings."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from rich.console import RenderableType
from rich.text import Text

from edgeai_repro.audit import ranking_table
from edgeai_repro.audit.schema import Audit, Latency, ReportedAndActual, Row, saving
from edgeai_repro.claims.registry import UNCOMPRESSED
from edgeai_repro.evidence.measurement import Interval, Settings
from edgeai_repro.judge.formatting import format_count
from edgeai_repro.report.columns import Column, fitting_table
from edgeai_repro.report.console import PIPED_WIDTH, to_text
from edgeai_repro.report.text import humanize

UNKNOWN = ReportedAndActual(reported=None, actual=None)
ABSENT = "–"
UNRELIABLE = "~"  # before a time that is too noisy
# Columns that a narrow terminal lacks, the highest number first; all others are always shown.
IMPORTANCE = {"deflated": 4, "not 0": 3, "bit ops": 2, "parameters": 1}
NAME_WIDTH = 20  # columns of a terminal, for the names of techniques
Cell = tuple[str, str]  # a number, and below it the change against the uncompressed model


def render(audit: Audit, *, colour: bool, width: int | None = None) -> str:
    """Return an audit as text, with ANSI colours or plain. `width` is in columns."""
    return to_text(_parts(audit, width or PIPED_WIDTH), colour=colour, width=width)


def _parts(audit: Audit, width: int) -> Iterator[RenderableType]:
    given = "its own inputs" if audit.own_inputs else f"one image of {audit.resolution} × {audit.resolution}"
    yield Text(f"{audit.model} ({audit.source}), {given}", "bold")
    if audit.partial:
        yield Text("partial: the audit was interrupted", "yellow")
    yield _table(audit, "stored", _stored, width)
    yield _table(audit, "computed", _computed, width)
    latencies = [row.latency for row in audit.rows if row.latency]
    if latencies:
        threads = audit.environment.threads or 1
        yield Text(
            f"ms: median and quartiles of {latencies[0].n} images with {threads} thread{'s'[: threads > 1]}; "
            f"speed-up: over the uncompressed model, with its 95 % interval; {UNRELIABLE}: too noisy"
        )
    yield from _counters(audit, width)
    if audit.shares:
        shares = ", ".join(f"{kind} {share:.1%}" for kind, share in audit.shares.items())
        yield Text(f"parameters by layer: {shares}")
    for row in audit.rows:
        if row.notes:
            yield Text.assemble((humanize(row.technique), "bold"), f"  {_listed(row.notes)}")
    for name, problem in problems(audit):
        yield Text.assemble((name, "magenta"), f"  {problem}")
    for warning in audit.warnings:
        yield Text.assemble(("! ", "yellow"), warning)
    for answer in audit.answers:
        yield Text(answer.question, "bold")
        yield from (Text(f"  {sentence}") for sentence in answer.sentences)
    if audit.ranking is not None:
        yield from ranking_table.parts(audit.ranking, width)


def problems(audit: Audit) -> Iterator[tuple[str, str]]:
    """Yield each row's name in one line, with what could not be compressed, counted or timed."""
    for row in audit.rows:
        for problem in (row.problem, row.latency.problem if row.latency else None):
            if problem:
                yield _name(row).replace("\n", ", "), problem


def _table(
    audit: Audit, heading: str, cells: Callable[[Row, Row], Mapping[str, Cell]], width: int
) -> RenderableType:
    numbers = [
        Column(name, IMPORTANCE.get(name, 0), "right") for name in cells(audit.uncompressed, audit.uncompressed)
    ]
    rows = [
        [_name(row), *("\n".join(filter(None, cell)) for cell in cells(audit.uncompressed, row).values())]
        for row in audit.rows
    ]
    return fitting_table("", [Column(heading, 0, wraps=True, narrowest=NAME_WIDTH), *numbers], rows, width)


def _counters(audit: Audit, width: int) -> Iterator[RenderableType]:
    """Yield a table of the other counters for each model that they counted."""
    for counted in (row for row in audit.rows if any(row.technique == one.technique for one in audit.counters)):
        columns = [
            Column(f"counters, {_name(counted)}", 0),
            *(Column(name, IMPORTANCE.get(name, 0), "right") for name in ("MACs", "of actual", "parameters")),
            Column("what differs from the actual MACs", 0, wraps=True, narrowest=NAME_WIDTH),
        ]
        rows = [
            [
                f"{row.counter}\n{row.provider}",
                _number(row.macs),
                "" if row.ratio is None else f"{row.ratio:.1%}",
                _number(row.parameters),
                row.problem or "\n".join(row.differences),
            ]
            for row in audit.counters
            if row.technique == counted.technique
        ]
        yield fitting_table("", columns, rows, width)


def _stored(uncompressed: Row, row: Row) -> dict[str, Cell]:
    before, after = uncompressed.parameters or UNKNOWN, row.parameters or UNKNOWN
    numbers = {
        "parameters()": (before.reported, after.reported),
        "actual": (before.actual, after.actual),
        "not 0": (uncompressed.nonzero_parameters, row.nonzero_parameters),
        "bytes": (uncompressed.bytes, row.bytes),
        "deflated": (uncompressed.deflated_bytes, row.deflated_bytes),
    }
    return {name: _count(*pair, compare=row is not uncompressed) for name, pair in numbers.items()}


def _computed(uncompressed: Row, row: Row) -> dict[str, Cell]:
    before, after = uncompressed.macs or UNKNOWN, row.macs or UNKNOWN
    numbers = {
        "thop MACs": (before.reported, after.reported),
        "actual": (before.actual, after.actual),
        "bit ops": (uncompressed.bit_operations, row.bit_operations),
    }
    cells = {name: _count(*pair, compare=row is not uncompressed) for name, pair in numbers.items()}
    return cells if uncompressed.latency is None else cells | _times(row.latency)


def _times(latency: Latency | None) -> dict[str, Cell]:
    if latency is None:
        return {"ms here": (ABSENT, ""), "speed-up": (ABSENT, "")}
    mark = f"{UNRELIABLE} " if latency.problem else ""
    milliseconds, speedup = latency.milliseconds, latency.speedup
    return {
        "ms here": (f"{mark}{_three_digits(milliseconds.value)}", _ends(milliseconds)),
        "speed-up": ("", "") if speedup is None else (f"{mark}{_three_digits(speedup.value)} ×", _ends(speedup)),
    }


def _ends(interval: Interval) -> str:
    return f"{_three_digits(interval.low)}–{_three_digits(interval.high)}"


def _three_digits(value: float) -> str:
    """Return three significant digits; no time is more precise."""
    return f"{value:.0f}" if value >= 100 else f"{value:#.3g}"


def _name(row: Row) -> str:
    name = "uncompressed" if row.technique == UNCOMPRESSED else humanize(row.technique)
    return "\n".join(filter(None, [name, _listed(row.settings)]))


def _listed(details: Settings) -> str:
    return ", ".join(f"{humanize(name)} {value}" for name, value in details.items())


def _count(before: int | None, after: int | None, *, compare: bool) -> Cell:
    """Return a number, and if `compare` its change against the uncompressed model in percent."""
    if after is None:
        return ABSENT, ""
    saved = saving(before, after) if compare else None
    return _number(after), "" if saved is None else f"{_sign(saved)}{abs(saved):.1f} %"


def _number(value: int | None) -> str:
    return ABSENT if value is None else format_count(value)


def _sign(saved: float) -> str:
    return "" if abs(saved) < 0.05 else "−" if saved > 0 else "+"
