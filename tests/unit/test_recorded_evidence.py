"""The evidence in this repository gives the recorded verdicts, and claims no reproduction at full scale."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from edgeai_repro.claims.registry import measured_on
from edgeai_repro.evidence.store import read_folder
from edgeai_repro.options import Options
from edgeai_repro.report import document
from edgeai_repro.report.document import PaperEntry
from edgeai_repro.report.results import Results
from edgeai_repro.session import Session

ROOT = Path(__file__).parents[2]
# Written by `edgeai-repro rejudge --json=evidence/verdicts/verdicts.json`
VERDICTS = ROOT / "evidence" / "verdicts" / "verdicts.json"


@pytest.fixture(scope="module")
def papers() -> list[PaperEntry]:
    """Every claim on trained models, judged from the evidence, without torch and without data."""
    session, results = Session(ROOT / "claims", Options(recorded_only=True)), Results()
    for case in session.cases:
        if measured_on(case.claim) == "trained":
            results.add(session.result(case, session.judge(case)))
    return session.document(results).papers


def test_evidence_gives_the_recorded_verdicts(papers: list[PaperEntry]) -> None:
    """Every verdict and every row is the recorded one."""
    recorded = {paper.id: paper for paper in document.read(VERDICTS).papers}

    assert papers
    for paper in papers:
        assert recorded[paper.id].claims == paper.claims, "write it again with `edgeai-repro rejudge`"


def test_runs_of_smaller_models_or_budgets_decide_nothing(papers: list[PaperEntry]) -> None:
    """A claim is decided only if a run of the paper's network supports it; one is so far."""
    claims = {f"{paper.id}/{claim.id}": claim for paper in papers for claim in paper.claims}
    decided = {name: claim for name, claim in claims.items() if claim.verdict != "not_testable"}

    assert list(decided) == ["li2017/resnet56-a-error"]
    for name, claim in claims.items():
        assert claim.rows or name.startswith("li2017/"), name
        assert {row.scale for row in claim.rows} <= ({"full"} if name in decided else {"reduced"}), name


def test_the_folders_page_has_each_record_and_its_accuracies() -> None:
    """A row shows top-1 accuracies of its record, rounded, in the record's order, which is that of the columns."""
    page = (ROOT / "evidence" / "README.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `([\w.-]+)` \|(.*)$", page, re.MULTILINE))
    records = read_folder(ROOT / "evidence")

    assert rows.keys() == records.keys()
    for name, record in records.items():
        recorded = [f"{evaluation.top1:.2f} %" for evaluation in record.evaluations]
        shown = re.findall(r"[\d.]+ %(?= \|)", rows[name])
        remaining = iter(recorded)
        assert all(accuracy in remaining for accuracy in shown), name
        assert shown or not recorded, name
