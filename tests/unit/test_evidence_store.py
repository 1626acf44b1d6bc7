"""An evidence folder returns the records that were added, and refuses a file that was changed since."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeai_repro import checksums
from edgeai_repro.checksums import sha256
from edgeai_repro.errors import UserError
from edgeai_repro.evidence.statistics import wilson
from edgeai_repro.evidence.store import SUMS, add_training_record, read_folder
from edgeai_repro.evidence.training_record import RESULT, TrainingRecord
from edgeai_repro.training.trained_models import recorded_runs
from tests.support.records import FULL, dense, evaluated, keep, pruned, record


def _without_intervals(records: dict[str, TrainingRecord]) -> dict[str, TrainingRecord]:
    """Return records without the intervals that are added when a record becomes evidence."""
    return {
        name: training_record.model_copy(
            update={
                "evaluations": tuple(
                    evaluation.model_copy(update={"interval": None}) for evaluation in training_record.evaluations
                )
            }
        )
        for name, training_record in records.items()
    }


class TestAdded:
    """Records that were added to the folder."""

    def test_missing_folder_has_no_runs(self, tmp_path: Path) -> None:
        """It is not an error: a paper may have no evidence."""
        assert recorded_runs(tmp_path / "evidence") == []

    def test_records_are_returned_by_name(self, tmp_path: Path) -> None:
        """Only the intervals are new."""
        folder = keep(tmp_path / "evidence", b=pruned(880), a=dense(900))

        assert _without_intervals(read_folder(folder)) == {"a": dense(900), "b": pruned(880)}

    def test_sums_are_those_of_sha256sum(self, tmp_path: Path) -> None:
        """The program accepts the list."""
        folder = keep(tmp_path / "evidence", b=pruned(880), a=dense(900))

        subprocess.run(["sha256sum", "--check", "--strict", "--status", SUMS], cwd=folder, check=True)

    def test_record_replaces_one_of_the_same_name(self, tmp_path: Path) -> None:
        """Its sum replaces the other's, too."""
        keep(tmp_path / "evidence", a=dense(900))
        keep(tmp_path / "evidence", a=dense(800))

        assert _without_intervals(read_folder(tmp_path / "evidence")) == {"a": dense(800)}

    def test_each_evaluation_gets_wilsons_interval(self, tmp_path: Path) -> None:
        """It is computed when the record is added."""
        added = read_folder(keep(tmp_path / "evidence", a=pruned(880, int8=870)))["a"]

        intervals = [evaluation.interval for evaluation in added.evaluations]
        assert intervals == [wilson(880, 1000), wilson(870, 1000)]

    def test_file_that_is_no_record_is_refused(self, tmp_path: Path) -> None:
        """Nothing is added."""
        (tmp_path / RESULT).write_text("{}", encoding="utf-8")

        with pytest.raises(UserError, match=r"result\.json: recipe: is missing"):
            add_training_record(tmp_path / RESULT, tmp_path / "evidence", "a")

        assert not (tmp_path / "evidence").exists()


