"""Files that are whole or not there: checkpoints and weights, written beside their target and then renamed."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import torch

from edgeai_repro.errors import UserError

Checkpoint = dict[str, Any]  # tensors and plain values only, so that torch's weights_only loader reads it


def write_whole(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Let `write` fill a temporary file beside `path`, then rename it.

    Raises UserError where it can't be written: what stood at `path` still stands, and no rest is left.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink()
        # torch's zip writer reports a full disk as a RuntimeError of its own
        if isinstance(error, OSError | RuntimeError):
            cause = error.strerror if isinstance(error, OSError) else "no space left, or the file can't be written"
            raise UserError(
                f"{str(path)!r} must be writable ({cause}); make room and resume: nothing is lost"
            ) from error
        raise


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint. Raises UserError where it can't be written; the one before it is kept."""
    write_whole(path, lambda file: torch.save(checkpoint, file))


def load_checkpoint(path: Path, identity: dict[str, Any]) -> Checkpoint:
    """Load the checkpoint of the run that `identity` describes, on the CPU.

    Raises UserError where the file is damaged or belongs to another run, and names what differs.
    """
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
        found = dict(checkpoint["identity"])
    except Exception as error:
        raise UserError(
            f"{str(path)!r} must be a whole checkpoint (got {type(error).__name__}); delete it to start anew"
        ) from error
    for name in sorted(identity.keys() | found.keys()):
        if identity.get(name) != found.get(name):
            raise UserError(
                f"{str(path)!r} must be a checkpoint of {name} {identity.get(name)!r} (got {found.get(name)!r}); "
                "choose another folder, or resume with the recipe that it was made with"
            )
    return dict(checkpoint)


def file_sha256(path: Path) -> str:
    """Return the sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
