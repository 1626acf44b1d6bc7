"""The errors that a person caused or can mend; each is one line: what, the rule, what came, what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Literal

Requirement = Literal["data", "weights", "edge", "torch", "models"]


class UserError(Exception):
    """Bad input: shown as its one line, without a traceback, and an exit status that is not 0."""


class MissingRequirement(Exception):  # noqa: N818 - no error: a claim waits for something that can be supplied
    """Something that a claim needs is missing: data, weights, an edge device, torch, or a model.

    `remedy` says in one sentence what is missing and how to supply it.
    """

    def __init__(self, requirement: Requirement, remedy: str) -> None:
        super().__init__(remedy)
        self.requirement = requirement
        self.remedy = remedy


class TooNoisyError(Exception):
    """The machine is too noisy, hot or busy to time on: nothing is told of a claim, which is no failure of it."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a hint for an unknown name: the only one that it is a part of, else the nearest, else all."""
    names = sorted(known)
    longer = [other for other in names if name and name in other]
    close = longer if len(longer) == 1 else difflib.get_close_matches(name, names, n=1)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"known are {', '.join(names)}" if names else "none is known"


def one_line(error: BaseException) -> str:
    """Return an error in one line, with its type where it isn't a line for users already."""
    text = str(error).splitlines()[0] if str(error) else ""
    return (
        text
        if isinstance(error, UserError | TooNoisyError)
        else f"{type(error).__name__}: {text}".removesuffix(": ")
    )