def _document(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return document


def _assert_refused(folder: Path, complaint: str) -> None:
    """Fail unless reading the folder raises UserError with this complaint, in one line."""
    __tracebackhide__ = True
    with pytest.raises(UserError, match=complaint) as caught:
        recorded_runs(folder)
    assert "\n" not in str(caught.value)


class TestChanged:
    """A folder whose files were changed is refused in one line that names the file."""

    @pytest.fixture
    def evidence(self, tmp_path: Path) -> Path:
        """A folder with two records, which is accepted before a test changes it."""
        folder = keep(tmp_path / "evidence", dense=dense(920, **FULL), pruned=pruned(915, **FULL))
        assert len(recorded_runs(folder)) == 1
        return folder

    def test_better_bitmap_is_refused(self, evidence: Path) -> None:
        """One more image is right, and the count agrees with it."""
        document = _document(evidence / "dense.json")
        document["evaluations"] = [evaluated("none", 921).model_dump()]
        (evidence / "dense.json").write_text(json.dumps(document))

        _assert_refused(evidence, r"dense\.json: must have the sha256 (?=.*SHA256SUMS).*\(got .*; restore ")

    @pytest.mark.parametrize(
        "change",
        [{"recipe": {**record(**FULL).recipe, "epochs": 90}}, {"seconds": 1.0}, {"commit": "1" * 40}],
        ids=lambda change: next(iter(change)),
    )
    def test_any_other_field_is_refused(self, evidence: Path, change: dict[str, Any]) -> None:
        """The budget is evidence as much as the bitmaps are."""
        document = _document(evidence / "dense.json")
        assert change.keys() <= document.keys()
        (evidence / "dense.json").write_text(json.dumps({**document, **change}))

        _assert_refused(evidence, r"dense\.json: must have the sha256")

    def test_trailing_space_is_refused(self, evidence: Path) -> None:
        """The sum is that of the bytes."""
        with (evidence / "dense.json").open("a") as file:
            file.write(" ")

        _assert_refused(evidence, r"dense\.json: must have the sha256")

    def test_unlisted_file_is_refused(self, evidence: Path) -> None:
        """The message names the command that adds a record."""
        shutil.copy(evidence / "dense.json", evidence / "smuggled.json")

        _assert_refused(evidence, r"smuggled\.json: must be listed in SHA256SUMS.*`edgeai-repro evidence add`")

    def test_removed_file_is_noticed(self, evidence: Path) -> None:
        """So a bad result can't disappear unnoticed."""
        (evidence / "dense.json").unlink()

        _assert_refused(evidence, r"dense\.json: (?=.*SHA256SUMS).*; restore ")

    def test_folder_without_sums_is_refused(self, evidence: Path) -> None:
        """No file of it is accepted."""
        (evidence / SUMS).unlink()

        _assert_refused(evidence, r"dense\.json: must be listed")

    @pytest.mark.parametrize("count", [919, 921])
    def test_count_that_differs_from_the_bitmap_is_refused(
        self, evidence: Path, tmp_path: Path, count: int
    ) -> None:
        """It can't be added, and is refused even if the list has its sum."""
        document = _document(evidence / "dense.json")
        document["evaluations"][0]["successes"] = count
        (tmp_path / RESULT).write_text(json.dumps(document))
        complaint = rf"evaluations\[0\]: 'successes' must be the bitmap's ones, 920 \(got {count}\)"

        with pytest.raises(UserError, match=complaint):
            add_training_record(tmp_path / RESULT, evidence, "dense")
        assert len(recorded_runs(evidence)) == 1

        shutil.copy(tmp_path / RESULT, evidence / "dense.json")
        _, *others = (evidence / SUMS).read_text().splitlines()
        (evidence / SUMS).write_text("\n".join([f"{sha256(evidence / 'dense.json')}  dense.json", *others]) + "\n")
        _assert_refused(evidence, complaint)

    def test_bitmap_of_another_length_is_refused(self, evidence: Path, tmp_path: Path) -> None:
        """It must have one bit per image, rounded up to bytes."""
        document = _document(evidence / "dense.json")
        bits = base64.b64encode(np.packbits(np.ones(920, bool)).tobytes()).decode()
        document["evaluations"][0]["correct"] = bits
        (tmp_path / RESULT).write_text(json.dumps(document))

        with pytest.raises(UserError, match=r"'correct' must hold 1000 bits \(got 920\)"):
            add_training_record(tmp_path / RESULT, evidence, "dense")


@pytest.mark.parametrize("name", ["../outside.json", "/etc/passwd", "sub/a.json", "..", ".hidden", "a\\b"])
def test_listed_path_outside_of_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    """A name with a folder is refused before anything is read."""
    folder = keep(tmp_path / "evidence", a=dense(900))
    with (folder / SUMS).open("a", encoding="utf-8") as sums:
        sums.write(f"{'0' * 64}  {name}\n")

    with pytest.raises(UserError, match=r"SHA256SUMS, line 2: must be a sha256, two spaces and the name of a file"):
        read_folder(folder)
    with pytest.raises(UserError, match="'name' must be that of a file, without a folder"):
        keep(tmp_path / "evidence", **{name: dense(900)})


def test_link_is_no_evidence(tmp_path: Path) -> None:
    """A file outside of the folder is not read through a link, though its sum is the listed one."""
    folder = keep(tmp_path / "evidence", a=dense(900))
    (folder / "a.json").rename(tmp_path / "a.json")
    (folder / "a.json").symlink_to(tmp_path / "a.json")

    with pytest.raises(UserError, match=r"a\.json: must be readable \(got a link\); restore the file"):
        read_folder(folder)


def test_file_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is judged is what was compared with the sum: a file that changes meanwhile changes nothing."""
    folder = keep(tmp_path / "evidence", a=dense(900))
    compare = checksums._compare

    def change(path: Path, *arguments: Any) -> None:
        compare(path, *arguments)
        path.write_text("changed", encoding="utf-8")

    monkeypatch.setattr(checksums, "_compare", change)

    assert _without_intervals(read_folder(folder)) == {"a": dense(900)}
