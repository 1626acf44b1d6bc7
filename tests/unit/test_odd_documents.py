"""Results that parse but are odd are reported in every way, or refused in lines; nothing else is raised."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("jinja2", reason="the report's template engine isn't installed")
pytest.importorskip("matplotlib", reason="the report's plotting library isn't installed")

from edgeai_repro.claims.schema import Paper
from edgeai_repro.evidence.measurement import Curve, Measurement
from edgeai_repro.judge.formatting import unit_of_row
from edgeai_repro.report import document, files, html, markdown, terminal, text
from edgeai_repro.report.band_edges import BandEdges
from edgeai_repro.report.diff import compare
from edgeai_repro.report.document import ClaimEntry, DeviceResult, Document, ImplicationEntry
from tests.support import reports
from tests.support.commands import Command
from tests.support.factories import claim, claim_entry, judged, paper_entry, paper_yaml, row

Change = Callable[[ClaimEntry], dict[str, Any]]
RUN = reports.run(latency=(18.0, 19.0))
OPEN = BandEdges(low=None, high=None, side="both")
SHARES = {"metric": "linear_share_bytes", "technique": "dynamic_quantization"}


def every(change: Change) -> Document:
    """Return the run with changed fields of three claims: one with a choice, an artefact, and a latency."""
    three = [claim for claim in RUN.papers[0].claims if claim.id in ("swept-claim", "artefact-claim", "fast")]
    claims = [claim.model_copy(update=change(claim)) for claim in three]
    return of_paper(claims=claims, rooflines=[])  # whose figure takes most of the time


def rows(**fields: Any) -> Change:
    """Change these fields of all rows of a claim."""
    return lambda claim: {"rows": [measured.model_copy(update=fields) for measured in claim.rows]}


def values(low: float, high: float) -> Change:
    """Let all rows have this reported and actual interval."""
    odd = row((low, high), (low, high))
    return rows(reported=odd.reported, actual=odd.actual)


def of_paper(**fields: Any) -> Document:
    """Return the run, whose paper has other fields."""
    return RUN.model_copy(update={"papers": [RUN.papers[0].model_copy(update=fields)]})


def of_rooflines(**fields: Any) -> Document:
    """Return the run, whose rooflines have other fields."""
    rooflines = [roofline.model_copy(update=fields) for roofline in RUN.papers[0].rooflines]
    return of_paper(rooflines=rooflines)


def odd_latency(low: float, high: float) -> Document:
    """Return the run with this measured latency, also in the figure of the rooflines, and on a device."""
    run = every(values(low, high))
    claims = run.papers[0].claims
    on_device = DeviceResult(
        paper="paper", claim="fast", device="nobody's", technique="x", row=claims[-1].rows[0], accuracy=None
    )
    rooflines = [one.model_copy(update={"measured": [on_device]}) for one in RUN.papers[0].rooflines]
    return of_paper(claims=claims, rooflines=rooflines)


def many_rows(number: int) -> Document:
    """Return a run with so many rows of one claim."""
    measured = [row(10.0, 9.5, settings={"target": one / number}) for one in range(number)]
    entry = document.claim_entry(judged(claim(settings={"target": [0.5]}), [row(10.0, 9.5)]))
    entry = entry.model_copy(update={"rows": measured, "row": number - 1})
    paper = document.paper_entry(Paper.model_validate(paper_entry()), [entry], [])
    return Document(environment=reports.HERE, papers=[paper])


def twice() -> Document:
    """Return a run in which a paper, its claims and their rows occur twice."""
    run = every(lambda claim: {"rows": [*claim.rows, *claim.rows]})
    [paper] = run.papers
    return run.model_copy(update={"papers": [paper.model_copy(update={"claims": [*paper.claims] * 2})] * 2})


ODD: dict[str, Callable[[], Document]] = {
    "no paper": lambda: reports.run().model_copy(update={"papers": []}),
    "a paper without claims": lambda: of_paper(claims=[]),
    "claims without rows": lambda: every(lambda claim: {"rows": [], "row": None}),
    "rows of which none decides": lambda: every(lambda claim: {"row": None}),
    "rows without the notes of a plot": lambda: every(
        lambda claim: {**SHARES, **rows(notes={}, settings={})(claim)}
    ),
    "notes that are no numbers": lambda: every(
        lambda claim: {**SHARES, **rows(notes=dict.fromkeys(("share_of_linear", "bytes_saved"), "much"))(claim)}
    ),
    "a unit that nobody knows": lambda: every(lambda claim: {"unit": "furlongs²"}),
    "no unit": lambda: every(lambda claim: {"unit": ""}),
    "infinite bands": lambda: every(lambda claim: {"band": OPEN}),
    "bands without width": lambda: every(lambda claim: {"band": BandEdges(low=0.0, high=0.0, side="both")}),
    "empty texts": lambda: every(
        lambda claim: dict.fromkeys(("quote", "printed", "reason", "explanation", "source", "technique", "id"), "")
    ),
    "empty lists": lambda: every(lambda claim: {"models": [], "needs": [], "choices": None, "assumptions": []}),
    "a choice without values": lambda: every(
        lambda claim: {"choices": claim.choices and claim.choices.model_copy(update={"tried": (), "holding": ()})}
    ),
    "assumptions that nobody states": lambda: every(lambda claim: {"assumptions": ["x", "x"]}),
    "a curve without points": lambda: every(rows(curve=Curve(over="", unit="", points=[]))),
    "a curve of one point": lambda: every(rows(curve=Curve(over="sparsity", unit="MB", points=[(0.0, 0.0)]))),
    "values of zero": lambda: odd_latency(0.0, 0.0),
    "values below zero": lambda: every(values(-3.0, -2.0)),
    "the largest values": lambda: odd_latency(-1e100, 1e100),
    "the smallest values": lambda: every(values(5e-324, 5e-324)),
    "a paper's value of zero": lambda: every(lambda claim: {"paper_value": 0.0}),
    "rooflines of devices without a name": lambda: of_rooflines(devices={}),
    "rooflines without rows": lambda: of_rooflines(rows=[]),
    "rooflines of a claim that is not there": lambda: of_rooflines(claim="gone"),
    "a machine that is not there": lambda: every(lambda claim: {"environment": 7}),
    "implications of nothing": lambda: of_paper(
        claims=[], implications=[ImplicationEntry(id="", holds=True, text="")] * 2
    ),
    "everything twice": twice,
}
REPORTED = {**ODD, "10,000 rows": lambda: many_rows(10_000)}
TAKEN = {**ODD, "1,000 rows": lambda: many_rows(1_000)}


def _lines(error: str) -> None:
    """Fail unless an error output has lines for users only."""
    assert all(line.startswith("edgeai-repro: ") and len(line) < 400 for line in error.splitlines()), error


@pytest.mark.filterwarnings("default")  # matplotlib warns of scales without extent; no user sees a traceback
@pytest.mark.parametrize("name", REPORTED)
def test_odd_results_are_shown_in_every_report(name: str, tmp_path: Path) -> None:
    """On the terminal at two widths, and in both files; what was written and read again gives the same."""
    run = REPORTED[name]()
    document.write(run, tmp_path / "run.json")

    files.build(tmp_path / "run.json", tmp_path)

    for width in (60, 200):
        assert terminal.render(run, colour=True, width=width)
    assert compare(RUN, run).model_dump_json()
    assert (tmp_path / "report.md").read_text("utf-8").endswith(".\n")
    assert (tmp_path / "report.html").read_text("utf-8").endswith("</html>\n")


@pytest.mark.parametrize("render", [html.render, markdown.render])
def test_a_row_takes_no_more_work_among_many(
    render: Callable[[Document], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With four times as many rows, units are looked up at most four times as often."""
    looked_up: list[Measurement] = []

    def count(row: Measurement, unit: str) -> str:
        looked_up.append(row)
        return unit_of_row(row, unit)

    monkeypatch.setattr(text, "unit_of_row", count)
    totals = []
    for number in (20, 80):
        looked_up.clear()
        render(many_rows(number))
        totals.append(len(looked_up))

    assert 0 < totals[1] <= 4 * totals[0]


