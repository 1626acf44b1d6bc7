"""Draws matplotlib figures in the report's style, as SVG. The same data gives the same bytes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import matplotlib.style
from markupsafe import Markup
from matplotlib.artist import Artist
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from edgeai_repro.evidence.measurement import Measurement

STYLE_SHEET = Path(__file__).with_name("report.mplstyle")
WIDTH = 360  # points; as wide as a phone's screen, so that the text is legible there
ROW = 21  # points, the height of one line of a figure
# Blue and vermilion can be told apart with all common kinds of colour blindness. So can the series, which also
# have different markers.
INK, MUTED, LINE, BAND = "#1a1f25", "#59636e", "#d3d9df", "#d3e3f3"
REPORTED, ACTUAL = "#0a5aa8", "#c2500c"
SERIES = ("#0b5ba7", "#c2510b", "#0e7a5b", "#8a3f8f")
MARKERS = ("o", "s", "^", "D")
FAR = 1e9  # stands for the open end of a band; beyond every axis
FEW_LABELS = 100.0  # a logarithmic axis that spans less has labels at 2 and 5, too
_NO_METADATA = dict.fromkeys(("Creator", "Date", "Format", "Type"))  # the date would differ on every run
# Matplotlib numbers the groups of each figure from 1: two figures on one page would share these ids.
_GROUP_ID = re.compile(r' id="[\w.]+_\d{1,4}"')


@dataclass(frozen=True)
class Plot:
    """A figure of the report: its id in the page, its title, its content in words, and the drawing as SVG."""

    name: str
    title: str
    description: str
    svg: Markup


@contextmanager
def report_style(name: str) -> Iterator[None]:
    """Draw in the report's style, whatever the user's matplotlib settings are.

    `name` is the figure's id. It makes the ids in the SVG unique on the page.
    """
    settings: list[Any] = [STYLE_SHEET, {"svg.hashsalt": name}]
    with matplotlib.style.context(settings, after_reset=True):
        yield


def figure(height: float) -> Figure:
    """Return an empty figure, `WIDTH` points wide and `height` points high."""
    return Figure(figsize=(WIDTH / 72, height / 72), layout="constrained")


def legend_entry(label: str, colour: str, marker: str, **line: Any) -> Artist:
    """Return the legend's entry for a marker. `line` are matplotlib's properties of a line."""
    return Line2D([], [], label=label, color=colour, marker=marker, **{"linestyle": "", "markersize": 6.0, **line})


def series_entry(label: str, index: int) -> Artist:
    """Return the legend's entry for a curve. `index` is its place among the series."""
    return legend_entry(label, series_colour(index), series_marker(index), linestyle="-", markersize=5.0)


def series_colour(index: int) -> str:
    """Return the colour of a curve by its place among the series."""
    return SERIES[index % len(SERIES)]


def series_marker(index: int) -> str:
    """Return the marker of a curve by its place among the series."""
    return MARKERS[index % len(MARKERS)]


def common_entries() -> list[Artist]:
    """Return the legend's entries for the paper's value, its band, and the reported and actual values."""
    return [
        legend_entry("paper", INK, "|", markersize=9.0, markeredgewidth=1.4),
        Patch(color=BAND, label="band"),
        legend_entry("reported", REPORTED, "o"),
        legend_entry("actual", ACTUAL, "D", markersize=5.4),
    ]


def log_scale(axis: Axis, values: Sequence[float]) -> tuple[float, float]:
    """Label a logarithmic axis with plain numbers, also at 2 and 5 if it has few powers of ten; return its ends."""
    low, high = min(values) / 1.5, max(values) * 1.6
    axis.set_major_formatter(lambda value, _: f"{value:g}")
    between = ("2", "5") if high / low < FEW_LABELS else ()
    axis.set_minor_formatter(lambda value, _: f"{value:g}" if f"{value:e}"[0] in between else "")
    return low, high


def finite(edges: Iterable[float]) -> list[float]:
    """Return the edges of a band as numbers that can be drawn."""
    return [max(-FAR, min(FAR, edge)) for edge in edges]


def ends(rows: Iterable[Measurement]) -> list[float]:
    """Return the ends of all intervals of some rows."""
    intervals = [value for row in rows for value in (row.reported, row.actual) if value is not None]
    return [end for interval in intervals for end in (interval.low, interval.high)]


def set_limits(set_limits_of: Callable[[float, float], object], values: Sequence[float]) -> None:
    """Set the limits of an axis by its setter to the range of the data plus 5 %."""
    low, high = min(values), max(values)
    pad = 0.05 * (high - low) or 1.0
    set_limits_of(low - pad, high + pad)


def to_plot(drawing: Figure, name: str, title: str, description: str) -> Plot:
    """Return a figure with its SVG, ready to stand in an HTML page."""
    for axis in (axis for axes in drawing.axes for axis in (axes.xaxis, axes.yaxis)):
        if not axis.get_label_text():
            axis.set_label_coords(0, 0)  # else matplotlib measures all tick labels to place an empty label
    if engine := drawing.get_layout_engine():
        engine.execute(drawing)
        drawing.set_layout_engine(None)  # done; else savefig would draw everything twice
    stream = StringIO()
    drawing.savefig(stream, format="svg", transparent=True, metadata=_NO_METADATA)
    _, tag, svg = stream.getvalue().partition("<svg")  # without the XML declaration, which HTML doesn't allow
    # Matplotlib escapes all text, so no text of a claim can become markup.
    return Plot(name, title, description, Markup(_GROUP_ID.sub("", tag + svg).strip()))
