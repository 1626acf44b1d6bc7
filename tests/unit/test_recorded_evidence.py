"""The evidence in this repository gives the recorded verdicts, and claims no reproduction at full scale."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgeai_repro.claims.registry import measured_on
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


def test_every_reference_run_is_at_reduced_scale(papers: list[PaperEntry]) -> None:
    """No verdict counts as a reproduction of the paper: all runs have smaller models or budgets."""
    claims = [claim for paper in papers for claim in paper.claims]
    rows = [row for claim in claims for row in claim.rows]

    assert rows
    assert {row.scale for row in rows} == {"reduced"}
    assert {claim.verdict for claim in claims} == {"not_testable"}
