"""One reader of the package as a target: what it reads, and the inputs that it is shown."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hypothesis import strategies as st


@dataclass(frozen=True)
class Reader:
    """A reader. `read` gets the content of a file and an empty folder to write it to; it may raise UserError.

    `inputs` returns the strategy of its contents. A `slow` reader takes more than 50 ms for an input. The inputs of
    one that is not `mutable` are only drawn: changed bytes could do anything, or mean nothing.
    """

    name: str
    read: Callable[[bytes, Path], None]
    inputs: Callable[[], st.SearchStrategy[bytes]]
    slow: bool = False
    mutable: bool = True
