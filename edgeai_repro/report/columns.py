"""A table for any width: columns drop by importance, words wrap, and no number is ever cut."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

BETWEEN, EDGES = 3, 2  # columns of the terminal between two cells of SIMPLE_HEAD, and at its edges
Cell = str | Text


@dataclass(frozen=True)
class Column:
    """A column: its heading, and its importance: 0 is never dropped, the highest first.

    A column that `wraps` breaks its lines between words, and gets at least `narrowest` columns of the terminal.
    """

    heading: str
    importance: int
    justify: Literal["left", "right"] = "left"
    wraps: bool = False
    narrowest: int = 0


def fitting_table(
    title: str, columns: Sequence[Column], rows: Sequence[Sequence[Cell]], width: int
) -> RenderableType:
    """Return a table of the columns that fit in `width`, or a list of its rows if the needed ones don't fit.

    `title` is a line above it; without one there is none.
    """
    above = [Text(title, "italic")] if title else []
    widths = [_least_width(column, [row[index] for row in rows]) for index, column in enumerate(columns)]
    kept = list(range(len(columns)))
    while kept and sum(widths[index] for index in kept) + BETWEEN * (len(kept) - 1) + EDGES > width:
        least = max(kept, key=lambda index: columns[index].importance)
        if columns[least].importance == 0:
            return Group(*above, *_as_list(columns, rows))
        kept.remove(least)
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for index in kept:
        column = columns[index]
        table.add_column(
            column.heading,
            justify=column.justify,
            no_wrap=not column.wraps,
            min_width=widths[index],
            overflow="fold",
        )
    for row in rows:
        table.add_row(*(row[index] for index in kept))
    return Group(*above, table)


def _least_width(column: Column, cells: Sequence[Cell]) -> int:
    """Return the width that a column needs: that of its longest line, or of its longest word if it wraps."""
    texts = [column.heading, *map(str, cells)]
    parts = [part for text in texts for part in (text.split() if column.wraps else text.splitlines())]
    return max([column.narrowest, *map(cell_len, parts)])


def _as_list(columns: Sequence[Column], rows: Sequence[Sequence[Cell]]) -> Iterator[Text]:
    """Yield each row as lines of words: the first cell, and below it the others with their headings."""
    for first, *others in rows:
        yield Text.assemble(first)
        for column, cell in zip(columns[1:], others, strict=True):
            if str(cell):
                yield Text.assemble(f"  {column.heading}: ", cell)
    yield Text()
