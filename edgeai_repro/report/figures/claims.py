"""The figures of one paper's claims: paper against measured, reported against actual, and swept settings."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from matplotlib.axes import Axes

from edgeai_repro.evidence.measurement import Measurement, Setting
from edgeai_repro.judge.formatting import describe_row
from edgeai_repro.report.document import ClaimEntry, PaperEntry
from edgeai_repro.report.figures.style import (
    ACTUAL,
    BAND,
    INK,
    LINE,
    MUTED,
    REPORTED,
    ROW,
    Plot,
    common_entries,
    figure,
    legend_entry,
    report_style,
    series_colour,
    series_entry,
    series_marker,
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
    representative_rows,
)

SWEPT = 3  # a setting with fewer values makes no curve
MOST_TICKS, DIGITS = 8, 9  # on each side of the paper's value, and of their labels
FAR = 1e9  # stands for the open end of a band; beyond every axis


def overview(paper: PaperEntry) -> Plot | None:
    """Draw all claims on one scale: the distance from the paper's value in half-widths of the claim's band."""
    claims = paper.claims
    if not any(claim.rows for claim in claims):
        return None
    name = f"{paper.id}-overview"
    with report_style(name):
        drawing = figure(ROW * len(claims) + 72)
        axes = drawing.subplots()
        farthest = max(abs(_distance(claim, value)) for claim in claims for value in _ends(claim.rows))
        decades = max(1, math.ceil(math.log10(max(farthest, 1.0) * 1.2)))
        axes.set_xscale("symlog", linthresh=1, linscale=0.8)
        axes.set_xlim(-(10.0**decades), 10.0**decades)
        axes.set_ylim(len(claims) - 0.5, -0.5)
        lines = range(len(claims))
        bands = [[_distance(claim, edge) for edge in _drawn(claim.band.ends)] for claim in claims]
        widths = [high - low for low, high in bands]
        axes.barh(lines, widths, left=[low for low, _ in bands], height=0.66, color=BAND, linewidth=0, zorder=0)
        axes.vlines([0] * len(claims), [y - 0.35 for y in lines], [y + 0.35 for y in lines], INK, linewidth=1.4)
        _draw_rows(axes, [(claim, claim.rows) for claim in claims], size=2.8, alpha=0.4)
        deciding = [(claim, [row] if (row := deciding_row(claim)) else []) for claim in claims]
        _draw_rows(axes, deciding, size=6.2, alpha=1.0)
        axes.set_yticks(lines, [printable_line(claim.id) for claim in claims])
        for label, claim in zip(axes.get_yticklabels(), claims, strict=True):
            label.set_color(INK if claim.rows else MUTED)
        powers = [10.0**power for power in range(0, decades + 1, math.ceil(decades / MOST_TICKS))]
        ticks = [*(-power for power in reversed(powers)), 0.0, *powers]
        axes.set_xticks(ticks, [f"{tick:+.{DIGITS}g}".replace("-", "−") if tick else "paper" for tick in ticks])
        axes.set_xticks([], minor=True)
        axes.grid(axis="x")
        axes.set_xlabel("distance from the paper, in half-widths of the band")
        drawing.legend(handles=common_entries(), loc="outside upper center", ncols=4)
        values = "; ".join(
            f"{claim.id}: paper {claim.printed}, reported {reported_value(claim) or 'not decided here'}"
            + (f", actual {actual_value(claim)}" if actual_value(claim) else "")
            for claim in claims
        )
        return to_plot(drawing, name, "Paper against measured, all claims on one scale", f"{values}.")


def counted(paper: PaperEntry) -> Plot | None:
    """Draw the reported and the actual value of each model. They differ if the counter misses something."""
    shown = [(claim, rows) for claim in paper.claims if (rows := representative_rows(claim))]
    if not shown:
        return None
    name, lines = f"{paper.id}-counted", [len(rows) for _, rows in shown]
    with report_style(name):
        drawing = figure(ROW * sum(lines) + 30 * len(lines) + 64)
        panels = drawing.subplots(len(shown), squeeze=False, height_ratios=lines).ravel()
        for axes, (claim, rows) in zip(panels, shown, strict=True):
            axes.axvspan(*_drawn(claim.band.ends), color=BAND, linewidth=0, zorder=0)
            axes.axvline(claim.paper_value, color=INK, linewidth=1.4)
            _draw_pairs(axes, rows)
            axes.set_ylim(len(rows) - 0.5, -0.5)
            values = [*_ends(rows), claim.paper_value]
            _set_limits(axes.set_xlim, [*values, 0.0, 100.0] if claim.unit == "%" else values)
            axes.set_yticks(range(len(rows)), [printable_line(row.model) for row in rows])
            axes.grid(axis="x")
            axes.tick_params(axis="x", labelbottom=claim is shown[-1][0], bottom=False, length=0)
            axes.set_title(printable_line(claim.id))
        axes.set_xlabel(f"reduction, {shown[-1][0].unit}")
        drawing.legend(handles=common_entries(), loc="outside upper center", ncols=4)
        values_in_words = "; ".join(
            f"{claim.id}, {row.model}: reported {format_optional(row.reported, claim.unit)}, "
            f"actual {format_optional(row.actual, claim.unit)}"
            for claim, rows in shown
            for row in rows
        )
        return to_plot(drawing, name, "Reported and actual, model by model", f"{values_in_words}.")


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
            axes.axhspan(*_drawn(claim.band.ends), color=BAND, linewidth=0, zorder=0)
            axes.axhline(claim.paper_value, color=INK, linewidth=1.2)
            for index, model in enumerate(models):
                _draw_curve(axes, claim, model, setting, index)
            _set_limits(axes.set_ylim, [*_ends(claim.rows), claim.paper_value])
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
            f"{claim.id}, {describe_row(row)}: {format_optional(row.reported, claim.unit)}"
            + (f", actual {format_optional(row.actual, claim.unit)}" if row.actual else "")
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


def _draw_pairs(axes: Axes, rows: Sequence[Measurement]) -> None:
    """Draw each row's reported and actual value on one line, with both numbers to the right of the axes."""
    heights = range(len(rows))
    reported = [row.reported.value for row in rows]
    actual = [row.actual.value for row in rows if row.actual is not None]
    axes.hlines(heights, actual, reported, color=LINE, linewidth=2.4)
    axes.plot(actual, heights, "D", color=ACTUAL, markersize=5.8)
    axes.plot(reported, heights, "o", color=REPORTED, markersize=6.2)
    for offset, values, colour in ((40, reported, REPORTED), (80, actual, ACTUAL)):
        for y, value in zip(heights, values, strict=True):
            axes.annotate(
                f"{value:.1f}",
                (1, y),
                (offset, 0),
                xycoords=axes.get_yaxis_transform(),
                textcoords="offset points",
                color=colour,
                ha="right",
                va="center_baseline",
            )


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


def _drawn(edges: Iterable[float]) -> list[float]:
    """Return the edges of a band as numbers that can be drawn."""
    return [max(-FAR, min(FAR, edge)) for edge in edges]


def _distance(claim: ClaimEntry, value: float) -> float:
    return claim.band.half_widths(value, claim.paper_value)


def _ends(rows: Iterable[Measurement]) -> list[float]:
    """Return the ends of all intervals of some rows."""
    intervals = [value for row in rows for value in (row.reported, row.actual) if value is not None]
    return [end for interval in intervals for end in (interval.low, interval.high)]


def _is_number(value: Setting | None) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _set_limits(set_limits: Callable[[float, float], object], values: Sequence[float]) -> None:
    """Set axis limits to the data range plus 5 %."""
    low, high = min(values), max(values)
    pad = 0.05 * (high - low) or 1.0
    set_limits(low - pad, high + pad)