@pytest.mark.parametrize("name", TAKEN)
def test_odd_results_are_taken_by_every_command(name: str, tmp_path: Path, command: Command) -> None:
    """`diff`, `badge`, `merge`, `crate` and `reproduce` show them, or refuse them in lines."""
    odd, usual = tmp_path / "odd.json", tmp_path / "usual.json"
    document.write(TAKEN[name](), odd)
    document.write(reports.run(), usual)
    (tmp_path / "claims").mkdir()
    entry = claim_entry(
        id="artefact-claim", metric="params_reduction", conditions={"resolution": [32], "classes": [10]}
    )
    (tmp_path / "claims" / "paper.yaml").write_text(paper_yaml(entry), encoding="utf-8")
    outcomes = {
        "diff": command("diff", str(usual), str(odd)),
        "diff back": command("diff", str(odd), str(usual), "--json"),
        "badge": command("badge", str(odd)),
        "merge": command("merge", str(odd), str(usual), "-o", str(tmp_path / "all.json")),
        "crate": command("crate", str(odd), "-o", str(tmp_path / "crate")),
        "reproduce": command(
            "reproduce", "artefact-claim", f"--claims-dir={tmp_path / 'claims'}", f"--verdicts={odd}"
        ),
    }

    for way, (status, out, err) in outcomes.items():
        _lines(err)
        assert status in ((2,) if way == "merge" else (0, 1)), (way, err)
        assert out or way == "merge"
    assert json.loads(outcomes["badge"][1])["label"] == "claims"
    compile(outcomes["reproduce"][1], "script", "exec")


def test_planted_failure_is_seen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, command: Command) -> None:
    """A command that raises anything else fails the test above."""
    document.write(reports.run(), tmp_path / "run.json")
    monkeypatch.setattr("edgeai_repro.report.front_page.all_claims", lambda run: [][0])

    with pytest.raises(IndexError):
        command("badge", str(tmp_path / "run.json"))
