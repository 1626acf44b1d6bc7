"""Records of training are converted from their first schema version, and inconsistent ones are refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from edgeai_repro.errors import UserError
from edgeai_repro.evidence.training_record import RESULT, load_record
from tests.support.records import pruned

RECORD = pruned(880, target=0.8, int8=870)


def _save(folder: Path, document: dict[str, Any]) -> Path:
    path = folder / RESULT
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


def _version_1() -> dict[str, Any]:
    """Return the document of RECORD as version 1 wrote it."""
    document = json.loads(RECORD.model_dump_json())
    for evaluation in document["evaluations"]:
        evaluation["params"] = evaluation.pop("settings")
    return {**document, "schema_version": 1}


def test_new_record_is_written_in_version_2(tmp_path: Path) -> None:
    """Version 2 calls the settings of a technique `settings`."""
    document = json.loads(RECORD.model_dump_json())

    assert document["schema_version"] == 2
    assert [evaluation["settings"] for evaluation in document["evaluations"]] == [{"target": 0.8}, {"target": 0.8}]
    assert load_record(_save(tmp_path, document)) == RECORD


def test_record_of_version_1_is_converted(tmp_path: Path) -> None:
    """An old record is equal to the new one after reading, and its file keeps its bytes."""
    path = _save(tmp_path, _version_1())
    before = path.read_bytes()

    assert load_record(path) == RECORD
    assert path.read_bytes() == before


def test_old_key_in_version_2_is_refused_with_its_new_name(tmp_path: Path) -> None:
    """Only records of version 1 may use `params`."""
    path = _save(tmp_path, {**_version_1(), "schema_version": 2})

    with pytest.raises(UserError, match=r"evaluations\[0\]\.params: is now called 'settings'; rename it"):
        load_record(path)


def test_record_of_an_unknown_version_is_refused(tmp_path: Path) -> None:
    """A version of the future isn't guessed at."""
    with pytest.raises(UserError, match=r"schema_version: must be 2 \(got 3\)"):
        load_record(_save(tmp_path, {**_version_1(), "schema_version": 3}))


@pytest.mark.parametrize("evaluations", ["none", [3]])
def test_malformed_record_of_version_1_is_refused(tmp_path: Path, evaluations: object) -> None:
    """Evaluations of another shape are refused in words, not with a traceback."""
    with pytest.raises(UserError, match=r"evaluations"):
        load_record(_save(tmp_path, {**_version_1(), "evaluations": evaluations}))
