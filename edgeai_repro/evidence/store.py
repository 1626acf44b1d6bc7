"""The evidence folder: training records as JSON files, and the list of their sha256 sums. No torch."""

from __future__ import annotations

import re
from pathlib import Path

from edgeai_repro import limits
from edgeai_repro.errors import UserError
from edgeai_repro.evidence.training_record import TrainingRecord, load_record
from edgeai_repro.files import is_folder, read_text, sha256, verify_sha256, write_text

EVIDENCE = "evidence"  # the folder's name; it lies next to the folder of claims
SUMS = "SHA256SUMS"
LINE = re.compile(r"(?P<digest>[0-9a-f]{64})  (?P<name>[^/\\\x00]+)")  # no path: every file lies in the folder


def read_folder(folder: Path) -> dict[str, TrainingRecord]:
    """Return the training records of an evidence folder by name, none if there is no such folder.

    Raises UserError if a file was altered since its sum was listed, isn't listed, or is missing.
    """
    if not is_folder(folder):
        return {}
    return {path.stem: load_record(path) for path in verified_files(folder)}


def verified_files(folder: Path) -> list[Path]:
    """Return the JSON files of a folder after comparing each with its listed sha256.

    Raises UserError as `read_folder` does.
    """
    sums = _read_sums(folder)
    paths = sorted(folder.glob("*.json"))
    for path in paths:
        if path.name not in sums:
            raise UserError(f"{path}: must be listed in {SUMS}; add it with `edgeai-repro evidence add`")
    for name in sorted(sums):
        verify_sha256(folder / name, sums[name], f"restore the file that {SUMS} lists")
    return paths


def update_checksum(path: Path) -> None:
    """Add a file's sha256 to the list of its folder, or replace it there."""
    sums = {**_read_sums(path.parent), path.name: sha256(path)}
    write_text(path.parent / SUMS, "".join(f"{digest}  {name}\n" for name, digest in sorted(sums.items())))


def add_training_record(path: Path, folder: Path, name: str) -> Path:
    """Add a training record to an evidence folder as `name`, with intervals, and list its sha256.

    Return the path of the new file. Raises UserError if `path` isn't a training record.
    """
    from edgeai_repro.evidence.statistics import wilson

    record = load_record(path)
    evaluations = tuple(
        evaluation.model_copy(update={"interval": wilson(evaluation.successes, evaluation.n)})
        for evaluation in record.evaluations
    )
    target = folder / f"{name}.json"
    write_text(target, record.model_copy(update={"evaluations": evaluations}).model_dump_json(indent=1) + "\n")
    update_checksum(target)
    return target


def _read_sums(folder: Path) -> dict[str, str]:
    """Return the listed sums by file name, none if there is no list. Raises UserError for another form."""
    path = folder / SUMS
    if not path.exists():
        return {}
    sums = {}
    for number, line in enumerate(read_text(path, limits.SUMS_BYTES, "text").splitlines(), 1):
        if not (match := LINE.fullmatch(line)):
            wanted = "a sha256, two spaces and a file name"
            raise UserError(f"{path}, line {number}: must be {wanted} (got {line!r:.40}); restore it")
        sums[match["name"]] = match["digest"]
    return sums
