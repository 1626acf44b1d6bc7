"""Checkpoints of training runs. A file is either complete or missing, and belongs to one run."""

from __future__ import annotations

import errno
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from edgeai_repro.errors import UserError, one_line
from edgeai_repro.files import atomic_write

# The parts of a checkpoint, and their types.
PARTS: Mapping[str, type | tuple[type, ...]] = {
    **{"identity": dict, "model": dict, "optimizer": dict, "done": int, "curve": list},
    **{"seconds": (int, float), "loss": (int, float), "correct": int},
}
Checkpoint = dict[str, Any]  # tensors and plain values only, so that torch's weights_only loader reads it


def _not_whole(path: Path, error: Exception) -> UserError:
    return UserError(f"{str(path)!r} must be a whole checkpoint (got {one_line(error)}); delete it to start again")


@contextmanager
def restoring(path: Path) -> Iterator[None]:
    """Raise UserError if a checkpoint doesn't fit the network or the optimizer that the block fills."""
    try:
        yield
    except Exception as error:  # torch compares names and shapes, and raises errors of many types
        raise _not_whole(path, error) from error


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint. Raises UserError if it can't be written; the earlier one is kept then."""
    with atomic_write(path) as file:
        try:
            torch.save(checkpoint, file)
        except RuntimeError as error:  # torch's zip writer raises it for a full disk
            raise OSError(errno.ENOSPC, "no space left, or the file can't be written") from error


def load_checkpoint(path: Path, identity: dict[str, Any]) -> Checkpoint:
    """Return the checkpoint of the run that `identity` describes, on the CPU.

    Raises UserError if the file is damaged or belongs to another run; the message names the difference.
    """
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
        stored = dict(checkpoint["identity"])
        for name, kind in PARTS.items():
            if not isinstance(checkpoint[name], kind):
                raise TypeError(f"{name!r} is of the type {type(checkpoint[name]).__name__}")
    except Exception as error:  # torch's reader and its unpickler raise errors of many types
        raise _not_whole(path, error) from error
    for name in sorted(identity.keys() | stored.keys()):
        if identity.get(name) != stored.get(name):
            raise UserError(
                f"{str(path)!r} must be a checkpoint of {name} {identity.get(name)!r} (got {stored.get(name)!r}); "
                "choose another folder, or resume with the recipe that it was made with"
            )
    return dict(checkpoint)
