"""The folder of a run: its lock, its progress, its record or the reason why it has none. No torch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from edgeai_repro import limits
from edgeai_repro.checksums import sha256
from edgeai_repro.errors import UserError, as_line
from edgeai_repro.evidence.training_record import RESULT, TrainingRecord, load_record
from edgeai_repro.files import read_bytes, read_json, write_text
from edgeai_repro.grid.runs import Run
from edgeai_repro.locks import is_locked, locked
from edgeai_repro.training.progress import Progress
from edgeai_repro.validation import parse_as

LOCK, PROGRESS, FAILURE = "run.lock", "progress.json", "failure.txt"


class HeldError(Exception):
    """Another process holds the lock of the folder: it trains the run."""


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder. It also ends with the process, however that ends.

    Raises HeldError if another process holds it, UserError if the folder can't be written or locked.
    """
    with ExitStack() as stack:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            stack.enter_context(locked(folder / LOCK, wait=False))
        except BlockingIOError:
            raise HeldError(folder) from None
        except OSError as error:  # for instance "No locks available": NFS without its lock service
            raise UserError(
                f"{folder}: must be a folder that can be locked (got {error.strerror}); choose another with --out"
            ) from None
        yield


def check_lockable(folder: Path) -> None:
    """Make a folder if it is missing. Raises UserError if it can't be written or locked."""
    with suppress(HeldError), held(folder):
        pass


def is_held(folder: Path) -> bool:
    """Return whether some process trains the run of a folder."""
    return is_locked(folder / LOCK)


def finished_record(run: Run, folder: Path) -> TrainingRecord | None:
    """Return the record of a finished run, None if there is none yet, or if it lacks an evaluation.

    Raises UserError if the folder has a damaged record, or one of another recipe or other starting weights.
    """
    path = folder / RESULT
    if not path.exists():
        return None
    record = load_record(path)
    recipe = run.recipe
    init = sha256(Path(recipe.init)) if recipe.init not in ("scratch", "imagenet") else record.init_sha256
    if (record.recipe, record.init_sha256) != (recipe.as_dict(), init):
        raise UserError(f"{path}: must be the record of the same recipe and starting weights; move it away")
    evaluated = {evaluation.settings.get("sparsity") for evaluation in record.evaluations}
    return record if evaluated.issuperset(run.options.sparsities) else None


def write_progress(folder: Path, progress: Progress) -> None:
    """Write how far a run is, for its driver."""
    write_text(folder / PROGRESS, progress.model_dump_json() + "\n")


def read_progress(folder: Path) -> Progress | None:
    """Return how far a run is, None if nothing is known."""
    path = folder / PROGRESS
    return parse_as(Progress, read_json(path), path) if path.exists() else None


def write_failure(folder: Path, reason: str) -> None:
    """Write why a run failed."""
    write_text(folder / FAILURE, reason.rstrip("\n") + "\n")


def read_failure(folder: Path) -> str:
    """Return the first line of why a run failed, empty if it did not."""
    path = folder / FAILURE
    if not path.exists():
        return ""
    text = read_bytes(path, limits.JSON_BYTES, "remove it").decode("utf-8", "replace")
    return as_line(text.partition("\n")[0])


def clear(folder: Path) -> None:
    """Remove what a record replaces: the progress, and the reason of an earlier failure."""
    for name in (PROGRESS, FAILURE):
        (folder / name).unlink(missing_ok=True)
