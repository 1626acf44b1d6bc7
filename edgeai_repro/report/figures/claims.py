"""The figures of one paper, each drawn from the document's rows; None where there is nothing to draw."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from matplotlib.axes import Axes

from edgeai_repro.evidence.measurement import Measurement, Setting
from edgeai_repro.report import text as cells
from edgeai_repro.report.document import ClaimEntry, PaperEntry
from edgeai_repro.report.figures import style as svg
from edgeai_repro.report.figures.style import (
    ACTUAL,
    BAND,
    INK,
    LINE,
    MARKERS,
    MUTED,
    REPORTED,
    SERIES,
    WIDTH,
    Plot,
)

ROW = 21  # units for one line
SWEPT = 3  # values of a setting that make a curve
FAR = 1e9  # an open end of a band, beyond every axis


def overview(paper: PaperEntry) -> Plot | None:
    """Draw paper against measured: every claim on one scale, the half-width of its own band."""
    claims = paper.claims
    if not any(claim.rows for claim in claims):
        return None
    name, height = f"{paper.id}-overview", ROW * len(claims)
    with svg.style(name):
        drawing = svg.figure(height + 72)
        axes = svg.axes(drawing, 142, 26, WIDTH - 154, height)
        farthest = max(abs(_place(claim, value)) for claim in claims for value in _values(claim.rows))
        decades = max(1, math.ceil(math.log10(max(farthest, 1.0) * 1.2)))
        axes.set_xscale("symlog", linthresh=1, linscale=0.8)
        axes.set_xlim(-(10**decades), 10**decades)
        axes.set_ylim(len(claims) - 0.5, -0.5)
        for y, claim in enumerate(claims):
            low, high = (_place(claim, edge) for edge in _band(claim))
            axes.barh(y, high - low, left=low, height=0.66, color=BAND, linewidth=0, zorder=0)
            axes.plot([0, 0], [y - 0.33, y + 0.33], color=INK, linewidth=1.4)
            _points(axes, claim, claim.rows, y, size=2.8, alpha=0.4)
            if row := cells.deciding_row(claim):
                _points(axes, claim, [row], y, size=6.2, alpha=1.0)
        axes.set_yticks(range(len(claims)), [claim.id for claim in claims])
        for text, claim in zip(axes.get_yticklabels(), claims, strict=True):
            text.set_color(INK if claim.rows else MUTED)
        powers = [10**power for power in range(decades + 1)]
        ticks = [*(-power for power in reversed(powers)), 0, *powers]
        axes.set_xticks(ticks, [f"{tick:+d}".replace("-", "−") if tick else "paper" for tick in ticks])
        axes.set_xticks([], minor=True)
        _grid(axes)
        svg.caption(drawing, "distance from the paper, in half-widths of the band")
        svg.legend(drawing, svg.common_keys())
        told = "; ".join(
            f"{claim.id}: paper {cells.paper_value(claim)}, reported {cells.reported(claim) or 'not decided here'}"
            + (f", actual {cells.actual(claim)}" if cells.actual(claim) else "")
            for claim in claims
        )
        return svg.inline(drawing, name, "Paper against measured, all claims on one scale", f"{told}.")


def counted(paper: PaperEntry) -> Plot | None:
    """Draw reported against actual, model by model: where the two part, the counters are at fault."""
    chosen = [(claim, rows) for claim in paper.claims if (rows := cells.representative_rows(claim))]
    if not chosen:
        return None
    left, width, gap = 104, 168, 36
    name, height = f"{paper.id}-counted", sum(ROW * len(rows) + gap for _, rows in chosen)
    with svg.style(name):
        drawing, top = svg.figure(height + 60), 48.0
        for claim, rows in chosen:
            axes = svg.axes(drawing, left, top, width, ROW * len(rows))
            axes.axvspan(*_band(claim), color=BAND, linewidth=0, zorder=0)
            axes.axvline(claim.paper_value, color=INK, linewidth=1.4)
            for y, row in enumerate(rows):
                assert row.actual is not None, "rows without a actual value aren't chosen"
                axes.plot([row.actual.value, row.reported.value], [y, y], color=LINE, linewidth=2.4, zorder=1)
                axes.plot(row.actual.value, y, "D", color=ACTUAL, markersize=5.8)
                axes.plot(row.reported.value, y, "o", color=REPORTED, markersize=6.2)
                for x, value, colour in ((1.22, row.reported, REPORTED), (1.48, row.actual, ACTUAL)):
                    axes.text(
                        x,
                        y,
                        f"{value.value:.1f}",
                        color=colour,
                        ha="right",
                        va="center_baseline",
                        transform=axes.get_yaxis_transform(),
                    )
            axes.set_ylim(len(rows) - 0.5, -0.5)
            values = [*_values(rows), claim.paper_value]
            _limits(axes.set_xlim, [*values, 0.0, 100.0] if claim.unit == "%" else values)
            axes.set_yticks(range(len(rows)), [row.model for row in rows])
            _grid(axes)
            axes.tick_params(axis="x", labelbottom=claim is chosen[-1][0], length=0)
            axes.set_title(claim.id, x=-left / width)
            top += ROW * len(rows) + gap
        svg.caption(drawing, f"reduction, {chosen[-1][0].unit}")
        svg.legend(drawing, svg.common_keys())
        told = "; ".join(
            f"{claim.id}, {row.model}: reported {cells.interval(row.reported, claim.unit)}, "
            f"actual {cells.interval(row.actual, claim.unit)}"
            for claim, rows in chosen
            for row in rows
        )
        return svg.inline(drawing, name, "What counters report, and what is so, model by model", f"{told}.")


def sweeps(paper: PaperEntry) -> Plot | None:
    """Draw what was measured against each setting that was swept, such as a target sparsity; a panel a claim."""
    chosen = [(claim, setting) for claim in paper.claims if (setting := _swept(claim))]
    if not chosen:
        return None
    models = cells.by_size(dict.fromkeys(row.model for claim, _ in chosen for row in claim.rows))
    name, lines, panel = f"{paper.id}-sweeps", math.ceil(len(chosen) / 2), 168
    with svg.style(name):
        drawing = svg.figure(panel * lines + 44)
        for number, (claim, setting) in enumerate(chosen):
            axes = svg.axes(drawing, 32 + 186 * (number % 2), 68 + panel * (number // 2), 138, panel - 62)
            axes.axhspan(*_band(claim), color=BAND, linewidth=0, zorder=0)
            axes.axhline(claim.paper_value, color=INK, linewidth=1.2)
            for model in models:
                _curve(axes, claim, model, setting, models.index(model))
            _limits(axes.set_ylim, [*_values(claim.rows), claim.paper_value])
            axes.grid(axis="y")
            axes.set_axisbelow(True)
            axes.tick_params(axis="y", labelcolor=MUTED, labelsize=9.5)
            axes.set_title(f"{claim.id}, {claim.unit}", x=-0.16)
            axes.set_xlabel(cells.humanize(setting), labelpad=1)
        shown = [
            svg.key(
                model, SERIES[index % len(SERIES)], MARKERS[index % len(MARKERS)], linestyle="-", markersize=5.0
            )
            for index, model in enumerate(models)
        ]
        dashed = svg.key("actual", MUTED, "o", linestyle="--", markersize=5.0, markerfacecolor="none")
        both = any(row.actual for claim, _ in chosen for row in claim.rows)
        svg.legend(drawing, [*shown, *([dashed] if both else [])], columns=3)
        told = "; ".join(
            f"{claim.id}, {cells.where(row)}: {cells.interval(row.reported, claim.unit)}"
            + (f", actual {cells.interval(row.actual, claim.unit)}" if row.actual else "")
            for claim, _ in chosen
            for row in claim.rows
        )
        return svg.inline(drawing, name, "What each setting gives", f"{told}.")


def _curve(axes: Axes, claim: ClaimEntry, model: str, setting: str, index: int) -> None:
    colour, marker = SERIES[index % len(SERIES)], MARKERS[index % len(MARKERS)]
    rows = [row for row in claim.rows if row.model == model and _number(row.details.get(setting))]
    rows.sort(key=lambda row: float(row.details[setting]))
    x = [float(row.details[setting]) for row in rows]
    axes.vlines(x, [row.reported.low for row in rows], [row.reported.high for row in rows], colour, linewidth=1.2)
    axes.plot(x, [row.reported.value for row in rows], "-", color=colour, marker=marker, markersize=4.6)
    if actual := [row.actual.value for row in rows if row.actual]:
        axes.plot(x, actual, "--", color=colour, marker=marker, markersize=4.6, markerfacecolor="none")


def _swept(claim: ClaimEntry) -> str | None:
    """Return the setting of which one model has the most numbers, each once, where they are enough for a curve."""

    def values(name: str) -> int:
        places = Counter((row.model, row.details[name]) for row in claim.rows if _number(row.details.get(name)))
        alone = max(places.values(), default=0) == 1  # else something varies beside it
        return max(Counter(model for model, _ in places).values(), default=0) if alone else 0

    best = max(cells.parameters(claim), key=values, default=None)
    return best if best is not None and values(best) >= SWEPT else None


def _band(claim: ClaimEntry) -> tuple[float, float]:
    low, high = claim.band.low, claim.band.high
    return -FAR if low is None else low, FAR if high is None else high


def _place(claim: ClaimEntry, value: float) -> float:
    """Return the distance from the paper's value in half-widths of the band; where it has no width, in units."""
    edges = [abs(edge - claim.paper_value) for edge in (claim.band.low, claim.band.high) if edge is not None]
    return (value - claim.paper_value) / (max(edges, default=0.0) or 1.0)


def _points(
    axes: Axes, claim: ClaimEntry, rows: Sequence[Measurement], y: float, *, size: float, alpha: float
) -> None:
    for row in rows:
        for value, marker, colour in ((row.actual, "D", ACTUAL), (row.reported, "o", REPORTED)):
            if value is not None:
                ends = [_place(claim, end) for end in (value.low, value.high)]
                axes.plot(ends, [y, y], color=colour, linewidth=1.2, alpha=alpha)
                place = _place(claim, value.value)
                axes.plot(place, y, marker, color=colour, markersize=size, alpha=alpha, markeredgewidth=0)


def _values(rows: Iterable[Measurement]) -> list[float]:
    both = [value for row in rows for value in (row.reported, row.actual) if value is not None]
    return [end for value in both for end in (value.low, value.high)]


def _number(value: Setting | None) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _limits(set_limits: Callable[[float, float], object], values: Sequence[float]) -> None:
    """Let an axis hold the values, and a little more, whatever else is drawn on it."""
    low, high = min(values), max(values)
    pad = 0.05 * (high - low) or 1.0
    set_limits(low - pad, high + pad)


def _grid(axes: Axes) -> None:
    axes.grid(axis="x")
    axes.set_axisbelow(True)
