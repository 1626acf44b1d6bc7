"""The evidence folder: training records as JSON files, and the list of their sha256 sums. No torch."""

from __future__ import annotations

import re
from pathlib import Path

from edgeai_repro import limits
from edgeai_repro.checksums import read_verified, sha256
from edgeai_repro.errors import LONGEST, UserError
from edgeai_repro.evidence.training_record import TrainingRecord, load_record
from edgeai_repro.files import is_folder, read_text, write_text

EVIDENCE = "evidence"  # the folder's name; it lies next to the folder of claims
SUMS = "SHA256SUMS"
NAME = r"[^./\\][^/\\]*"  # no path: every file lies in the folder
LINE = re.compile(rf"(?P<digest>[0-9a-f]{{64}})  (?P<name>{NAME})")


def read_folder(folder: Path) -> dict[str, TrainingRecord]:
    """Return the training records of an evidence folder by name, none if there is no such folder.

    Raises UserError if a file was altered since its sum was listed, isn't listed, or is missing.
    """
    if not is_folder(folder):
        return {}
    return {path.stem: load_record(path, content) for path, content in verified_files(folder).items()}


def verified_files(folder: Path) -> dict[Path, bytes]:
    """Return the JSON files of a folder, read once and compared with their listed sha256.

    Raises UserError as `read_folder` does, and for a file that is a link: all evidence lies in the folder.
    """
    sums = read_sums(folder)
    for path in sorted(folder.glob("*.json")):
        if path.name not in sums:
            raise UserError(f"{path}: must be listed in {SUMS}; add it with `edgeai-repro evidence add`")
    contents = {
        folder / name: read_verified(folder / name, digest, f"restore the file that {SUMS} lists", follow=False)
        for name, digest in sorted(sums.items())
    }
    return {path: content for path, content in contents.items() if path.suffix == ".json"}


def update_checksum(path: Path) -> None:
    """Add a file's sha256 to the list of its folder, or replace it there."""
    sums = {**read_sums(path.parent), path.name: sha256(path)}
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
    if not re.fullmatch(NAME, name):
        raise UserError(f"'name' must be that of a file, without a folder (got {name!r}); choose another")
    target = folder / f"{name}.json"
    write_text(target, record.model_copy(update={"evaluations": evaluations}).model_dump_json(indent=1) + "\n")
    update_checksum(target)
    return target


def read_sums(folder: Path) -> dict[str, str]:
    """Return the listed sums by file name, none if there is no list. The list has the form of `sha256sum`.

    Raises UserError for a line of another form, and for a name with a folder: no listed file lies elsewhere.
    """
    path = folder / SUMS
    text = read_text(path, limits.SUMS_BYTES, "text") if path.exists() else ""
    sums = {}
    for number, line in enumerate(text.splitlines(), 1):
        match = LINE.fullmatch(line)
        if match is None:
            raise UserError(
                f"{path}, line {number}: must be a sha256, two spaces and the name of a file of this folder "
                f"(got {line[:LONGEST]!r}); restore the file"
            )
        sums[match["name"]] = match["digest"]
    return sums
