"""Builds the figures, tables and pages of the documentation from `docs/verdicts.json`: `python docs/build.py`.

A table stands between `<!-- table: NAME -->` and `<!-- end -->`; the text between these marks is replaced. The page
of a paper, `docs/findings/ID.md`, is made from a template if it is missing; what is written by hand outside of the
marks stays. Run it after `pytest -m claims --claims-json=docs/verdicts.json`. No torch.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TypeVar
from xml.sax.saxutils import escape

from edgeai_repro.evidence.measurement import Measurement
from edgeai_repro.judge.formatting import duration, format_interval
from edgeai_repro.networks.variants import display_name
from edgeai_repro.report import document, front_page, linear_share, text
from edgeai_repro.report.document import ClaimEntry, Document, PaperEntry
from edgeai_repro.report.figures.claims import overview, sweeps
from edgeai_repro.report.figures.counted import counted as by_model
from edgeai_repro.report.figures.counters import by_counter
from edgeai_repro.report.figures.ranks import ranks
from edgeai_repro.report.figures.style import Plot

ROOT = Path(__file__).parents[1]
VERDICTS = ROOT / "docs" / "verdicts.json"
FIGURES = ROOT / "docs" / "figures"
FINDINGS = ROOT / "docs" / "findings"
FRONT_PAGES = {ROOT / "README.md": "docs/findings/", FINDINGS / "README.md": ""}  # the way to the papers' pages
MARKED = re.compile(r"(<!-- table: ([a-z-]+) -->\n).*?(<!-- end -->)", re.DOTALL)
DRAWN_BY = f"matplotlib {version('matplotlib')}"
TEMPLATE = """\
# {title}

<!-- table: byline -->
<!-- end -->

<!-- table: verdicts -->
<!-- end -->

<!-- table: figures -->
<!-- end -->

## Claim by claim

<!-- table: reasons -->
<!-- end -->

[All papers](README.md) · [Reading a verdict](../verdicts.md) · [The method](../method.md)
"""
Lines = Iterator[str]
T = TypeVar("T", Document, PaperEntry)


def main() -> int:
    """Write the pages and figures that have changed, and print their names."""
    for path, content in built().items():
        if not path.exists() or path.read_text(encoding="utf-8") != content:
            path.parent.mkdir(exist_ok=True)
            path.write_text(content, encoding="utf-8")
            print(path.relative_to(ROOT))
    return 0


def built() -> dict[Path, str]:
    """Return the content of every page and figure. Raises UserError if the JSON is broken."""
    run = front_page.published_papers_first(document.read(VERDICTS))
    content = {}
    for path, folder in FRONT_PAGES.items():
        by_folder = {"papers": partial(papers, folder=folder), "surprises": partial(surprises, folder=folder)}
        tables = {**by_folder, "cost": cost, "savings": savings}
        content[path] = _fill(path.read_text(encoding="utf-8"), run, tables)
    for paper in run.papers:
        plots = {f"{paper.id}-{name}": plot for name, draw in DRAWINGS.items() if (plot := draw(paper))}
        content |= {FIGURES / f"{name}.svg": _standalone(plot) for name, plot in plots.items()}
        content[FINDINGS / f"{paper.id}.md"] = _page(paper, plots)
    return content


def _page(paper: PaperEntry, plots: Mapping[str, Plot]) -> str:
    """Return the page of a paper: the one that exists, or the template, with its tables filled."""

    def figures(paper: PaperEntry) -> Lines:
        yield from (f"![{plot.title}](../figures/{name}.svg)\n" for name, plot in plots.items())

    path = FINDINGS / f"{paper.id}.md"
    page = path.read_text(encoding="utf-8") if path.exists() else TEMPLATE.format(title=paper.title)
    return _fill(page, paper, {**PAPER_TABLES, "figures": figures})


def _fill(page: str, source: T, tables: Mapping[str, Callable[[T], Lines]]) -> str:
    """Return a page with the text between its marks replaced by the current tables."""

    def table(mark: re.Match[str]) -> str:
        return "\n".join([mark[1].rstrip(), *tables[mark[2]](source), mark[3]])

    return MARKED.sub(table, page)


def _standalone(plot: Plot) -> str:
    """Return a figure as a file of its own, on white and with its description for screen readers.

    The file names the version of matplotlib, because another version may write the same drawing differently.
    """
    title = f"<title>{escape(plot.title)}</title><desc>{escape(plot.description)}</desc>"
    svg = str(plot.svg).replace("'DejaVu Sans'", "'DejaVu Sans', sans-serif")  # a reader may not have the font
    tag, content = svg.split(">", 1)
    return f'{tag} style="background:#fff">{title}{content}\n<!-- {DRAWN_BY} -->\n'


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> Lines:
    yield f"| {' | '.join(headings)} |"
    yield f"|:--|{'--:|' * (len(headings) - 1)}"
    yield from (f"| {' | '.join(row)} |" for row in rows)


def papers(run: Document, folder: str) -> Lines:
    """Yield the number of claims of each paper by verdict, with a link to its page in `folder`."""
    rows = (
        (
            f"[{line.label}]({folder}{line.paper.id}.md)" if line.paper else line.label,
            *(str(n or "") for n in line.counts),
        )
        for line in front_page.lines(run)
    )
    yield f"{front_page.headline(front_page.all_claims(run))}\n"
    yield from _table(("paper", *front_page.HEADINGS), rows)


def surprises(run: Document, folder: str) -> Lines:
    """Yield the claims that are farthest off, each a sentence with a link to its paragraph in `folder`."""
    for surprise in front_page.surprises(run):
        paper, claim = surprise.paper, surprise.claim
        link = f"[{front_page.citation(paper)}]({folder}{paper.id}.md#{claim.id})"
        said = text.explanation(claim)
        yield f"- {text.SIGNS[claim.verdict]} **{claim.verdict}**: {link}: “{surprise.quote}”: {said}"


def cost(run: Document) -> Lines:
    """Yield what the run of all claims took, on which machine; a merged or older document doesn't say it."""
    made, machine = run.run, run.environment
    if made is None or made.seconds is None or made.peak_memory is None:
        yield "All claims take some minutes and several GB of memory."
        return
    took = f"{duration(made.seconds)} and {made.peak_memory / 1e9:.1f} GB of memory"
    yield f"In the run that is kept here, all claims took {took}, on {machine.cores} cores ({machine.cpu})."


