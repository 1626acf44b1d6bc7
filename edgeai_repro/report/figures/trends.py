"""The figure of trends: the curve behind each trend, such as bytes or accuracy against sparsity."""

from __future__ import annotations

import math
from collections.abc import Iterator

from matplotlib.axes import Axes

from edgeai_repro.evidence.measurement import Curve
from edgeai_repro.report.document import PaperEntry
from edgeai_repro.report.figures.ranks import of_networks
from edgeai_repro.report.figures.style import (
    MUTED,
    Plot,
    figure,
    report_style,
    series_colour,
    series_entry,
    series_marker,
    to_plot,
)
from edgeai_repro.report.plain import printable_line
from edgeai_repro.report.text import humanize

PANEL, COLUMNS = 150, 2
Panels = dict[tuple[str, str], dict[str, Curve]]  # by (unit, setting), then by label


def trends(paper: PaperEntry) -> Plot | None:
    """Draw every trend's quantity against its setting, one panel per unit. None if no row has a curve."""
    panels: Panels = {}
    for label, curve in _labelled_curves(paper):
        panels.setdefault((curve.unit, curve.over), {})[label] = curve
    if not panels:
        return None
    labels = list(dict.fromkeys(label for curves in panels.values() for label in curves))
    lines, name = math.ceil(len(panels) / COLUMNS), f"{paper.id}-trends"
    with report_style(name):
        drawing = figure(PANEL * lines + 14 * math.ceil(len(labels) / COLUMNS))
        panel_axes = drawing.subplots(lines, COLUMNS, squeeze=False).ravel()
        for axes, ((unit, over), curves) in zip(panel_axes, panels.items(), strict=False):
            for label, curve in curves.items():
                _draw(axes, curve, labels.index(label))
            axes.set_ylim(0, 1.08 * max(y for curve in curves.values() for _, y in curve.points))
            axes.grid(axis="y")
            axes.tick_params(axis="y", labelcolor=MUTED, labelsize=9.5)
            quantity = next(iter(curves)).partition(", ")[0] if len(curves) == 1 else ""
            axes.set_title(printable_line(f"{quantity}, {unit}" if quantity else unit))
            axes.set_xlabel(humanize(over))
        for empty in panel_axes[len(panels) :]:
            empty.set_axis_off()
        entries = [series_entry(label, index) for index, label in enumerate(labels)]
        drawing.legend(handles=entries, loc="outside upper center", ncols=COLUMNS)
        curves_in_words = "; ".join(
            f"{label}: " + ", ".join(f"{y:.4g} {curve.unit} at {x:g}" for x, y in curve.points)
            for curves in panels.values()
            for label, curve in curves.items()
        )
        return to_plot(drawing, name, "The curves behind the trends", f"{curves_in_words}.")


def _labelled_curves(paper: PaperEntry) -> Iterator[tuple[str, Curve]]:
    """Yield each curve with its label: the quantity or the metric, and the model if there are several."""
    rows = [
        (claim, row, row.curve)
        for claim in paper.claims
        for row in claim.rows
        if row.curve is not None and row.curve.points and not of_networks(row.curve)
    ]
    several = len({row.model for _, row, _ in rows}) > 1
    for claim, row, curve in rows:
        quantity = str(row.details.get("quantity", humanize(claim.metric).removesuffix(" trend")))
        yield f"{quantity}, {row.model}" if several else quantity, curve


def _draw(axes: Axes, curve: Curve, index: int) -> None:
    x, y = zip(*sorted(curve.points), strict=True)
    axes.plot(x, y, "-", color=series_colour(index), marker=series_marker(index), markersize=4.6)
