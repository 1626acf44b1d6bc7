"""Claims of the paper, judged from planted records: full scale decides, reduced scale is only reported."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from edgeai_repro.claims.schema import ClaimCase
from edgeai_repro.evidence.measurement import Interval, Measured, Measurement
from edgeai_repro.evidence.training_record import TrainingRecord
from edgeai_repro.judge.verdict import Verdict
from edgeai_repro.options import Options
from edgeai_repro.report import document
from edgeai_repro.session import Session
from tests.support.full_scale_records import full_scale, full_scale_starts, full_scale_sweep
from tests.support.records import keep

CLAIMS = Path(__file__).parents[2] / "claims"
SIZE_CLAIMS = ("structured-size", "combined-size")  # attainable until the accuracy at their target is known
TARGETS_THAT_HOLD = (0.8, 0.85, 0.9)
REDUCED = [
    {"model": "convnext_atto"},
    {"model": "convnext_tiny"},
    {"epochs": 29},
    {"stem_stride": 2},
    {"init": "scratch"},
    {"init": "weights.safetensors"},
]


@pytest.fixture(autouse=True)
def no_data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither data nor trained models are here, so that only records count."""
    monkeypatch.delenv("EDGEAI_DATA", raising=False)
    monkeypatch.setenv("EDGEAI_MODELS", str(tmp_path / "none"))


@pytest.fixture
def evidence(tmp_path: Path) -> Path:
    """An evidence folder next to a copy of the claims; it does not exist yet."""
    shutil.copytree(CLAIMS, tmp_path / "claims")
    return tmp_path / "evidence"


class _PlantedSizes:
    """A source of sizes that lie in the band of a claim from the default target on, and outside below it."""

    def measure(self, case: ClaimCase) -> Measured:
        """Return one row per model and target of a claim that leaves the target open."""
        claim = case.claim
        assert claim.choice is not None
        rows = [
            Measurement(
                model=model,
                technique=claim.technique,
                settings={"target": target},
                reported=Interval.exact(claim.value if float(target) >= float(claim.choice.default) else 0.0),
            )
            for model in claim.models
            for target in claim.values_of("target")
        ]
        return Measured(tuple(rows))


def _judge(session: Session, name: str) -> Verdict:
    (case,) = (case for case in session.cases if case.id == f"francy2024/{name}")
    return session.judge(case)


def _judge_size(evidence: Path, name: str) -> tuple[Verdict, str | None]:
    """Return the verdict on a claim about size with planted sizes, and why it fails the run."""
    session = Session(evidence.parent / "claims")
    session.sources["compressed"] = _PlantedSizes()
    verdict = _judge(session, name)
    return verdict, session.failure_reason(verdict)


@pytest.mark.parametrize("name", SIZE_CLAIMS)
class TestSizeAtAnOpenTarget:
    """Some targets give the size of a claim; the accuracy at these targets decides it."""

    def test_size_without_evidence_is_attainable(self, evidence: Path, name: str) -> None:
        """The claims file expects that."""
        verdict, failure = _judge_size(evidence, name)

        assert verdict.verdict == "attainable"
        assert verdict.accuracy_rows == ()
        assert failure is None

    @pytest.mark.parametrize(
        ("compressed", "expected"),
        [(92.0, "reproduced"), (91.5, "reproduced"), (90.0, "contradicted"), (91.0, "attainable")],
    )
    def test_accuracy_at_full_scale_decides(
        self, evidence: Path, name: str, compressed: float, expected: str
    ) -> None:
        """A loss of 0.5 points maintains the accuracy; one of 2 points does not; one of 1 point decides nothing."""
        for target in TARGETS_THAT_HOLD:
            keep(evidence, **full_scale(92.0, compressed, target))

        verdict, failure = _judge_size(evidence, name)

        assert verdict.verdict == expected, verdict.reason
        assert (failure is None) == (expected == "attainable")

    def test_accuracy_at_a_target_that_misses_the_size_decides_nothing(self, evidence: Path, name: str) -> None:
        """The accuracy must be maintained at a target that gives the size."""
        keep(evidence, **full_scale(92.0, 92.0, 0.5))

        assert _judge_size(evidence, name)[0].verdict == "attainable"

    def test_accuracy_lost_at_one_target_does_not_contradict(self, evidence: Path, name: str) -> None:
        """It may be maintained at another target that gives the size."""
        keep(evidence, **full_scale(92.0, 80.0, 0.9))

        assert _judge_size(evidence, name)[0].verdict == "attainable"

    @pytest.mark.parametrize("reduced", REDUCED, ids=lambda reduced: "-".join(map(str, *reduced.items())))
    @pytest.mark.parametrize("compressed", [92.0, 80.0])
    def test_accuracy_at_reduced_scale_is_only_reported(
        self, evidence: Path, name: str, reduced: dict[str, Any], compressed: float
    ) -> None:
        """A smaller model or budget, another stem or another start changes no verdict."""
        for target in TARGETS_THAT_HOLD:
            keep(evidence, **full_scale(92.0, compressed, target, **reduced))

        verdict, failure = _judge_size(evidence, name)

        assert verdict.verdict == "attainable"
        assert failure is None
        assert [row.scale for row in verdict.accuracy_rows] == ["reduced"] * 3
        assert f"at reduced scale {compressed - 92.0:.0f} points" in verdict.reason

    def test_document_separates_accuracy_from_sizes(self, evidence: Path, name: str) -> None:
        """Accuracy is in points and sizes are in percent; the row that decides is a size."""
        keep(evidence, **full_scale(92.0, 91.5))
        verdict, _ = _judge_size(evidence, name)

        entry = document.claim_entry(verdict)

        assert {tuple(row.details) for row in entry.rows} == {("target",)}
        assert [row.evidence for row in entry.accuracy_rows] == ["dense, target-0.8"]
        assert entry.row is not None
        assert entry.rows[entry.row].settings == {"target": 0.8}
        assert entry.flip_margin is not None
        assert entry.flip_margin.of == "value"


