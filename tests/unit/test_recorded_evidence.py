"""The evidence that is kept in this repository, and the model that it speaks of."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from edgeai_repro.evidence.store import read_folder
from edgeai_repro.report import document
from edgeai_repro.session import Session

ROOT = Path(__file__).parents[2]
EVIDENCE = ROOT / "evidence"
VERDICTS = EVIDENCE / "verdicts" / "verdicts.json"  # edgeai-repro rejudge --json=evidence/verdicts/verdicts.json
(MODEL,) = (EVIDENCE / "models").iterdir()


def test_the_evidence_gives_the_recorded_verdicts() -> None:
    """Judged again without torch and without data, every verdict and every row is as it was recorded."""
    run = Session.prepare(ROOT / "claims")

    run.rejudge()

    recorded = {paper.id: paper for paper in document.read(VERDICTS).papers}
    for paper in run.document().papers:
        assert recorded[paper.id].claims == paper.claims, "write it anew by `edgeai-repro rejudge`"


def test_every_reference_run_is_at_reduced_scale() -> None:
    """No verdict counts as the paper's reproduction: all runs are of smaller models or budgets."""
    run = Session.prepare(ROOT / "claims")

    run.rejudge()

    rows = [row for verdict in run.verdicts.values() for row in verdict.rows]
    assert rows
    assert {row.scale for row in rows} == {"reduced"}
    assert {verdict.verdict for verdict in run.verdicts.values()} == {"not_testable"}


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
