"""The HTML report: one self-contained page that loads nothing, and works without its script unless it is large.

Text from claims files is escaped everywhere, also characters that reorder or hide text. The page's content security
policy allows no script but ours.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from edgeai_repro.judge.formatting import format_number
from edgeai_repro.report import front_page, linear_share, text
from edgeai_repro.report.document import Document, PaperEntry, Roofline
from edgeai_repro.report.figures.claims import overview, sweeps
from edgeai_repro.report.figures.counted import counted
from edgeai_repro.report.figures.latency import latency
from edgeai_repro.report.figures.ranks import ranks
from edgeai_repro.report.figures.style import Plot
from edgeai_repro.report.figures.trends import trends
from edgeai_repro.report.plain import printable

BLOCK = 100  # claims of the papers that a large page unpacks together


@dataclass(frozen=True)
class _Figures:
    """The figures of a paper; None or empty if there is nothing to draw."""

    overview: Plot | None
    counted: Plot | None
    sweeps: Plot | None
    trends: Plot | None
    ranks: Plot | None
    latencies: list[tuple[Roofline, Plot]]

    @classmethod
    def of(cls, paper: PaperEntry) -> _Figures:
        latencies = [(roofline, latency(paper, roofline)) for roofline in paper.rooflines]
        return cls(
            overview=overview(paper),
            counted=counted(paper),
            sweeps=sweeps(paper),
            trends=trends(paper),
            ranks=ranks(paper),
            latencies=[(roofline, plot) for roofline, plot in latencies if plot],
        )

    @property
    def any(self) -> bool:
        """Whether there is at least one figure."""
        plots = (self.overview, self.counted, self.sweeps, self.trends, self.ranks)
        return any(plots) or bool(self.latencies)


def render(document: Document) -> str:
    """Return the document as an HTML page. The same document gives the same bytes.

    A large page has no figures. It holds its table and its papers compressed, and its script unpacks what the
    reader opens: they are the same rows and sections as on a small page.
    """
    environment, document = _environment(), front_page.published_papers_first(document)
    large = document.is_large
    script = environment.get_template("table.js.j2").render().strip()
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    page = environment.get_template("report.html.j2").render(
        document=document,
        environment=document.environment,
        title=_title(document),
        lead=front_page.lead(document),
        drifted=[(p, claim) for p in document.papers for claim in p.claims if text.drifted(claim)],
        figures={} if large else {paper.id: _Figures.of(paper) for paper in document.papers},
        large=large,
        blocks=_blocks(document.papers) if large else [],
        script=Markup(script),
        script_hash=f"sha256-{digest}",
    )
    return f"{page}\n"


def _blocks(papers: Iterable[PaperEntry]) -> list[list[PaperEntry]]:
    """Return consecutive papers in lists of about `BLOCK` claims."""
    blocks: list[list[PaperEntry]] = []
    claims = BLOCK
    for paper in papers:
        if claims >= BLOCK:
            blocks.append([])
            claims = 0
        blocks[-1].append(paper)
        claims += len(paper.claims)
    return blocks


def _pack(html: str) -> Markup:
    """Return HTML compressed, in base64."""
    return Markup(base64.b64encode(gzip.compress(html.encode(), mtime=0)).decode())


def _title(document: Document) -> str:
    """Return the title of the only paper, or the number of papers: each of several has its title further down."""
    titles = [paper.title for paper in document.papers]
    if not titles:
        return "No claim was judged"
    return titles[0] if len(titles) == 1 else f"{len(titles)} papers, claim by claim"


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("edgeai_repro.report"),
        autoescape=True,
        finalize=lambda value: printable(value) if type(value) is str else value,  # Markup is ours
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    environment.globals.update(
        front_page=front_page, linear_share=linear_share, text=text, format_number=format_number
    )
    environment.filters["pack"] = _pack
    environment.tests["link"] = lambda url: url.startswith(("https://", "http://"))  # never javascript:
    return environment
