"""Recorded evidence is shown planted wrong values: what was altered is noticed, and what is too small never counts.

The claims are those of the claims folder; what a lab would measure is planted beside the records.
"""

from __future__ import annotations

import base64
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeai_repro.claims.schema import Claim
from edgeai_repro.errors import UserError
from edgeai_repro.evidence.measurement import Interval, Measurement
from edgeai_repro.evidence.store import SUMS, add_training_record
from edgeai_repro.evidence.training_record import TrainingRecord
from edgeai_repro.files import sha256
from edgeai_repro.report import document
from edgeai_repro.session import Session
from edgeai_repro.training.trained_models import recorded_studies
from tests.support.records import FULL, evaluated, keep, record

CLAIMS = Path(__file__).parents[2] / "claims"
IMAGES = 10_000  # as CIFAR-10's test split, so that the intervals are those of real runs
FREE = ("structured-size", "combined-size")  # attainable until accuracy at the target is shown
BELOW = [
    {"model": "convnext_atto"},
    {"model": "convnext_tiny"},
    {"epochs": 29},
    {"stem_stride": 2},
    {"init": "scratch"},
    {"init": "weights.safetensors"},
]


@pytest.fixture(autouse=True)
def no_data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """There are neither data nor trained models, so that records alone tell."""
    monkeypatch.delenv("EDGEAI_DATA", raising=False)
    monkeypatch.setenv("EDGEAI_MODELS", str(tmp_path / "none"))


@pytest.fixture
def evidence(tmp_path: Path) -> Path:
    """An evidence folder beside a copy of the claims."""
    shutil.copytree(CLAIMS, tmp_path / "claims")
    return tmp_path / "evidence"


def _records(top1: float, compressed: float, target: float = 0.8, **recipe: Any) -> dict[str, TrainingRecord]:
    """Return the records of a dense model and of a pruned one, each as it is and in int8, by their top-1."""
    before, after = (round(IMAGES * percent / 100) for percent in (top1, compressed))
    forms = [evaluated(name, after, images=IMAGES, target=target) for name in ("structured_pruning", "combined")]
    return {
        "dense": record(evaluated("none", before, images=IMAGES), **{**FULL, **recipe}),
        f"target-{target}": record(*forms, structured=target, **{**FULL, **recipe}),
    }


class _PlantedLab:
    """A lab that measures a size just in the band at our own target and those above, and out of it below."""

    def measure(self, claim: Claim) -> list[Measurement]:
        """Return the rows of a claim that has a free choice of the target."""
        assert claim.choice is not None
        targets = claim.settings["target"]
        return [
            Measurement(
                model=model,
                technique=claim.technique,
                params={"target": target},
                reported=Interval.exact(claim.value if target >= claim.choice.default else 0.0),
            )
            for model in claim.models
            for target in targets
        ]


def _judged(evidence: Path, name: str) -> Any:
    run = Session.from_options(evidence.parent / "claims")
    verdict = run.judge(f"francy2024/{name}", _PlantedLab())  # type: ignore[arg-type]
    return verdict, run


