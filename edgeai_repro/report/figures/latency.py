"""The figure of latencies: what was measured and what devices can reach, next to the claim's value."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from matplotlib.axes import Axes

from edgeai_repro.devices.roofline import VARIANTS, Estimate, Variant
from edgeai_repro.evidence.measurement import Interval
from edgeai_repro.judge.formatting import describe_row, format_number
from edgeai_repro.report.document import ClaimEntry, PaperEntry, Roofline
from edgeai_repro.report.figures.style import (
    BAND,
    INK,
    MUTED,
    ROW,
    SERIES,
    Plot,
    figure,
    legend_entry,
    report_style,
    to_plot,
)
from edgeai_repro.report.plain import printable_line
from edgeai_repro.report.text import device_result, format_optional

UNIT = "ms"
MEASURED = SERIES[2]  # no other mark of this figure has it
COLOURS: dict[Variant, str] = dict(zip(VARIANTS, (MUTED, SERIES[0], SERIES[1]), strict=True))


class Line(NamedTuple):
    """One line of the figure: its label, whether it is a heading, and what is drawn on it."""

    label: str
    is_heading: bool
    estimates: list[Estimate]
    measured: list[Interval]


def latency(paper: PaperEntry, roofline: Roofline) -> Plot | None:
    """Draw the claimed latency, the measured ones, and each device's bound and expectation.

    None if the paper has no such claim or no device is known.
    """
    claim = next((claim for claim in paper.claims if claim.id == roofline.claim), None)
    if claim is None or not roofline.rows:
        return None
    name, lines = f"{paper.id}-latency-{claim.id}", list(_lines(claim, roofline))
    measured = [interval for line in lines for interval in line.measured]
    with report_style(name):
        drawing = figure(ROW * len(lines) + (90 if measured else 76))
        axes = drawing.subplots()
        axes.set_xscale("log")
        axes.set_ylim(len(lines) - 0.5, -0.5)
        axes.axvspan(claim.band.low or 1e-9, claim.band.high or 1e9, color=BAND, linewidth=0, zorder=0)
        axes.axvline(claim.paper_value, color=INK, linewidth=1.4)
        _draw_estimates(axes, lines)
        _draw_measured(axes, lines)
        axes.set_yticks(range(len(lines)), [printable_line(line.label) for line in lines])
        for label, line in zip(axes.get_yticklabels(), lines, strict=True):
            label.set(fontweight="bold" if line.is_heading else "normal", color=INK if line.is_heading else MUTED)
        times = [time for row in roofline.rows for time in (row.bound_ms, row.expected_ms) if time]
        times += [claim.paper_value, *(end for interval in measured for end in (interval.low, interval.high))]
        axes.set_xlim(min(times) / 1.6, max(times) * 1.6)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.xaxis.set_minor_formatter(lambda value, _: "")
        axes.grid(axis="x")
        axes.set_xlabel("milliseconds per image, logarithmic scale")
        entries = [
            legend_entry(f"paper, {claim.printed}", INK, "|", markersize=9.0, markeredgewidth=1.4),
            legend_entry("at least", MUTED, "|", markersize=7.0, markeredgewidth=2.0),
            legend_entry("expected", MUTED, "o", markersize=5.0),
            *(legend_entry(variant, COLOURS[variant], "", linestyle="-", linewidth=2.0) for variant in VARIANTS),
            *([legend_entry("measured", MEASURED, "D", markersize=5.4)] if measured else []),
        ]
        drawing.legend(handles=entries, loc="outside upper center", ncols=3)
        title = f"Latency of one image, compared with {claim.printed}"
        return to_plot(drawing, name, title, _describe(claim, roofline))


def _lines(claim: ClaimEntry, roofline: Roofline) -> Iterator[Line]:
    """Yield the figure's lines: the rows measured in this run, then each device with its resolutions."""
    if claim.rows:
        yield Line("measured", True, [], [])
        yield from (Line(row.model, False, [], [row.reported]) for row in claim.rows)
    for device in roofline.devices:
        yield Line(device, True, [], [])
        rows = [row for row in roofline.rows if row.device == device]
        for resolution in dict.fromkeys(row.resolution for row in rows):
            measured = [
                result.row.reported
                for result in roofline.measured
                if (result.device, result.row.details.get("resolution")) == (device, resolution)
            ]
            estimates = [row for row in rows if row.resolution == resolution]
            yield Line(f"{resolution} × {resolution}", False, estimates, measured)


def _draw_estimates(axes: Axes, lines: Sequence[Line]) -> None:
    """Draw bounds as ticks and expectations as dots, with a line from one to the other; one colour per variant."""
    for index, variant in enumerate(VARIANTS):
        rows = [(y, row) for y, line in enumerate(lines) for row in line.estimates if row.variant == variant]
        heights = [y + 0.27 * (index - 1) for y, _ in rows]
        bounds = [row.bound_ms for _, row in rows]
        expected = [math.nan if row.expected_ms is None else row.expected_ms for _, row in rows]  # nan isn't drawn
        colour = COLOURS[variant]
        axes.plot(bounds, heights, "|", color=colour, markersize=5.4, markeredgewidth=2)
        axes.hlines(heights, bounds, expected, colour, linewidth=1.4)
        axes.plot(expected, heights, "o", color=colour, markersize=4.4)


def _draw_measured(axes: Axes, lines: Sequence[Line]) -> None:
    for y, line in enumerate(lines):
        for interval in line.measured:
            errors = [[interval.value - interval.low], [interval.high - interval.value]]
            axes.errorbar(interval.value, y, xerr=errors, fmt="D", color=MEASURED, markersize=5.6, capsize=3)
            label = format_number(interval.value, UNIT)
            axes.annotate(
                label,
                (interval.high, y),
                (7, 0),
                textcoords="offset points",
                va="center",
                fontweight="bold",
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},  # no line crosses the number
            )


def _describe(claim: ClaimEntry, roofline: Roofline) -> str:
    rows = [f"{describe_row(row)}: {format_optional(row.reported, UNIT)}" for row in claim.rows]
    rows += [
        f"{result.device}, {device_result(result)}: {format_optional(result.row.reported, UNIT)}"
        for result in roofline.measured
    ]
    rows += [
        f"{row.device} at {row.resolution}, {row.variant}: at least {format_number(row.bound_ms, UNIT)}, expected "
        + ("unknown" if row.expected_ms is None else format_number(row.expected_ms, UNIT))
        for row in roofline.rows
    ]
    return f"{'; '.join(rows)}."
