"""A matplotlib figure as SVG that stands inside a page: same data, same bytes; in the page's colours and type.

Figures are drawn in units of the page: `WIDTH` of them fill a phone's screen, so that type is legible there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import StringIO
from typing import Any

import matplotlib
from markupsafe import Markup
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

WIDTH = 360
# What a colour is for, and its hue on white; the style sheet gives each another one on black. Blue and vermilion
# stay apart for all common kinds of colour-blindness, and so do the series, which also differ in their markers.
INK, MUTED, LINE, BAND = "#1a1f25", "#59636e", "#d3d9df", "#d3e3f3"
REPORTED, ACTUAL = "#0a5aa8", "#c2500c"
SERIES = ("#0b5ba7", "#c2510b", "#0e7a5b", "#8a3f8f")
COLOURS = {
    "ink": INK,
    "muted": MUTED,
    "line": LINE,
    "band": BAND,
    "reported": REPORTED,
    "actual": ACTUAL,
    **{f"series-{number}": colour for number, colour in enumerate(SERIES)},
}
MARKERS = ("o", "s", "^", "D")
_STYLE: dict[Any, object] = {  # matplotlib types its keys one by one, and not the same in all versions
    "axes.edgecolor": LINE,
    "axes.labelcolor": MUTED,
    "axes.labelsize": 10,
    "axes.linewidth": 0.8,
    "axes.spines.left": False,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "axes.titlepad": 6,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "figure.dpi": 72,  # a point is a unit of the page
    "font.family": "DejaVu Sans",  # comes with matplotlib; the page shows its own type
    "font.size": 10,
    "grid.color": LINE,
    "grid.linewidth": 0.6,
    "legend.borderpad": 0,
    "legend.columnspacing": 1.2,
    "legend.fontsize": 9.5,
    "legend.frameon": False,
    "legend.handletextpad": 0.5,
    "legend.labelcolor": INK,
    "svg.fonttype": "none",
    "text.color": INK,
    "text.parse_math": False,  # a dollar in a claim's name is a dollar
    "xtick.color": LINE,
    "xtick.labelcolor": MUTED,
    "xtick.labelsize": 9.5,
    "ytick.color": LINE,
    "ytick.labelcolor": INK,
    "ytick.labelsize": 10,
    "ytick.major.size": 0,
}
_NO_METADATA = dict.fromkeys(("Creator", "Date", "Format", "Type"))


@dataclass(frozen=True)
class Plot:
    """A figure of the report: its anchor, what it shows in a line, the same at length, and the SVG itself."""

    name: str
    title: str
    description: str
    svg: Markup


@contextmanager
def style(name: str) -> Iterator[None]:
    """Draw in the report's style, whatever this user's matplotlib is set to; `name` keeps figures' ids apart."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update({**_STYLE, "svg.hashsalt": name})
        yield


def figure(height: float) -> Figure:
    """Return an empty figure, `WIDTH` units wide and `height` high."""
    return Figure(figsize=(WIDTH / 72, height / 72), facecolor="none")


def axes(drawing: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """Return axes at a place in units, `top` counted from the upper edge."""
    full = drawing.get_figheight() * 72
    box = (left / WIDTH, 1 - (top + height) / full, width / WIDTH, height / full)
    return drawing.add_axes(box, facecolor="none")


def caption(drawing: Figure, text: str) -> None:
    """Write what the lowest axis shows, at the foot."""
    drawing.text(0.5, 4 / (drawing.get_figheight() * 72), text, ha="center", va="bottom", color=MUTED)


def legend(drawing: Figure, keys: Sequence[Artist], *, columns: int | None = None) -> None:
    """Show a legend at the head, in one line unless told otherwise."""
    drawing.legend(
        handles=list(keys), loc="upper center", ncol=columns or len(keys), bbox_to_anchor=(0.5, 1), handlelength=1.4
    )


def key(label: str, colour: str, marker: str, **line: Any) -> Artist:
    """Return a legend's entry for a marker; `line` are matplotlib's properties of it."""
    return Line2D([], [], label=label, color=colour, marker=marker, **{"linestyle": "", "markersize": 6.0, **line})


def common_keys() -> list[Artist]:
    """Return the legend's entries for the paper's value, its band, and both kinds of measured values."""
    return [
        key("paper", INK, "|", markersize=9.0, markeredgewidth=1.4),
        Patch(color=BAND, label="band"),
        key("reported", REPORTED, "o"),
        key("actual", ACTUAL, "D", markersize=5.4),
    ]


def inline(drawing: Figure, name: str, title: str, description: str) -> Plot:
    """Return a figure as SVG for a page, with its title and its description for who can't see it."""
    stream = StringIO()
    drawing.savefig(stream, format="svg", metadata=_NO_METADATA)
    text = stream.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", text, flags=re.DOTALL)
    used = set(re.findall(r"#([^\")]+)[\")]", text))  # the other ids are the same in every figure
    text = re.sub(r' id="([^"]*)"', lambda found: found[0] if found[1] in used else "", text)
    size = re.compile(r'<svg [^>]*viewBox="([^"]+)"[^>]*>').match(text)
    assert size, "matplotlib's SVG begins with its size"
    for role, colour in COLOURS.items():
        text = text.replace(colour, f"var(--{role})")
    head = Markup(
        '<svg class="drawing" viewBox="{}" role="img" aria-labelledby="{}-title {}-desc">'
        '<title id="{}-title">{}</title><desc id="{}-desc">{}</desc>'
    ).format(size[1], name, name, name, title, name, description)
    # What matplotlib writes is escaped already: no text of a claim comes into it as markup.
    return Plot(name, title, description, head + Markup(text[size.end() :].replace("xlink:href", "href").strip()))
