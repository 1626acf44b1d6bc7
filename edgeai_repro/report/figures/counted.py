"""The figure of one paper's claims that shows the reported and the actual value of each model."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes

from edgeai_repro.evidence.measurement import Measurement
from edgeai_repro.judge.formatting import unit_of_row
from edgeai_repro.report.document import ClaimEntry, PaperEntry
from edgeai_repro.report.figures.style import (
    ACTUAL,
    BAND,
    INK,
    LINE,
    REPORTED,
    ROW,
    Plot,
    common_entries,
    ends,
    figure,
    finite,
    report_style,
    set_limits,
    to_plot,
)
from edgeai_repro.report.plain import printable_line
from edgeai_repro.report.text import format_optional, paper_number, representative_rows, row_number

PANEL, LABELS = 30, 14  # points that a panel takes besides its rows, and that the labels of its axis take
NUMBERS = 60  # points, the width of a column of numbers


def counted(paper: PaperEntry) -> Plot | None:
    """Draw the reported and the actual value of each model. They differ if the counter misses something.

    Each claim has a panel. Panels in percent share a scale, labelled under the last one of those in a row. The
    others have scales of their own without labels: the numbers are next to them.
    """
    shown = [(claim, rows) for claim in paper.claims if (rows := representative_rows(claim))]
    if not shown:
        return None
    name, lines = f"{paper.id}-counted", [len(rows) for _, rows in shown]
    percent = [claim.unit == "%" for claim, _ in shown]
    labelled = [this and not following for this, following in zip(percent, [*percent[1:], False], strict=True)]
    with report_style(name):
        drawing = figure(ROW * sum(lines) + PANEL * len(lines) + LABELS * sum(labelled) + 50)
        panels = drawing.subplots(len(shown), squeeze=False, height_ratios=lines).ravel()
        for axes, (claim, rows), in_percent, label in zip(panels, shown, percent, labelled, strict=True):
            axes.axvspan(*finite(claim.band.ends), color=BAND, linewidth=0, zorder=0)
            axes.axvline(claim.paper_value, color=INK, linewidth=1.4)
            _draw_pairs(axes, claim, rows)
            axes.set_ylim(len(rows) - 0.5, -0.5)
            values = [*ends(rows), claim.paper_value]
            set_limits(axes.set_xlim, [*values, 0.0, 100.0] if in_percent else values)
            axes.set_yticks(range(len(rows)), [printable_line(row.model) for row in rows])
            axes.tick_params(axis="x", labelbottom=label, bottom=False, length=0)
            if in_percent:
                axes.grid(axis="x")
            if label:
                axes.xaxis.set_major_formatter("{x:g} %")
            axes.set_title(printable_line(_title(claim)))
        drawing.legend(handles=common_entries(), loc="outside upper center", ncols=4)
        values_in_words = "; ".join(
            f"{claim.id}, {row.model}: reported {format_optional(row.reported, unit_of_row(row, claim.unit))}, "
            f"actual {format_optional(row.actual, unit_of_row(row, claim.unit))}"
            for claim, rows in shown
            for row in rows
        )
        return to_plot(drawing, name, "Reported and actual, model by model", f"{values_in_words}.")


def _title(claim: ClaimEntry) -> str:
    """Return the name of a claim, with the number that the paper prints if it prints one."""
    return claim.id if paper_number(claim) is None else f"{claim.id}: paper {claim.printed}"


def _draw_pairs(axes: Axes, claim: ClaimEntry, rows: Sequence[Measurement]) -> None:
    """Draw each row's reported and actual value on one line, with both numbers to the right of the axes."""
    heights = range(len(rows))
    reported = [row.reported.value for row in rows]
    actual = [row.actual.value for row in rows if row.actual is not None]
    axes.hlines(heights, actual, reported, color=LINE, linewidth=2.4)
    axes.plot(actual, heights, "D", color=ACTUAL, markersize=5.8)
    axes.plot(reported, heights, "o", color=REPORTED, markersize=6.2)
    for column, values, colour in ((1, reported, REPORTED), (2, actual, ACTUAL)):
        for y, (row, value) in enumerate(zip(rows, values, strict=True)):
            axes.annotate(
                printable_line(row_number(claim, row, value)),
                (1, y),
                (column * NUMBERS, 0),
                xycoords=axes.get_yaxis_transform(),
                textcoords="offset points",
                color=colour,
                ha="right",
                va="center_baseline",
            )
