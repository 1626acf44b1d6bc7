"""The evidence in this repository gives the recorded verdicts, and claims no reproduction at full scale."""

from __future__ import annotations

from pathlib import Path

from edgeai_repro.report import document
from edgeai_repro.session import Session

ROOT = Path(__file__).parents[2]
# Written by `edgeai-repro rejudge --json=evidence/verdicts/verdicts.json`
VERDICTS = ROOT / "evidence" / "verdicts" / "verdicts.json"


def test_the_evidence_gives_the_recorded_verdicts() -> None:
    """Judging the evidence again, without torch and without data, gives every recorded verdict and row."""
    run = Session.prepare(ROOT / "claims")

    run.rejudge()

    recorded = {paper.id: paper for paper in document.read(VERDICTS).papers}
    for paper in run.document().papers:
        assert recorded[paper.id].claims == paper.claims, "write it again with `edgeai-repro rejudge`"


def test_every_reference_run_is_at_reduced_scale() -> None:
    """No verdict counts as a reproduction of the paper: all runs have smaller models or budgets."""
    run = Session.prepare(ROOT / "claims")

    run.rejudge()

    rows = [row for verdict in run.verdicts.values() for row in verdict.rows]
    assert rows
    assert {row.scale for row in rows} == {"reduced"}
    assert {verdict.verdict for verdict in run.verdicts.values()} == {"not_testable"}
