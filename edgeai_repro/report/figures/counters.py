"""The figure of what common counters report: one line per counter, one panel per quantity."""

from __future__ import annotations

from edgeai_repro.networks.variants import display_name
from edgeai_repro.report.document import PaperEntry
from edgeai_repro.report.figures.style import (
    ACTUAL,
    LINE,
    REPORTED,
    ROW,
    Plot,
    common_entries,
    figure,
    report_style,
    to_plot,
)
from edgeai_repro.report.text import format_optional, humanize

COUNTER = "counter"  # the condition that names one


def by_counter(paper: PaperEntry) -> Plot | None:
    """Draw what each counter reports and what is actual, if the claims of a paper name counters."""
    rows = [(claim, row) for claim in paper.claims for row in claim.rows if COUNTER in row.conditions]
    if not rows:
        return None
    name, counters = f"{paper.id}-counters", list(dict.fromkeys(str(row.conditions[COUNTER]) for _, row in rows))
    subjects = list(dict.fromkeys((claim.metric, row.model, claim.unit) for claim, row in rows))
    with report_style(name):
        drawing = figure(ROW * len(counters) + 90)
        panels = drawing.subplots(1, len(subjects), squeeze=False, sharey=True).ravel()
        for axes, subject in zip(panels, subjects, strict=True):
            for claim, row in rows:
                if (claim.metric, row.model, claim.unit) != subject:
                    continue
                y = counters.index(str(row.conditions[COUNTER]))
                if row.actual is not None:
                    axes.hlines(y, row.actual.value, row.reported.value, color=LINE, linewidth=2.4)
                    axes.plot(row.actual.value, y, "D", color=ACTUAL, markersize=5.8)
                axes.plot(row.reported.value, y, "o", color=REPORTED, markersize=6.2)
            metric, model, unit = subject
            axes.set_title(display_name(model))
            axes.set_xlabel(f"{humanize(metric)}, {unit}")
            axes.grid(axis="x")
        panels[0].set_yticks(range(len(counters)), counters)
        panels[0].set_ylim(len(counters) - 0.5, -0.5)
        drawing.legend(handles=common_entries()[2:], loc="outside upper center", ncols=2)
        values = "; ".join(
            f"{row.conditions[COUNTER]}, {row.model}: reported {format_optional(row.reported, claim.unit)}, "
            f"actual {format_optional(row.actual, claim.unit)}"
            for claim, row in rows
        )
        return to_plot(drawing, name, "Reported and actual, counter by counter", f"{values}.")
