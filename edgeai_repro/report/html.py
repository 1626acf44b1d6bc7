"""The document as one self-contained page: opens from a file, asks for nothing, works without its script.

Text from claims files is escaped wherever it stands; the policy in the page's head admits no script but ours.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from edgeai_repro.judge.formatting import format_number
from edgeai_repro.report import reach
from edgeai_repro.report import text as cells
from edgeai_repro.report.document import Document, PaperEntry, Roofline
from edgeai_repro.report.figures import claims as plots
from edgeai_repro.report.figures.latency import latency
from edgeai_repro.report.figures.style import Plot
from edgeai_repro.report.figures.trends import trends


@dataclass(frozen=True)
class _Drawings:
    """The figures of a paper; None or empty where there is nothing to draw."""

    overview: Plot | None
    counted: Plot | None
    sweeps: Plot | None
    trends: Plot | None
    latencies: list[tuple[Roofline, Plot]]

    @classmethod
    def of(cls, paper: PaperEntry) -> _Drawings:
        drawn = [(roofline, latency(paper, roofline)) for roofline in paper.rooflines]
        return cls(
            overview=plots.overview(paper),
            counted=plots.counted(paper),
            sweeps=plots.sweeps(paper),
            trends=trends(paper),
            latencies=[(roofline, plot) for roofline, plot in drawn if plot],
        )

    @property
    def any(self) -> bool:
        """Whether there is one at all."""
        return bool(self.overview or self.counted or self.sweeps or self.trends or self.latencies)


def render(document: Document) -> str:
    """Return the document as a page. The same document gives the same bytes."""
    environment, document = _environment(), cells.published_papers_first(document)
    script = environment.get_template("table.js.j2").render().strip()
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        environment.get_template("report.html.j2").render(
            document=document,
            environment=document.environment,
            title=_title(document),
            drifted=[(p, claim) for p in document.papers for claim in p.claims if cells.drifted(claim)],
            drawings={paper.id: _Drawings.of(paper) for paper in document.papers},
            script=Markup(script),
            script_hash=f"sha256-{digest}",
        )
        + "\n"
    )


def _title(document: Document) -> str:
    """Return the paper's title; of several papers, how many there are, as each has its title over its claims."""
    titles = [paper.title for paper in document.papers]
    several = f"{len(titles)} papers, claim by claim" if titles else "No claim was judged"
    return titles[0] if len(titles) == 1 else several


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("edgeai_repro.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.globals.update(cells=cells, reach=reach, show=format_number)
    environment.tests["link"] = lambda url: url.startswith(("https://", "http://"))  # not javascript:
    return environment
