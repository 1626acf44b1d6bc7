"""Builds the figures and tables of the documentation from `docs/verdicts.json`: `python docs/build.py`. No torch.

A table stands between `<!-- table: NAME -->` and `<!-- end -->`; the text between these marks is replaced.
Run it after `pytest -m claims --claims-json=docs/verdicts.json`.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from xml.sax.saxutils import escape

from edgeai_repro.evidence.measurement import Measurement
from edgeai_repro.judge.formatting import format_interval
from edgeai_repro.networks.variants import display_name
from edgeai_repro.report import document, text
from edgeai_repro.report.document import ClaimEntry, PaperEntry
from edgeai_repro.report.figures import claims as figures
from edgeai_repro.report.figures.style import Plot

ROOT = Path(__file__).parents[1]
PAGES = ("README.md", "docs/findings.md")
VERDICTS = ROOT / "docs" / "verdicts.json"
FIGURES = ROOT / "docs" / "figures"
PAPER, GENERALITY, CONVNEXT, EDGE = "francy2024", "generality", "liu2022", "edge"
FINDING = "dq-params"  # the claim on the first screen of the README
MARKED = re.compile(r"(<!-- table: ([a-z-]+) -->\n).*?(<!-- end -->)", re.DOTALL)
DRAWN_BY = f"matplotlib {version('matplotlib')}"
Papers = dict[str, PaperEntry]
Lines = Iterator[str]


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
    papers = {paper.id: paper for paper in document.read(VERDICTS).papers}
    plots = {name: draw(papers[PAPER]) for name, draw in DRAWINGS.items()}
    drawings = {FIGURES / f"{name}.svg": _standalone(plot) for name, plot in plots.items() if plot}
    pages = {ROOT / page: _fill((ROOT / page).read_text(encoding="utf-8"), papers) for page in PAGES}
    return {**drawings, **pages}


def _fill(page: str, papers: Papers) -> str:
    """Return a page with the text between its marks replaced by the current tables."""

    def table(mark: re.Match[str]) -> str:
        return "\n".join([mark[1].rstrip(), *TABLES[mark[2]](papers), mark[3]])

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


def finding(papers: Papers) -> Lines:
    """Yield one claim: the paper's number, the reported and the actual value, and the verdict."""
    claim = _claim(papers, PAPER, FINDING)
    headings = ("the paper", "reported by `parameters()`", "actually removed", "verdict")
    row = (claim.printed, text.reported_value(claim), text.actual_value(claim), f"**{claim.verdict}**")
    yield from _table(headings, [row])


def summary(papers: Papers) -> Lines:
    """Yield the claims of the first paper that were decided, and a sentence that names the others."""
    claims = papers[PAPER].claims
    decided = [claim for claim in claims if claim.row is not None]
    yield from _table(
        ("claim", "paper", "reported", "actual", "verdict"),
        ((*_values(claim), _verdict(claim)) for claim in decided),
    )
    others = [f"`{claim.id}`" for claim in claims if claim not in decided]
    if others:
        yield ""
        yield f"The other {len(others)} need trained weights or an edge device: {', '.join(others)}."


def verdicts(papers: Papers, paper: str = PAPER) -> Lines:
    """Yield all claims of a paper with their verdicts and bands."""
    yield from _table(
        ("claim", "paper", "reported", "actual", "band", "verdict"),
        ((*_values(claim), text.band_edges(claim), _verdict(claim)) for claim in papers[paper].claims),
    )


def generality(papers: Papers) -> Lines:
    """Yield the effect of dynamic quantization on other networks, sorted by their share of nn.Linear."""
    yield from _table(text.LINEAR_SHARE_HEADINGS, text.linear_share_table(papers[GENERALITY]))


def counted(papers: Papers) -> Lines:
    """Yield, per model, what counters report after dynamic quantization, and what was actually removed."""
    parameters, macs, sizes = (
        {row.model: row for row in _claim(papers, PAPER, name).rows} for name in ("dq-params", "dq-macs", "dq-size")
    )
    yield from _table(
        ("model", "parameters, reported", "removed", "MACs, reported", "removed", "bytes saved"),
        (
            (display_name(model), *_pair(row), *_pair(macs[model]), _pair(sizes[model])[0])
            for model, row in parameters.items()
        ),
    )


def targets(papers: Papers) -> Lines:
    """Yield what ConvNeXt-Small saves at each pruning target, without and with int8."""
    pruned, combined, parameters = (
        {
            float(row.settings["target"]): row
            for row in _claim(papers, PAPER, name).rows
            if row.model == "convnext_small"
        }
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


def reduced(papers: Papers) -> Lines:
    """Yield the recorded results at less than the paper's scale, which are shown and not judged."""
    rows = (
        (f"`{claim.id}`", row.model, text.row_details(row), format_interval(row.reported, claim.unit))
        for claim in papers[PAPER].claims
        if "weights" in claim.needs
        for row in claim.rows
        if row.scale == "reduced"
    )
    yield from _table(("claim", "model", "training", "measured"), rows)


def edge(papers: Papers) -> Lines:
    """Yield the speed-ups of deployed models, each with the interval of its A/A control."""
    rows = (
        (
            f"`{claim.id}`",
            row.model,
            format_interval(row.reported, claim.unit),
            "–" if row.control is None else f"{row.control.low:.2f} … {row.control.high:.2f}",
            _verdict(claim),
        )
        for claim in papers[EDGE].claims
        for row in claim.rows
    )
    yield from _table(("claim", "model", "times faster", "A/A control", "verdict"), rows)


TABLES: dict[str, Callable[[Papers], Lines]] = {
    "finding": finding,
    "summary": summary,
    "verdicts": verdicts,
    "convnext": lambda papers: verdicts(papers, CONVNEXT),
    "generality": generality,
    "counted": counted,
    "targets": targets,
    "reduced": reduced,
    "edge": edge,
}
DRAWINGS: dict[str, Callable[[PaperEntry], Plot | None]] = {
    "overview": figures.overview,
    "counted": figures.counted,
    "sweeps": figures.sweeps,
}


def _claim(papers: Papers, paper: str, claim_id: str) -> ClaimEntry:
    return next(claim for claim in papers[paper].claims if claim.id == claim_id)


def _values(claim: ClaimEntry) -> tuple[str, str, str, str]:
    return f"`{claim.id}`", claim.printed, text.reported_value(claim) or "–", text.actual_value(claim) or "–"


def _verdict(claim: ClaimEntry) -> str:
    return f"{text.SIGNS[claim.verdict]} {text.humanize(claim.verdict)}"


def _pair(row: Measurement) -> tuple[str, str]:
    """Return the reported and the actual percentage of a row."""
    return text.format_percent(row.reported.value), text.format_percent(row.actual.value if row.actual else None)


if __name__ == "__main__":
    sys.exit(main())
