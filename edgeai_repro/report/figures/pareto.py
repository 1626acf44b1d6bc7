"""The figure of variants: bytes, time and error of each, and which of them no other beats in all three."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.artist import Artist

from edgeai_repro.report.figures.style import (
    INK,
    MUTED,
    Plot,
    figure,
    legend_entry,
    log_scale,
    report_style,
    series_colour,
    series_marker,
    to_plot,
)

HEIGHT = 300  # points
# By the largest error of a class, as a share of the largest output; the last class has no end.
ERRORS = (
    (0.0, "same outputs"),
    (0.01, "up to 1 % off"),
    (0.1, "up to 10 % off"),
    (float("inf"), "more, or unknown"),
)


@dataclass(frozen=True)
class Point:
    """A variant: its number in the table, its costs (None: unknown), and whether it is on the front."""

    number: int
    name: str
    bytes: int
    milliseconds: float
    error: float | None
    on_front: bool


def pareto(points: Sequence[Point], *, time: str, target_ms: float | None = None) -> Plot | None:
    """Draw the variants; `time` says whose time it is. None if there is none.

    Filled markers are on the front. Variants at the same place share a label.
    """
    if not points:
        return None
    with report_style("pareto"):
        drawing = figure(HEIGHT)
        axes = drawing.subplots()
        axes.set_xscale("log")
        axes.set_yscale("log")
        for point in points:
            index = _class(point.error)
            colour = series_colour(index)
            axes.plot(
                point.bytes / 1e6,
                point.milliseconds,
                series_marker(index),
                color=colour,
                markerfacecolor=colour if point.on_front else "none",
                markersize=8,
                zorder=3 if point.on_front else 2,
            )
        for (megabytes, milliseconds), numbers in _labels(points).items():
            axes.annotate(numbers, (megabytes, milliseconds), (6, 5), textcoords="offset points", color=INK)
        if target_ms is not None:
            axes.axhline(target_ms, color=MUTED, linewidth=1.2, linestyle="--")
        axes.set_xlim(*log_scale(axes.xaxis, [point.bytes / 1e6 for point in points]))
        axes.set_ylim(*log_scale(axes.yaxis, _times(points, target_ms)))
        axes.set_xlabel("MB stored, logarithmic scale")
        axes.set_ylabel("ms per image, logarithmic scale")
        axes.grid()
        drawing.legend(handles=_legend(points, target_ms), loc="outside upper center", ncols=2)
        return to_plot(drawing, "pareto", f"Bytes, error and time, {time}", _describe(points, time))


def _times(points: Sequence[Point], target_ms: float | None) -> list[float]:
    return [*(point.milliseconds for point in points), *([] if target_ms is None else [target_ms])]


def _class(error: float | None) -> int:
    value = float("inf") if error is None else error
    return next(index for index, (end, _) in enumerate(ERRORS) if value <= end)


def _labels(points: Sequence[Point]) -> dict[tuple[float, float], str]:
    """Return the numbers of the points at each place, one label per place that looks the same."""
    places: dict[tuple[float, float], list[Point]] = {}
    for point in points:
        near = (
            (mb, ms)
            for mb, ms in places
            if abs(mb - point.bytes / 1e6) < 0.03 * mb and abs(ms - point.milliseconds) < 0.03 * ms
        )
        places.setdefault(next(near, (point.bytes / 1e6, point.milliseconds)), []).append(point)
    return {place: ", ".join(str(point.number) for point in group) for place, group in places.items()}


def _legend(points: Sequence[Point], target_ms: float | None) -> list[Artist]:
    classes = sorted({_class(point.error) for point in points})
    entries = [legend_entry(ERRORS[index][1], series_colour(index), series_marker(index)) for index in classes]
    entries.append(legend_entry("filled: no other is better in all", INK, "o"))
    if target_ms is not None:
        entries.append(legend_entry(f"target, {target_ms:g} ms", MUTED, "", linestyle="--"))
    return entries


def _describe(points: Sequence[Point], time: str) -> str:
    rows = (
        f"{point.number}: {point.name}, {point.bytes / 1e6:.3g} MB, {point.milliseconds:.3g} ms"
        + ("" if point.error is None else f", outputs {100 * point.error:.2g} % off")
        + (", on the front" if point.on_front else "")
        for point in points
    )
    return f"Time: {time}. {'; '.join(rows)}."