class TestAltered:
    """Evidence that isn't what was kept: one line that names the file."""

    @pytest.fixture
    def kept(self, evidence: Path) -> Path:
        """A folder with two records, which is read as it is."""
        folder = keep(evidence, **_records(92.0, 91.5))
        assert len(recorded_studies(folder)) == 1
        return folder

    def _refused(self, folder: Path, complaint: str) -> None:
        with pytest.raises(UserError, match=complaint) as refused:
            recorded_studies(folder)
        assert "\n" not in str(refused.value)

    def test_better_bits(self, kept: Path) -> None:
        """A record with one more image right is noticed, though its count fits its bitmap."""
        document = json.loads((kept / "dense.json").read_text())
        better = evaluated("none", 9201, images=IMAGES)
        document["evaluations"] = [better.model_dump()]
        (kept / "dense.json").write_text(json.dumps(document))

        self._refused(kept, r"dense\.json: must have the sha256 .* that SHA256SUMS lists \(got .*restore it")

    @pytest.mark.parametrize(
        "altered",
        [{"recipe": {**record(**FULL).recipe, "epochs": 90}}, {"seconds": 1.0}, {"commit": "1" * 40}],
        ids=lambda altered: next(iter(altered)),
    )
    def test_any_field(self, kept: Path, altered: dict[str, Any]) -> None:
        """Whatever else is altered is noticed too: the budget is as much of the evidence as the bits are."""
        document = json.loads((kept / "dense.json").read_text())
        assert altered.keys() <= document.keys()
        (kept / "dense.json").write_text(json.dumps({**document, **altered}))

        self._refused(kept, r"dense\.json: must have the sha256")

    def test_a_space(self, kept: Path) -> None:
        """So is a space at its end."""
        with (kept / "dense.json").open("a") as file:
            file.write(" ")

        self._refused(kept, r"dense\.json: must have the sha256")

    def test_unlisted(self, kept: Path) -> None:
        """A file that nobody listed is noticed."""
        shutil.copy(kept / "dense.json", kept / "smuggled.json")

        self._refused(
            kept, r"smuggled\.json: must be listed in SHA256SUMS \(got no sum\); `edgeai-repro evidence add`"
        )

    def test_missing(self, kept: Path) -> None:
        """A file that was taken away is noticed: a bad result can't be dropped in silence."""
        (kept / "dense.json").unlink()

        self._refused(kept, r"dense\.json: must be here, for SHA256SUMS lists it \(got no file\); restore it")

    def test_no_sums(self, kept: Path) -> None:
        """Without the list no file is taken."""
        (kept / SUMS).unlink()

        self._refused(kept, r"dense\.json: must be listed")

    @pytest.mark.parametrize("count", [9199, 9201])
    def test_a_count_that_the_bitmap_belies(self, kept: Path, tmp_path: Path, count: int) -> None:
        """A count other than the bitmap's ones is refused and not kept, even if the sums are made to fit."""
        document = json.loads((kept / "dense.json").read_text())
        document["evaluations"][0]["successes"] = count
        (tmp_path / "result.json").write_text(json.dumps(document))
        complaint = rf"evaluations number 1: 'successes' must be the bitmap's ones, 9200 \(got {count}\)"

        with pytest.raises(UserError, match=complaint):
            add_training_record(tmp_path / "result.json", kept, "dense")
        assert len(recorded_studies(kept)) == 1

        shutil.copy(tmp_path / "result.json", kept / "dense.json")
        sums = (kept / SUMS).read_text().splitlines()
        digest = sha256(kept / "dense.json")
        (kept / SUMS).write_text("\n".join([f"{digest}  dense.json", *sums[1:]]) + "\n")
        self._refused(kept, complaint)

    def test_bits_beyond_the_images(self, kept: Path, tmp_path: Path) -> None:
        """A bitmap of another length than the images is refused."""
        bits = base64.b64encode(np.packbits(np.ones(9200, bool)).tobytes()).decode()
        document = json.loads((kept / "dense.json").read_text())
        document["evaluations"][0]["correct"] = bits
        (tmp_path / "result.json").write_text(json.dumps(document))

        with pytest.raises(UserError, match=r"'correct' must hold 10000 bits \(got 9200\)"):
            add_training_record(tmp_path / "result.json", kept, "dense")


@pytest.mark.parametrize("name", FREE)
class TestFreeChoice:
    """Size that a free target gives: what the accuracy at that target says of it."""

    def test_none(self, evidence: Path, name: str) -> None:
        """Without evidence the size is attainable, as the claims file expects."""
        verdict, run = _judged(evidence, name)

        assert verdict.verdict == "attainable"
        assert verdict.accuracy_rows == ()
        assert run.failure_reason(verdict) is None

    @pytest.mark.parametrize(
        ("compressed", "expected"),
        [(92.0, "reproduced"), (91.5, "reproduced"), (90.0, "contradicted"), (91.0, "attainable")],
    )
    def test_full_scale(self, evidence: Path, name: str, compressed: float, expected: str) -> None:
        """Kept within the point that is granted it is reproduced, lost contradicted, between neither."""
        for target in (0.8, 0.85, 0.9):
            keep(evidence, **_records(92.0, compressed, target))

        verdict, run = _judged(evidence, name)

        assert verdict.verdict == expected, verdict.reason
        assert (run.failure_reason(verdict) is None) == (expected == "attainable")

    def test_at_a_target_that_does_not_hold(self, evidence: Path, name: str) -> None:
        """Accuracy that is kept where the size isn't reached settles nothing."""
        keep(evidence, **_records(92.0, 92.0, 0.5))

        assert _judged(evidence, name)[0].verdict == "attainable"

    def test_lost_at_some(self, evidence: Path, name: str) -> None:
        """Accuracy lost at one of the targets that hold contradicts nothing: at another it may be kept."""
        keep(evidence, **_records(92.0, 80.0, 0.9))

        assert _judged(evidence, name)[0].verdict == "attainable"

    @pytest.mark.parametrize("below", BELOW, ids=lambda below: "-".join(map(str, *below.items())))
    @pytest.mark.parametrize("compressed", [92.0, 80.0])
    def test_reduced_scale(self, evidence: Path, name: str, below: dict[str, Any], compressed: float) -> None:
        """A smaller model or budget, another stem or start turns nothing, either way; it is told beside."""
        for target in (0.8, 0.85, 0.9):
            keep(evidence, **_records(92.0, compressed, target, **below))

        verdict, run = _judged(evidence, name)

        assert verdict.verdict == "attainable"
        assert run.failure_reason(verdict) is None
        assert [row.scale for row in verdict.accuracy_rows] == ["reduced"] * 3
        assert f"at reduced scale {compressed - 92.0:.0f} points" in verdict.reason

    def test_document(self, evidence: Path, name: str) -> None:
        """In the document, accuracy in points stands apart from sizes in percent; a size is what decides."""
        keep(evidence, **_records(92.0, 91.5))
        verdict, _ = _judged(evidence, name)

        entry = document.claim_entry(verdict)

        assert {tuple(row.params) for row in entry.rows} == {("target",)}
        assert [row.evidence for row in entry.kept] == ["dense, target-0.8"]
        assert entry.row is not None
        assert entry.rows[entry.row].params == {"target": 0.8}
        assert entry.flip_margin is not None
        assert entry.flip_margin.of == "value"