PLANTED: list[tuple[str, dict[str, TrainingRecord], str]] = [
    ("combined-accuracy", full_scale(89.5, 93.05), "reproduced"),
    ("combined-accuracy", full_scale(92.5, 92.0), "contradicted"),
    ("combined-accuracy", full_scale(80.0, 92.5), "contradicted"),
    ("combined-accuracy", full_scale(60.0, 63.8), "attainable"),
    ("maintained-accuracy", full_scale(92.5, 92.0), "reproduced"),
    ("maintained-accuracy", full_scale(92.5, 90.0), "contradicted"),
    ("unstructured-accuracy", full_scale_sweep(92, 91, 90, 89, 87, 80, 60, 30, 10), "reproduced"),
    ("unstructured-accuracy", full_scale_sweep(92, 90, 92, 90, 92, 90, 92, 90, 92), "contradicted"),
    ("finetuned-better", full_scale_starts(88.0, 92.0), "reproduced"),
    ("finetuned-better", full_scale_starts(92.0, 88.0), "contradicted"),
]
# The verdicts on single rows, by the verdict on all of them.
VERDICTS_OF_ROWS = {
    "reproduced": ["reproduced"],
    "contradicted": ["contradicted"],
    "attainable": ["reproduced", "contradicted"],
}


class TestAccuracyClaims:
    """Accuracy claims, with records planted on each side of their bands."""

    @pytest.mark.parametrize(("name", "records", "expected"), PLANTED)
    def test_full_scale_decides(
        self, evidence: Path, name: str, records: dict[str, TrainingRecord], expected: str
    ) -> None:
        """A verdict other than the expected one fails the run."""
        session = Session(keep(evidence, **records).parent / "claims", Options(recorded_only=True))

        verdict = _judge(session, name)

        assert verdict.verdict == expected, verdict.reason
        assert (session.failure_reason(verdict) is None) == (expected == verdict.claim.expect.verdict)

    @pytest.mark.parametrize(("name", "records", "expected"), PLANTED)
    def test_session_without_data_judges_as_one_from_records_only(
        self, evidence: Path, name: str, records: dict[str, TrainingRecord], expected: str
    ) -> None:
        """The rows are the same, too."""
        folder = keep(evidence, **records).parent / "claims"

        verdict = _judge(Session(folder), name)

        assert verdict == _judge(Session(folder, Options(recorded_only=True)), name)
        assert verdict.verdict == expected

    @pytest.mark.parametrize(("name", "records", "expected"), PLANTED)
    @pytest.mark.parametrize("reduced", [{"model": "convnext_atto"}, {"epochs": 29}, {"stem_stride": 2}])
    def test_reduced_scale_decides_nothing(
        self,
        evidence: Path,
        name: str,
        records: dict[str, TrainingRecord],
        expected: str,
        reduced: dict[str, Any],
    ) -> None:
        """It is no drift. The reason reports the verdict that each row would give."""
        at_reduced_scale = {
            run: training_record.model_copy(update={"recipe": {**training_record.recipe, **reduced}})
            for run, training_record in records.items()
        }
        folder = keep(evidence, **at_reduced_scale).parent / "claims"
        session = Session(folder, Options(recorded_only=True))

        verdict = _judge(session, name)

        assert (verdict.verdict, verdict.row, verdict.flip_margin) == ("not_testable", None, None)
        assert session.failure_reason(verdict) is None
        assert {row.scale for row in verdict.rows} == {"reduced"}
        assert all(f"would be {word}" in verdict.reason for word in VERDICTS_OF_ROWS[expected])

    def test_reduced_scale_is_shown_next_to_full_scale(self, evidence: Path) -> None:
        """It does not change the verdict, though its accuracy is lost."""
        reduced = {f"small-{name}": run for name, run in full_scale(92.0, 60.0, epochs=1).items()}
        folder = keep(evidence, **full_scale(92.5, 92.0), **reduced).parent / "claims"

        verdict = _judge(Session(folder, Options(recorded_only=True)), "maintained-accuracy")

        assert verdict.verdict == "reproduced"
        assert [row.scale for row in verdict.rows] == ["full", "reduced"]
