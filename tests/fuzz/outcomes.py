"""What a reader made of an input: read, refused in lines for users, or failed; and what tells failures apart."""

from __future__ import annotations

import re
import traceback
from pathlib import Path

from edgeai_repro.errors import MissingRequirement, UserError

LONGEST_LINE = 300
ALLOCATOR = re.compile(
    r"MemoryError|[Uu]nable to allocate|bad_alloc|DefaultCPUAllocator|not enough memory|Failed to allocate"
)


class HangError(BaseException):
    """A reader took more than its seconds of CPU time. No reader catches it."""


def failure_of(error: BaseException) -> str | None:
    """Return a name for what a reader did wrong when it raised `error`; None if it refused its input in lines.

    Equal failures have equal names: the type of the error, and the functions that raised it, in the package and
    below. A message is wrong if a line is longer than 300 characters or has others than printable ones, or if the
    allocator of memory wrote it.
    """
    if isinstance(error, UserError | MissingRequirement):
        lines = str(error).split("\n")
        if isinstance(error, UserError) and any(len(line) > LONGEST_LINE for line in lines):
            return f"long message from {_raised_in(error)}"
        if not all(line.isprintable() for line in lines):
            return f"control characters from {_raised_in(error)}"
        return f"allocator's message from {_raised_in(error)}" if ALLOCATOR.search(str(error)) else None
    return f"{type(error).__name__} in {_raised_in(error)}"


def _raised_in(error: BaseException) -> str:
    """Return the innermost function of the package that raised an error, and the innermost of all."""
    frames = [(Path(frame.filename), frame.name) for frame in traceback.extract_tb(error.__traceback__)]
    names = [f"{path.stem}.{function}" for path, function in frames]
    own = [name for name, (path, _) in zip(names, frames, strict=True) if "edgeai_repro" in path.parts]
    return " ← ".join(dict.fromkeys([names[-1], own[-1] if own else "no function of the package"]))


def check_shown(line: str) -> None:
    """Raise an error, which counts as a failure, for a line that a terminal would obey."""
    if not line.isprintable():
        raise ValueError("control characters are shown")
