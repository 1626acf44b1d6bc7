"""The evidence in this repository gives the recorded verdicts, and claims no reproduction at full scale."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgeai_repro.claims.registry import measured_on
from edgeai_repro.report import document
from edgeai_repro.session import Options, Session

ROOT = Path(__file__).parents[2]
# Written by `edgeai-repro rejudge --json=evidence/verdicts/verdicts.json`
VERDICTS = ROOT / "evidence" / "verdicts" / "verdicts.json"


@pytest.fixture(scope="module")
def session() -> Session:
    """A session that judged every claim on trained models from the evidence, without torch and without data."""
    session = Session(ROOT / "claims", Options(recorded_only=True))
    for case in session.cases:
        if measured_on(case.claim) == "trained":
            session.judge(case)
    return session


def test_evidence_gives_the_recorded_verdicts(session: Session) -> None:
    """Every verdict and every row is the recorded one."""
    recorded = {paper.id: paper for paper in document.read(VERDICTS).papers}
    papers = session.document().papers

    assert papers
    for paper in papers:
        assert recorded[paper.id].claims == paper.claims, "write it again with `edgeai-repro rejudge`"


def test_every_reference_run_is_at_reduced_scale(session: Session) -> None:
    """No verdict counts as a reproduction of the paper: all runs have smaller models or budgets."""
    verdicts = session.results.verdicts.values()
    rows = [row for verdict in verdicts for row in verdict.rows]

    assert rows
    assert {row.scale for row in rows} == {"reduced"}
    assert {verdict.verdict for verdict in verdicts} == {"not_testable"}