def savings(run: Document) -> Lines:
    """Yield what pruning and int8 save in the network that a bundle is built of by default."""
    entry = next(paper for paper in run.papers if paper.id == "francy2024")
    claim = _claim(entry, "combined-size")
    (row,) = (row for row in claim.rows if (row.model, row.settings["target"]) == ("convnext_small", 0.8))
    saved = format_interval(row.reported, claim.unit)
    yield f"- **Size.** Pruned to 0.8 and in int8, {display_name(row.model)} saves {saved} of its bytes."
    yield "  In a bundle it is a graph (`pruned-int8.onnx`) and a file with its weights."
    yield "  `make bench` shows the memory of a process that loads it and classifies one image."
    yield "  `bundle --with-test-split` adds CIFAR-10's test images, which claims about accuracy need."


def byline(paper: PaperEntry) -> Lines:
    """Yield the authors, the year and the address of a paper, and how many of its claims have which verdict."""
    year = f", {paper.year}" if paper.year else ""
    yield f"{paper.authors}{year}{f' · <{paper.url}>' if paper.url else ''}"
    yield ""
    yield front_page.headline(paper.claims)


def verdicts(paper: PaperEntry) -> Lines:
    """Yield all claims of a paper with their verdicts and bands."""
    yield from _table(
        ("claim", "paper", "reported", "actual", "band", "verdict"),
        ((*_values(claim), text.band_edges(claim), _verdict(claim)) for claim in paper.claims),
    )


def reasons(paper: PaperEntry) -> Lines:
    """Yield a paragraph on each claim: what it says, where, and why it has its verdict."""
    for claim in paper.claims:
        place = f"{claim.source}, {claim.locator}" if claim.locator else claim.source
        yield f"### {claim.id}\n"
        yield f"> {claim.quote} ({place})\n"
        yield f"{_verdict(claim)}: {text.explanation(claim)}\n"


def networks(paper: PaperEntry) -> Lines:
    """Yield the effect of dynamic quantization on other networks, sorted by their share of nn.Linear."""
    yield from _table(linear_share.HEADINGS, linear_share.table(paper))


