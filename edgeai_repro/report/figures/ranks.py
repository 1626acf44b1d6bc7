"""The figure of ranks: the MACs of many networks against their times, one panel per claim that ranks them."""

from __future__ import annotations

import math

from edgeai_repro.evidence.measurement import Curve
from edgeai_repro.judge.formatting import format_interval
from edgeai_repro.report.document import PaperEntry
from edgeai_repro.report.figures.style import ACTUAL, Plot, figure, log_scale, report_style, to_plot
from edgeai_repro.report.plain import printable_line

PANEL, COLUMNS = 190, 2
MACS = "GMACs"  # what a curve of the metric `macs_time_tau` is over; its points are networks, which no line joins


def ranks(paper: PaperEntry) -> Plot | None:
    """Draw each network of a set as a point. None if no claim of a paper ranks networks, or none was timed."""
    shown = [
        (claim, row, row.curve)
        for claim in paper.claims
        for row in claim.rows
        if row.curve is not None and of_networks(row.curve)
    ]
    if not shown:
        return None
    name = f"{paper.id}-ranks"
    with report_style(name):
        drawing = figure(PANEL * math.ceil(len(shown) / COLUMNS))
        panels = drawing.subplots(math.ceil(len(shown) / COLUMNS), COLUMNS, squeeze=False, sharey=True).ravel()
        times = [ms for _, _, curve in shown for _, ms in curve.points]
        for axes, (claim, row, curve) in zip(panels, shown, strict=False):
            macs, milliseconds = zip(*curve.points, strict=True)
            axes.set_xscale("log")
            axes.set_yscale("log")
            axes.plot(macs, milliseconds, "o", color=ACTUAL, markersize=4.2, alpha=0.75, markeredgewidth=0)
            axes.set_xlim(*log_scale(axes.xaxis, macs))
            axes.set_ylim(*log_scale(axes.yaxis, times))
            axes.set_title(printable_line(f"{len(curve.points)} networks: {claim.unit} = {row.reported.value:.2f}"))
            axes.set_xlabel(curve.over)
            axes.grid()
        panels[0].set_ylabel(f"{shown[0][2].unit}, logarithmic scales")
        for empty in panels[len(shown) :]:
            empty.set_axis_off()
        words = "; ".join(
            f"{claim.id}, {format_interval(row.reported, claim.unit)}: "
            + ", ".join(f"{macs:.3g} {curve.over} {ms:.3g} {curve.unit}" for macs, ms in sorted(curve.points))
            for claim, row, curve in shown
        )
        return to_plot(drawing, name, "MACs against time, network by network", f"{words}.")


def of_networks(curve: Curve) -> bool:
    """Return whether the points of a curve are networks, with their MACs and times."""
    return curve.over == MACS and bool(curve.points)
