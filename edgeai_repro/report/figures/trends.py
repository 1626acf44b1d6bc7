"""The figure of what trends were found in: bytes and accuracy against sparsity, a panel for each unit."""

from __future__ import annotations

import math
from collections.abc import Iterator

from matplotlib.axes import Axes

from edgeai_repro.evidence.measurement import Curve
from edgeai_repro.report import text as cells
from edgeai_repro.report.document import PaperEntry
from edgeai_repro.report.figures import style as svg
from edgeai_repro.report.figures.style import MARKERS, MUTED, SERIES, Plot

PANEL, COLUMNS = 168, 2
Panels = dict[tuple[str, str], dict[str, Curve]]  # by unit and setting, then by what is drawn


def trends(paper: PaperEntry) -> Plot | None:
    """Draw every trend's quantity against its setting; None where no row has the curve."""
    panels: Panels = {}
    for label, curve in _curves(paper):
        panels.setdefault((curve.unit, curve.over), {})[label] = curve
    if not panels:
        return None
    labels = list(dict.fromkeys(label for curves in panels.values() for label in curves))
    name = f"{paper.id}-trends"
    with svg.style(name):
        head = 34 + 14 * math.ceil(len(labels) / COLUMNS)  # the legend, and the first panels' titles
        drawing = svg.figure(head + PANEL * math.ceil(len(panels) / COLUMNS) - 20)
        for number, ((unit, over), curves) in enumerate(panels.items()):
            top = head + PANEL * (number // COLUMNS)
            axes = svg.axes(drawing, 36 + 184 * (number % COLUMNS), top, 136, PANEL - 66)
            for label, curve in curves.items():
                _draw(axes, curve, labels.index(label))
            axes.set_ylim(0, 1.08 * max(y for curve in curves.values() for _, y in curve.points))
            axes.grid(axis="y")
            axes.set_axisbelow(True)
            axes.tick_params(axis="y", labelcolor=MUTED, labelsize=9.5)
            alone = next(iter(curves)).partition(", ")[0] if len(curves) == 1 else ""
            axes.set_title(f"{alone}, {unit}" if alone else unit, x=-0.16)
            axes.set_xlabel(cells.humanize(over), labelpad=1)
        keys = [
            svg.key(label, _colour(index), _marker(index), linestyle="-", markersize=5.0)
            for index, label in enumerate(labels)
        ]
        svg.legend(drawing, keys, columns=COLUMNS)
        told = "; ".join(
            f"{label}: " + ", ".join(f"{y:.4g} {curve.unit} at {x:g}" for x, y in curve.points)
            for curves in panels.values()
            for label, curve in curves.items()
        )
        return svg.inline(drawing, name, "What trends were found in", f"{told}.")


def _curves(paper: PaperEntry) -> Iterator[tuple[str, Curve]]:
    """Yield the curves with their labels: the quantity, or the metric, and the model where there are several."""
    rows = [(claim, row) for claim in paper.claims for row in claim.rows if row.curve and row.curve.points]
    several = len({row.model for _, row in rows}) > 1
    for claim, row in rows:
        quantity = str(row.details.get("quantity", cells.humanize(claim.metric).removesuffix(" trend")))
        assert row.curve is not None, "chosen above"
        yield f"{quantity}, {row.model}" if several else quantity, row.curve


def _draw(axes: Axes, curve: Curve, index: int) -> None:
    x, y = zip(*sorted(curve.points), strict=True)
    axes.plot(x, y, "-", color=_colour(index), marker=_marker(index), markersize=4.6)


def _colour(index: int) -> str:
    return SERIES[index % len(SERIES)]


def _marker(index: int) -> str:
    return MARKERS[index % len(MARKERS)]
