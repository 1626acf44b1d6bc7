"""Figures and tables of the documentation, from `docs/verdicts.json`: `python docs/build.py`. No torch.

A table stands between `<!-- table: NAME -->` and `<!-- end -->`; what is between them is replaced. After a run of
`pytest -m claims --claims-json docs/verdicts.json` this brings the pages up to date.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path

from markupsafe import escape

from edgeai_repro.evidence.measurement import Measurement
from edgeai_repro.networks.variants import display_name
from edgeai_repro.report import document, terminal, text
from edgeai_repro.report.document import ClaimEntry, PaperEntry
from edgeai_repro.report.figures.claims import counted as draw_counted
from edgeai_repro.report.figures.claims import overview as draw_overview
from edgeai_repro.report.figures.claims import sweeps as draw_sweeps
from edgeai_repro.report.figures.style import Plot

ROOT = Path(__file__).parents[1]
PAGES = ("README.md", "docs/verdicts.md", "docs/method.md", "docs/findings.md")
VERDICTS = ROOT / "docs" / "verdicts.json"
FIGURES = ROOT / "docs" / "figures"
PAPER, GENERALITY, CONVNEXT, EDGE = "francy2024", "generality", "liu2022", "edge"
COLUMNS, SENTENCES = 116, ("dq-params", "combined-size")
MARKED = re.compile(r"(<!-- table: ([a-z-]+) -->\n).*?(<!-- end -->)", re.DOTALL)
DRAWN_BY = f"matplotlib {version('matplotlib')}"
Papers = dict[str, PaperEntry]


def main() -> int:
    """Write what has changed, and name it."""
    for path, content in built().items():
        if not path.exists() or path.read_text(encoding="utf-8") != content:
            path.parent.mkdir(exist_ok=True)
            path.write_text(content, encoding="utf-8")
            print(path.relative_to(ROOT))
    return 0


def built() -> dict[Path, str]:
    """Return every page and figure as it must be. Raises UserError where the JSON is broken."""
    papers = {paper.id: paper for paper in document.read(VERDICTS).papers}
    drawn = {name: draw(papers[PAPER]) for name, draw in DRAWINGS.items()}
    figures = {FIGURES / f"{name}.svg": _standalone(plot) for name, plot in drawn.items() if plot}
    pages = {ROOT / page: _filled((ROOT / page).read_text(encoding="utf-8"), papers) for page in PAGES}
    return {**figures, **pages}


def _filled(page: str, papers: Papers) -> str:
    def table(found: re.Match[str]) -> str:
        return "\n".join([found[1].rstrip(), *TABLES[found[2]](papers), found[3]])

    return MARKED.sub(table, page)


def _standalone(plot: Plot) -> str:
    """Return a figure as a file: with its title, its description and a white background.

    It names the matplotlib that drew it, because another version may write the same drawing differently.
    """
    texts = f"<title>{escape(plot.title)}</title><desc>{escape(plot.description)}</desc>"
    style = "<style>svg{background:#fff}text{font-family:sans-serif!important}</style>"
    tag, rest = str(plot.svg).split(">", 1)
    return f"{tag}>{texts}{style}{rest}\n<!-- {DRAWN_BY} -->\n"


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(headings)} |"
    yield f"|:--|{'--:|' * (len(headings) - 1)}"
    yield from (f"| {' | '.join(row)} |" for row in rows)


def verdicts(papers: Papers, paper: str = PAPER) -> Iterator[str]:
    """Yield the table of a paper's verdicts."""
    headings = ("claim", "verdict", "paper", "reported", "actual", "band")
    yield from _table(
        headings,
        (
            (
                f"`{claim.id}`",
                f"{text.SIGNS[claim.verdict]} {text.humanize(claim.verdict)}",
                claim.printed,
                text.reported_value(claim) or "–",
                text.actual_value(claim) or "–",
                text.band_edges(claim),
            )
            for claim in papers[paper].claims
        ),
    )


def generality(papers: Papers) -> Iterator[str]:
    """Yield what dynamic quantization does to other networks, the one with the most nn.Linear last."""
    yield from _table(text.LINEAR_SHARE_HEADINGS, text.linear_share_table(papers[GENERALITY]))


