"""The records of training runs that are kept: a folder of JSON files, and the list of their sha256. No torch."""

from __future__ import annotations

from pathlib import Path

from edgeai_repro.errors import UserError
from edgeai_repro.evidence.training_record import TrainingRecord, load_record
from edgeai_repro.files import sha256, write_text

EVIDENCE = "evidence"  # beside the folder of claims
SUMS = "SHA256SUMS"


def read_folder(folder: Path) -> dict[str, TrainingRecord]:
    """Return the records of an evidence folder by their names; none where there is no folder.

    Raises UserError, in one line, where a file was altered since its sum was listed, isn't listed, or is missing.
    """
    if not folder.is_dir():
        return {}
    return {path.stem: load_record(path) for path in verified_files(folder)}


def verified_files(folder: Path) -> list[Path]:
    """Return the JSON files of a folder, each held against its listed sha256. Raises as `read_folder` does."""
    listed = _sums(folder)
    paths = sorted(folder.glob("*.json"))
    for path in paths:
        expected, found = listed.pop(path.name, None), sha256(path)
        if expected is None:
            raise UserError(f"{path}: must be listed in {SUMS} (got no sum); `edgeai-repro evidence add` does that")
        if found != expected:
            raise UserError(
                f"{path}: must have the sha256 {expected[:12]}… that {SUMS} lists (got {found[:12]}…); "
                "restore it, or record it anew"
            )
    for name in listed:
        raise UserError(f"{folder / name}: must be here, for {SUMS} lists it (got no file); restore it")
    return paths


def update_checksum(path: Path) -> None:
    """Put a file's sha256 on its folder's list."""
    sums = {**_sums(path.parent), path.name: sha256(path)}
    write_text(path.parent / SUMS, "".join(f"{digest}  {file}\n" for file, digest in sorted(sums.items())))


def add_training_record(path: Path, folder: Path, name: str) -> Path:
    """Check a training run's record, keep it in an evidence folder as `name`, with intervals, and list its sha256.

    Raises UserError where the file is no such record.
    """
    from edgeai_repro.evidence.statistics import wilson

    record = load_record(path)
    evaluations = tuple(
        found.model_copy(update={"interval": wilson(found.successes, found.n)}) for found in record.evaluations
    )
    kept = folder / f"{name}.json"
    write_text(kept, record.model_copy(update={"evaluations": evaluations}).model_dump_json(indent=1) + "\n")
    update_checksum(kept)
    return kept


def _sums(folder: Path) -> dict[str, str]:
    """Return the listed sums by file, from a list in sha256sum's form; none where there is no list."""
    path = folder / SUMS
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
