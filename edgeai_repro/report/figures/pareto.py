"""The figure of variants: bytes, time and error of each, and which of them no other beats in all three."""

from __future__ import annotations

import math
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
FAR = 10.0  # times; a target that is so far from all points would squeeze them into a corner
CLOSE = 0.07  # of an axis; labels of points that are closer would cover each other
ROOM = 0.25  # of the axis, to the right of the last point: for its label
Ends = tuple[float, float]
# By the largest error of a class, as a share of the largest output; the last class has no end.
ERRORS = (
    (1e-5, "same outputs"),
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

    Filled markers are on the front. Variants that are close to each other share a label.
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
        if target_ms is not None:
            axes.axhline(target_ms, color=MUTED, linewidth=1.2, linestyle="--")
        low, high = log_scale(axes.xaxis, [point.bytes / 1e6 for point in points])
        ends_x = (low, high * (high / low) ** ROOM)
        ends_y = log_scale(axes.yaxis, _times(points, target_ms))
        axes.set_xlim(*ends_x)
        axes.set_ylim(*ends_y)
        for group in _groups(points, ends_x, ends_y):
            last = max(group, key=lambda point: point.bytes)
            place = (last.bytes / 1e6, last.milliseconds)
            axes.annotate(_numbers(group), place, (7, 5), textcoords="offset points", color=INK)
        axes.set_xlabel("MB stored, logarithmic scale")
        axes.set_ylabel("ms per image, logarithmic scale")
        axes.grid()
        drawing.legend(handles=_legend(points, target_ms), loc="outside upper center", ncols=2)
        return to_plot(drawing, "pareto", f"Bytes, error and time, {time}", _describe(points, time))


def _times(points: Sequence[Point], target_ms: float | None) -> list[float]:
    """Return the times that the axis shows; a target that is far from all points would squeeze them."""
    times = [point.milliseconds for point in points]
    return times if target_ms is None or _is_far(times, target_ms) else [*times, target_ms]


def _is_far(times: Sequence[float], target_ms: float) -> bool:
    return target_ms > FAR * max(times) or target_ms * FAR < min(times)


def _class(error: float | None) -> int:
    value = float("inf") if error is None else error
    return next(index for index, (end, _) in enumerate(ERRORS) if value <= end)


def _groups(points: Sequence[Point], ends_x: Ends, ends_y: Ends) -> list[list[Point]]:
    """Return the points, those together whose labels would cover each other."""
    groups: list[list[Point]] = []
    for point in points:
        near = (group for group in groups if any(_touch(point, other, ends_x, ends_y) for other in group))
        group = next(near, None)
        if group is None:
            groups.append([point])
        else:
            group.append(point)
    return groups


def _touch(one: Point, other: Point, ends_x: Ends, ends_y: Ends) -> bool:
    across = _place(one.bytes / 1e6, ends_x) - _place(other.bytes / 1e6, ends_x)
    up = _place(one.milliseconds, ends_y) - _place(other.milliseconds, ends_y)
    return abs(across) < CLOSE and abs(up) < CLOSE


def _place(value: float, ends: Ends) -> float:
    """Return where a value is on a logarithmic axis, from 0 to 1."""
    return math.log(value / ends[0]) / math.log(ends[1] / ends[0])


def _numbers(group: Sequence[Point]) -> str:
    """Return the numbers of a group, `9, 10, 12–14`."""
    runs: list[list[int]] = []
    for number in sorted(point.number for point in group):
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(f"{run[0]}–{run[-1]}" if len(run) > 2 else ", ".join(map(str, run)) for run in runs)


def _legend(points: Sequence[Point], target_ms: float | None) -> list[Artist]:
    classes = sorted({_class(point.error) for point in points})
    entries = [legend_entry(ERRORS[index][1], series_colour(index), series_marker(index)) for index in classes]
    entries.append(legend_entry("filled: no other is better in all", INK, "o"))
    if target_ms is not None:
        far = ", outside of the plot" if _is_far([point.milliseconds for point in points], target_ms) else ""
        entries.append(legend_entry(f"target, {target_ms:g} ms{far}", MUTED, "", linestyle="--"))
    return entries


def _describe(points: Sequence[Point], time: str) -> str:
    rows = (
        f"{point.number}: {point.name}, {point.bytes / 1e6:.3g} MB, {point.milliseconds:.3g} ms"
        + ("" if point.error is None else f", outputs {100 * point.error:.2g} % off")
        + (", on the front" if point.on_front else "")
        for point in points
    )
    return f"Time: {time}. {'; '.join(rows)}."