def counted(papers: Papers) -> Iterator[str]:
    """Yield, model by model, what counters report after dynamic quantization, and what was removed."""
    parameters = _by_model(_claim(papers, PAPER, "dq-params"))
    macs, sizes = (_by_model(_claim(papers, PAPER, name)) for name in ("dq-macs", "dq-size"))
    headings = ("model", "parameters, reported", "removed", "MACs, reported", "removed", "bytes saved")
    yield from _table(
        headings,
        (
            (
                display_name(model),
                *_twice(row),
                *_twice(macs[model]),
                text.format_percent(sizes[model].reported.value),
            )
            for model, row in parameters.items()
        ),
    )


def targets(papers: Papers) -> Iterator[str]:
    """Yield what ConvNeXt-Small saves at each pruning target: by pruning, with int8, and as reported."""
    pruned, both, counted = (
        {
            float(row.settings["target"]): row
            for row in _claim(papers, PAPER, name).rows
            if row.model == "convnext_small"
        }
        for name in ("structured-size", "combined-size", "combined-params")
    )
    headings = ("target", "bytes, pruned", "bytes, pruned + int8", "parameters, reported", "removed")
    yield from _table(
        headings,
        (
            (
                f"{target:g}",
                text.format_percent(row.reported.value),
                text.format_percent(both[target].reported.value),
                *_twice(counted[target]),
            )
            for target, row in pruned.items()
        ),
    )


def reduced(papers: Papers) -> Iterator[str]:
    """Yield what was recorded of trained models at less than the paper's scale: shown, and not judged."""
    rows = (
        (f"`{claim.id}`", row.model, text.row_details(row), text.format_optional(row.reported, claim.unit))
        for claim in papers[PAPER].claims
        if "weights" in claim.needs
        for row in claim.rows
        if row.scale == "reduced"
    )
    yield from _table(("claim", "model", "training", "measured"), rows)


def edge(papers: Papers) -> Iterator[str]:
    """Yield how many times faster the deployed models were, and how a model was timed against itself."""
    rows = (
        (
            f"`{claim.id}`",
            row.model,
            f"{text.SIGNS[claim.verdict]} {text.humanize(claim.verdict)}",
            text.format_optional(row.reported, claim.unit),
            "–" if row.control is None else f"{row.control.low:.2f} … {row.control.high:.2f}",
        )
        for claim in papers[EDGE].claims
        for row in claim.rows
    )
    yield from _table(("claim", "model", "verdict", "times faster", "A/A control"), rows)


def printed(papers: Papers) -> Iterator[str]:
    """Yield what a terminal shows of the paper: the verdicts, and the sentences beside some."""
    paper = papers[PAPER]
    shown = document.read(VERDICTS).model_copy(update={"papers": [paper]})
    lines = [line.rstrip() for line in terminal.render(shown, colour=False, width=COLUMNS).splitlines()]
    names = tuple(f"{each.id}  " for each in (*paper.claims, *paper.implications))
    starts = [number for number, line in enumerate(lines) if line.startswith(names)] + [len(lines)]
    chosen = [
        line
        for start, end in pairwise(starts)
        if lines[start].startswith(tuple(f"{name}  " for name in SENTENCES))
        for line in lines[start:end]
    ]
    yield from ("```text", *lines[: starts[0]], "", *chosen, "…", "```")


TABLES: dict[str, Callable[[Papers], Iterator[str]]] = {
    "verdicts": verdicts,
    "convnext": lambda papers: verdicts(papers, CONVNEXT),
    "generality": generality,
    "counted": counted,
    "targets": targets,
    "reduced": reduced,
    "edge": edge,
    "printed": printed,
}
DRAWINGS: dict[str, Callable[[PaperEntry], Plot | None]] = {
    "overview": draw_overview,
    "counted": draw_counted,
    "sweeps": draw_sweeps,
}


def _claim(papers: Papers, paper: str, name: str) -> ClaimEntry:
    return next(claim for claim in papers[paper].claims if claim.id == name)


def _by_model(claim: ClaimEntry) -> dict[str, Measurement]:
    return {row.model: row for row in claim.rows}


def _twice(row: Measurement) -> tuple[str, str]:
    return text.format_percent(row.reported.value), text.format_percent(row.actual.value if row.actual else None)


if __name__ == "__main__":
    sys.exit(main())