def counted(paper: PaperEntry) -> Lines:
    """Yield, per model, what counters report after dynamic quantization, and what was actually removed."""
    parameters, macs, sizes = (
        {row.model: row for row in _claim(paper, name).rows} for name in ("dq-params", "dq-macs", "dq-size")
    )
    yield from _table(
        ("model", "parameters, reported", "removed", "MACs, reported", "removed", "bytes saved"),
        (
            (display_name(model), *_pair(row), *_pair(macs[model]), _pair(sizes[model])[0])
            for model, row in parameters.items()
        ),
    )


def targets(paper: PaperEntry) -> Lines:
    """Yield what ConvNeXt-Small saves at each pruning target, without and with int8."""
    pruned, combined, parameters = (
        {float(row.settings["target"]): row for row in _claim(paper, name).rows if row.model == "convnext_small"}
        for name in ("structured-size", "combined-size", "combined-params")
    )
    yield from _table(
        ("target", "bytes, pruned", "bytes, pruned + int8", "parameters, reported", "removed"),
        (
            (
                f"{target:g}",
                _pair(row)[0],
                _pair(combined[target])[0],
                *_pair(parameters[target]),
            )
            for target, row in pruned.items()
        ),
    )


def reduced(paper: PaperEntry) -> Lines:
    """Yield the recorded results at less than the paper's scale, which are shown and not judged."""
    rows = (
        (f"`{claim.id}`", row.model, text.row_details(row), format_interval(row.reported, claim.unit))
        for claim in paper.claims
        if "weights" in claim.needs
        for row in claim.rows
        if row.scale == "reduced"
    )
    yield from _table(("claim", "model", "training", "measured"), rows)


def ratios(paper: PaperEntry) -> Lines:
    """Yield the speed-ups of deployed models, each with the interval of its A/A control."""
    rows = (
        (
            f"`{claim.id}`",
            row.model,
            format_interval(row.reported, claim.unit),
            "–" if row.control is None else f"{row.control.low:.2f} … {row.control.high:.2f}",
            _verdict(claim),
        )
        for claim in paper.claims
        for row in claim.rows
    )
    yield from _table(("claim", "model", "times faster", "A/A control", "verdict"), rows)


def counters(paper: PaperEntry) -> Lines:
    """Yield what each counter reports: the MACs that quantization removes, and those of a transformer."""
    reported: dict[str, dict[str, str]] = {}
    actual: dict[str, str] = {}
    for claim in paper.claims:
        for row in claim.rows:
            name = str(row.conditions["counter"])
            reported.setdefault(name, {})[claim.metric] = format_interval(row.reported, claim.unit)
            actual[claim.metric] = format_interval(row.actual, claim.unit) if row.actual else "–"
    yield from _table(
        ("counter", "removed from ConvNeXt-Small", "MACs of ViT-B/16"),
        (
            (name, values.get("macs_reduction", "–"), values.get("macs", "–"))
            for name, values in {**reported, "**actual**": actual}.items()
        ),
    )


PAPER_TABLES: dict[str, Callable[[PaperEntry], Lines]] = {
    "byline": byline,
    "verdicts": verdicts,
    "reasons": reasons,
    "networks": networks,
    "counted": counted,
    "targets": targets,
    "reduced": reduced,
    "ratios": ratios,
    "counters": counters,
}
DRAWINGS: dict[str, Callable[[PaperEntry], Plot | None]] = {
    "overview": overview,
    "counted": by_model,
    "sweeps": sweeps,
    "counters": by_counter,
    "ranks": ranks,
}


def _claim(paper: PaperEntry, claim_id: str) -> ClaimEntry:
    return next(claim for claim in paper.claims if claim.id == claim_id)


def _values(claim: ClaimEntry) -> tuple[str, str, str, str]:
    return f"`{claim.id}`", claim.printed, text.reported_value(claim) or "–", text.actual_value(claim) or "–"


def _verdict(claim: ClaimEntry) -> str:
    return f"{text.SIGNS[claim.verdict]} {text.humanize(claim.verdict)}"


def _pair(row: Measurement) -> tuple[str, str]:
    """Return the reported and the actual percentage of a row."""
    return linear_share.percent(row.reported.value), linear_share.percent(row.actual.value if row.actual else None)


if __name__ == "__main__":
    sys.exit(main())