def _sweep(*top1: float) -> dict[str, TrainingRecord]:
    """Return the record of a dense Tiny with its top-1 at 10 to 90 % of weights cut."""
    forms = [
        evaluated("unstructured_pruning", round(100 * percent), images=IMAGES, sparsity=(place + 1) / 10)
        for place, percent in enumerate(top1)
    ]
    return {"dense": record(evaluated("none", 9200, images=IMAGES), *forms, **{**FULL, "model": "convnext_tiny"})}


def _starts(scratch: float, pretrained: float) -> dict[str, TrainingRecord]:
    """Return the records of two pruned models, which differ in where they started."""
    return {
        "scratch": _records(92.0, scratch, init="scratch")["target-0.8"],
        "pretrained": _records(92.0, pretrained)["target-0.8"],
    }


PLANTED: list[tuple[str, dict[str, TrainingRecord], str]] = [
    ("combined-accuracy", _records(89.5, 93.05), "reproduced"),
    ("combined-accuracy", _records(92.5, 92.0), "contradicted"),
    ("combined-accuracy", _records(80.0, 92.5), "contradicted"),
    ("combined-accuracy", _records(60.0, 63.8), "attainable"),
    ("maintained-accuracy", _records(92.5, 92.0), "reproduced"),
    ("maintained-accuracy", _records(92.5, 90.0), "contradicted"),
    ("unstructured-accuracy", _sweep(92, 91, 90, 89, 87, 80, 60, 30, 10), "reproduced"),
    ("unstructured-accuracy", _sweep(92, 90, 92, 90, 92, 90, 92, 90, 92), "contradicted"),
    ("finetuned-better", _starts(88.0, 92.0), "reproduced"),
    ("finetuned-better", _starts(92.0, 88.0), "contradicted"),
]


# Each row is told on its own: of an attainable claim some hold and some don't.
WOULD_BE = {
    "attainable": ["reproduced", "contradicted"],
    **{name: [name] for name in ("reproduced", "contradicted")},
}


class TestTrainedClaims:
    """The claims that trained models tell of, by records planted for each side of their bands."""

    @pytest.mark.parametrize(("name", "records", "expected"), PLANTED)
    def test_full_scale(self, evidence: Path, name: str, records: dict[str, TrainingRecord], expected: str) -> None:
        """What was planted at full scale is judged as such, in a run and again; the unexpected is drift."""
        run = Session.from_options(keep(evidence, **records).parent / "claims")

        run.rejudge()

        verdict = run.verdicts[f"francy2024/{name}"]
        assert verdict.verdict == expected, verdict.reason
        assert (run.failure_reason(verdict) is None) == (expected == verdict.claim.expect.verdict)
        judged, _ = _judged(evidence, name)
        assert (judged.verdict, judged.rows) == (verdict.verdict, verdict.rows)

    @pytest.mark.parametrize(("name", "records", "expected"), PLANTED)
    @pytest.mark.parametrize("below", [{"model": "convnext_atto"}, {"epochs": 29}, {"stem_stride": 2}])
    def test_reduced_scale(
        self,
        evidence: Path,
        name: str,
        records: dict[str, TrainingRecord],
        expected: str,
        below: dict[str, Any],
    ) -> None:
        """The same at reduced scale decides nothing and is no drift; the reason says what it would be."""
        smaller = {
            place: made.model_copy(update={"recipe": {**made.recipe, **below}}) for place, made in records.items()
        }
        run = Session.from_options(keep(evidence, **smaller).parent / "claims")

        run.rejudge()

        verdict = run.verdicts[f"francy2024/{name}"]
        assert (verdict.verdict, verdict.row, verdict.flip_margin) == ("not_testable", None, None)
        assert run.failure_reason(verdict) is None
        assert {row.scale for row in verdict.rows} == {"reduced"}
        assert all(f"would be {word}" in verdict.reason for word in WOULD_BE[expected])

    def test_beside_full_scale(self, evidence: Path) -> None:
        """Where full scale decides, what is below it stands beside and turns nothing."""
        small = {f"small-{name}": made for name, made in _records(92.0, 60.0, epochs=1).items()}
        run = Session.from_options(keep(evidence, **_records(92.5, 92.0), **small).parent / "claims")

        run.rejudge()

        verdict = run.verdicts["francy2024/maintained-accuracy"]
        assert verdict.verdict == "reproduced"
        assert [row.scale for row in verdict.rows] == ["full", "reduced"]
