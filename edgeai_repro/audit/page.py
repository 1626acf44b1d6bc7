"""An audit as one HTML page that loads nothing, and its Pareto plot as SVG. No torch."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from edgeai_repro.audit.ranking import time_of
from edgeai_repro.audit.ranking_table import cells, heading
from edgeai_repro.audit.schema import Audit, Ranking
from edgeai_repro.audit.table import problems
from edgeai_repro.errors import UserError
from edgeai_repro.files import check_writable, write_text
from edgeai_repro.report.text import machine, software

if TYPE_CHECKING:
    from edgeai_repro.report.figures.style import Plot  # of a library that only a report needs

SUFFIXES = (".html", ".svg")
TIMES = {"expected": "expected on {}", "bound": "at least, on {}", "measured": "measured on {}", "bytes": "unknown"}


def check(path: Path) -> None:
    """Raise UserError unless a page or a plot can be written to a path: its suffix, its folder, the libraries."""
    if path.suffix not in SUFFIXES:
        raise UserError(f"'--report' must end in .html or .svg (got {str(path)!r}); choose another name")
    for package in ("jinja2", "matplotlib"):
        if find_spec(package) is None:
            raise UserError(f"{package} is missing and a report needs it; pip install 'edgeai-repro[report]'")
    check_writable(path)


def write(audit: Audit, path: Path) -> None:
    """Write an audit as a page or as its plot, by the suffix. Raises UserError if there is nothing to plot."""
    write_text(path, plot_of(audit) if path.suffix == ".svg" else render(audit))


def plot_of(audit: Audit) -> str:
    """Return the Pareto plot as a file of SVG. Raises UserError if no variant has a time."""
    plot = _plot(audit.ranking)
    if plot is None:
        raise UserError(f"{audit.model}: must have variants with times to plot (got none); leave out --no-latency")
    svg = str(plot.svg)
    return svg if "xmlns=" in svg else svg.replace("<svg", '<svg xmlns="http://www.w3.org/2000/svg"', 1)


def render(audit: Audit) -> str:
    """Return the page. The same audit gives the same bytes."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    from edgeai_repro.report import text

    environment = Environment(
        loader=PackageLoader("edgeai_repro.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    ranking = audit.ranking
    page = environment.get_template("audit.html.j2").render(
        audit=audit,
        ranking=ranking,
        heading="" if ranking is None else heading(ranking),
        rows=[] if ranking is None else [(variant, cells(variant)) for variant in ranking.variants],
        plot=_plot(ranking),
        problems=list(problems(audit)),
        measured_on=f"{machine(audit.environment)}. {software(audit.environment)}.",
        text=text,
    )
    return f"{page}\n"


def _plot(ranking: Ranking | None) -> Plot | None:
    from edgeai_repro.report.figures.pareto import Point, pareto

    if ranking is None or ranking.ranked_by == "bytes":
        return None
    points = [
        Point(variant.rank, variant.name, variant.bytes, time, variant.error, variant.on_front)
        for variant in ranking.variants
        if variant.rank is not None and (time := time_of(variant, ranking.ranked_by))
    ]
    return pareto(points, time=TIMES[ranking.ranked_by].format(ranking.device), target_ms=ranking.target_ms)
