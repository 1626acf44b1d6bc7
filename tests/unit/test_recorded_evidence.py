"""The evidence that is kept in this repository, and the model that it speaks of."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from edgeai_repro.claims.registry import measured_on
from edgeai_repro.evidence.store import read_folder
from edgeai_repro.report import document
from edgeai_repro.session import Options, Session

ROOT = Path(__file__).parents[2]
EVIDENCE = ROOT / "evidence"
VERDICTS = EVIDENCE / "verdicts" / "verdicts.json"  # edgeai-repro rejudge --json=evidence/verdicts/verdicts.json
(MODEL,) = (EVIDENCE / "models").iterdir()


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


@pytest.mark.skipif("EDGEAI_DATA" not in os.environ, reason="EDGEAI_DATA names no folder with CIFAR-10")
def test_the_kept_model_answers_as_recorded() -> None:
    """The int8 model that a clone comes with gets the test images right that its record says, but for two."""
    from edgeai_repro.compress import saved_models
    from edgeai_repro.data.cifar import data_folder, load_split
    from edgeai_repro.measure.accuracy import evaluate

    saved = saved_models.read(MODEL)
    (record,) = (
        record
        for record in read_folder(EVIDENCE).values()
        if (record.recipe["model"], record.recipe["structured"], record.recipe["seed"], record.recipe["init"])
        == (saved.model, saved.settings["target"], saved.settings["seed"], "scratch")
    )

    graded = evaluate(saved_models.load(MODEL), load_split(data_folder(), "test"), resolution=saved.resolution)

    recorded = record.evaluation("combined", target=float(str(saved.settings["target"]))).bits()
    assert np.count_nonzero(graded.correct != recorded) <= 2
