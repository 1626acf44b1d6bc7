"""The figures of one paper's claims: paper against measured, and swept settings."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from matplotlib.axes import Axes

from edgeai_repro.evidence.measurement import Measurement, Setting
from edgeai_repro.judge.formatting import describe_row, unit_of_row
from edgeai_repro.report.document import ClaimEntry, PaperEntry
from edgeai_repro.report.figures.style import (
    ACTUAL,
    BAND,
    INK,
    MUTED,
    REPORTED,
    ROW,
    Plot,
    common_entries,
    ends,
    figure,
    finite,
    legend_entry,
    report_style,
    series_colour,
    series_entry,
    series_marker,
    set_limits,
    to_plot,
)
from edgeai_repro.report.plain import printable_line
from edgeai_repro.report.text import (
    actual_value,
    by_size,
    deciding_row,
    detail_names,
    format_optional,
    humanize,
    reported_value,
)

SWEPT = 3  # a setting with fewer values makes no curve
MOST_TICKS = 2  # beyond 1, on each side of the paper's value; more labels would overlap on a phone
MIDDLE = 0.4  # of a decade, for each decade of a side: how wide the linear scale between -1 and 1 is drawn
LARGE = 4  # decades; larger labels are written as powers
SUPERSCRIPTS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


def overview(paper: PaperEntry) -> Plot | None:
    """Draw all claims on one scale: the distance from the paper's value in half-widths of the claim's band."""
    claims = paper.claims
    if not any(claim.rows for claim in claims):
        return None
    name = f"{paper.id}-overview"
    with report_style(name):
        drawing = figure(ROW * len(claims) + 72)
        axes = drawing.subplots()
        farthest = max(abs(_distance(claim, value)) for claim in claims for value in ends(claim.rows))
        decades = max(1, math.ceil(math.log10(max(farthest, 1.0) * 1.2)))
        axes.set_xscale("symlog", linthresh=1, linscale=max(0.8, MIDDLE * decades))
        axes.set_xlim(-(10.0**decades), 10.0**decades)
        axes.set_ylim(len(claims) - 0.5, -0.5)
        lines = range(len(claims))
        bands = [[_distance(claim, edge) for edge in finite(claim.band.ends)] for claim in claims]
        widths = [high - low for low, high in bands]
        axes.barh(lines, widths, left=[low for low, _ in bands], height=0.66, color=BAND, linewidth=0, zorder=0)
        axes.vlines([0] * len(claims), [y - 0.35 for y in lines], [y + 0.35 for y in lines], INK, linewidth=1.4)
        _draw_rows(axes, [(claim, claim.rows) for claim in claims], size=2.8, alpha=0.4)
        deciding = [(claim, [row] if (row := deciding_row(claim)) else []) for claim in claims]
        _draw_rows(axes, deciding, size=6.2, alpha=1.0)
        axes.set_yticks(lines, [printable_line(claim.id) for claim in claims])
        for label, claim in zip(axes.get_yticklabels(), claims, strict=True):
            label.set_color(INK if claim.rows else MUTED)
        powers = {10.0**power: _power(power) for power in range(0, decades + 1, math.ceil(decades / MOST_TICKS))}
        labels = {-value: f"−{name}" for value, name in powers.items()} | {0.0: "paper"}
        labels |= {value: f"+{name}" for value, name in powers.items()}
        axes.set_xticks(list(labels), list(labels.values()))
        axes.set_xticks([], minor=True)
        axes.grid(axis="x")
        drawing.supxlabel("distance from the paper, in half-widths of the band", color=MUTED)
        drawing.legend(handles=common_entries(), loc="outside upper center", ncols=4)
        values = "; ".join(
            f"{claim.id}: paper {claim.printed}, reported {reported_value(claim) or 'not decided here'}"
            + (f", actual {actual_value(claim)}" if actual_value(claim) else "")
            for claim in claims
        )
        return to_plot(drawing, name, "Paper against measured, all claims on one scale", f"{values}.")


def _power(exponent: int) -> str:
    """Return a power of ten in digits, a large one with its exponent."""
    return str(10**exponent) if exponent < LARGE else f"10{str(exponent).translate(SUPERSCRIPTS)}"


def sweeps(paper: PaperEntry) -> Plot | None:
    """Draw the measured values against each setting that was swept, such as a target, one panel per claim."""
    shown = [(claim, setting) for claim in paper.claims if (setting := _swept_setting(claim))]
    if not shown:
        return None
    models = by_size(dict.fromkeys(row.model for claim, _ in shown for row in claim.rows))
    name, lines = f"{paper.id}-sweeps", math.ceil(len(shown) / 2)
    with report_style(name):
        drawing = figure(150 * lines + 40)
        panels = drawing.subplots(lines, 2, squeeze=False).ravel()
        for axes, (claim, setting) in zip(panels, shown, strict=False):
            axes.axhspan(*finite(claim.band.ends), color=BAND, linewidth=0, zorder=0)
            axes.axhline(claim.paper_value, color=INK, linewidth=1.2)
            for index, model in enumerate(models):
                _draw_curve(axes, claim, model, setting, index)
            set_limits(axes.set_ylim, [*ends(claim.rows), claim.paper_value])
            axes.grid(axis="y")
            axes.tick_params(axis="y", labelcolor=MUTED, labelsize=9.5)
            axes.set_title(printable_line(f"{claim.id}, {claim.unit}"))
            axes.set_xlabel(humanize(setting))
        for empty in panels[len(shown) :]:
            empty.set_axis_off()
        entries = [series_entry(model, index) for index, model in enumerate(models)]
        if any(row.actual for claim, _ in shown for row in claim.rows):
            dashed = {"linestyle": "--", "markersize": 5.0, "markerfacecolor": "none"}
            entries.append(legend_entry("actual", MUTED, "o", **dashed))
        drawing.legend(handles=entries, loc="outside upper center", ncols=3)
        values = "; ".join(
            f"{claim.id}, {describe_row(row)}: {format_optional(row.reported, unit_of_row(row, claim.unit))}"
            + (f", actual {format_optional(row.actual, unit_of_row(row, claim.unit))}" if row.actual else "")
            for claim, _ in shown
            for row in claim.rows
        )
        return to_plot(drawing, name, "Measured values at each setting", f"{values}.")


def _draw_rows(
    axes: Axes, lines: Sequence[tuple[ClaimEntry, Sequence[Measurement]]], *, size: float, alpha: float
) -> None:
    """Draw the reported and actual values of some rows, with their intervals, on the lines of the overview."""
    for quantity, marker, colour in (("actual", "D", ACTUAL), ("reported", "o", REPORTED)):
        points = [
            (y, *(_distance(claim, end) for end in (value.low, value.value, value.high)))
            for y, (claim, rows) in enumerate(lines)
            for row in rows
            if (value := getattr(row, quantity)) is not None
        ]
        if points:
            heights, lows, middles, highs = zip(*points, strict=True)
            axes.hlines(heights, lows, highs, colour, linewidth=1.2, alpha=alpha)
            axes.plot(middles, heights, marker, color=colour, markersize=size, alpha=alpha, markeredgewidth=0)


def _draw_curve(axes: Axes, claim: ClaimEntry, model: str, setting: str, index: int) -> None:
    colour, marker = series_colour(index), series_marker(index)
    rows = [row for row in claim.rows if row.model == model and _is_number(row.details.get(setting))]
    rows.sort(key=lambda row: float(row.details[setting]))
    x = [float(row.details[setting]) for row in rows]
    axes.vlines(x, [row.reported.low for row in rows], [row.reported.high for row in rows], colour, linewidth=1.2)
    axes.plot(x, [row.reported.value for row in rows], "-", color=colour, marker=marker, markersize=4.6)
    if actual := [row.actual.value for row in rows if row.actual]:
        axes.plot(x, actual, "--", color=colour, marker=marker, markersize=4.6, markerfacecolor="none")


def _swept_setting(claim: ClaimEntry) -> str | None:
    """Return the numeric setting with the most values for one model, or None if none makes a curve.

    A setting with several rows at one value is left out: something else varies there.
    """

    def values(name: str) -> int:
        points = Counter((row.model, row.details[name]) for row in claim.rows if _is_number(row.details.get(name)))
        if max(points.values(), default=0) != 1:
            return 0
        return max(Counter(model for model, _ in points).values())

    best = max(detail_names(claim), key=values, default=None)
    return best if best is not None and values(best) >= SWEPT else None


def _distance(claim: ClaimEntry, value: float) -> float:
    return claim.band.half_widths(value, claim.paper_value)


def _is_number(value: Setting | None) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
