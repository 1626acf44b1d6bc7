"""An audit on a terminal: a table with a row for each technique, and a sentence wherever counters mislead."""

from __future__ import annotations

from collections.abc import Iterator

from rich.box import SIMPLE_HEAD
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from edgeai_repro.audit.record import Audit, Row, Twice, saved
from edgeai_repro.report.cells import words
from edgeai_repro.report.screen import to_text
from edgeai_repro.wording import show

HEADINGS = ("parameters()", "stored", "not 0", "thop MACs", "computed", "bit operations", "bytes", "deflated")
UNITS = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def render(audit: Audit, *, colour: bool, width: int | None = None) -> str:
    """Return an audit as text, with ANSI colours or plain; `width` in columns."""
    return to_text(_parts(audit), colour=colour, width=width)


def _parts(audit: Audit) -> Iterator[RenderableType]:
    title = f"{audit.model} ({audit.source}), one image of {audit.resolution} × {audit.resolution}"
    table = Table(box=SIMPLE_HEAD, title=title, title_justify="left", pad_edge=False)
    table.add_column("technique")
    for heading in HEADINGS:
        table.add_column(heading, justify="right")
    for row in audit.rows:
        cells = [_cell(before, after) for before, after in zip(_figures(audit.dense), _figures(row), strict=True)]
        table.add_row(
            _name(row), *(cells if row is not audit.dense else [cell.partition("\n")[0] for cell in cells])
        )
    yield table
    if audit.shares:
        held = ", ".join(f"{kind} {share:.1%}" for kind, share in audit.shares.items())
        yield Text(f"parameters by layer: {held}")
    for row in audit.rows:
        if row.problem:
            yield Text.assemble((_name(row).replace("\n", ", "), "magenta"), f"  {row.problem}")
    for warning in audit.warnings:
        yield Text.assemble(("! ", "yellow"), warning)


def _name(row: Row) -> str:
    settings = ", ".join(f"{words(name)} {value}" for name, value in row.settings.items())
    return "\n".join(filter(None, ["as it is" if row.technique == "none" else words(row.technique), settings]))


def _figures(row: Row) -> tuple[int | None, ...]:
    parameters, macs = (quantity or Twice(reported=None, logical=None) for quantity in (row.parameters, row.macs))
    return (
        parameters.reported,
        parameters.logical,
        row.nonzero_parameters,
        macs.reported,
        macs.logical,
        row.bit_operations,
        row.bytes,
        row.deflated_bytes,
    )


def _sign(change: float) -> str:
    return "" if abs(change) < 0.05 else "−" if change > 0 else "+"


def _cell(before: int | None, after: int | None) -> str:
    """Return a number, and below it what was saved against the model as it is."""
    if after is None:
        return "–"
    factor, unit = next(((factor, unit) for factor, unit in UNITS if after >= factor), (1.0, ""))
    change = saved(before, after)
    told = "" if change is None else f"\n{_sign(change)}{abs(change):.1f} %"
    return f"{show(after / factor, unit)}{told}"
