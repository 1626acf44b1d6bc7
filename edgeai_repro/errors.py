"""Errors that users can fix. Each is one line: what is wrong, the rule, the value received, the next step."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from itertools import takewhile
from typing import Literal

Requirement = Literal["data", "weights", "edge", "torch", "models", "counters", "device", "time"]
SHOWN = 5  # names in a hint; more would hide the mistake
LONGEST = 80  # characters of a wrong value that a message repeats
LONGEST_QUOTED = 120  # characters of a library's message that one of ours repeats
LONGEST_LINE = 300  # characters of a message
LONGEST_NAME = 100  # characters of a name that is compared with known names, which takes quadratic time


def escaped(text: str) -> str:
    """Return a text with line breaks and all characters that can't be seen escaped, as Python does it."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def as_line(text: str) -> str:
    """Return a text, escaped, as one line of at most 300 characters.

    Of a longer text the middle is left out: it begins with the place and ends with the next step.
    """
    line = escaped(text)
    if len(line) <= LONGEST_LINE:
        return line
    end = LONGEST_LINE // 3
    return f"{line[: LONGEST_LINE - end - 1]}…{line[-end:]}"


class Whole(str):
    """A mistake that is never shortened: a user needs its path or address in whole."""


class UserError(Exception):
    """Bad input. It is shown without a traceback, and the exit status is not 0.

    Each argument is one mistake, and one line of the message: see `as_line` and `Whole`.
    """

    def __init__(self, *mistakes: str) -> None:
        super().__init__(*(Whole(escaped(one)) if isinstance(one, Whole) else as_line(one) for one in mistakes))

    def __str__(self) -> str:
        """Return one line per mistake."""
        return "\n".join(self.args)


class MissingRequirement(Exception):  # noqa: N818 - no error: a claim waits for something that can be supplied
    """Something that a claim needs is missing: data, weights, an edge device, torch, a model, a counter, or time.

    `remedy` says in one sentence what is missing and how to supply it.
    """

    def __init__(self, requirement: Requirement, remedy: str) -> None:
        self.requirement = requirement
        self.remedy = escaped(remedy)
        super().__init__(self.remedy)


class Interrupted(BaseException):
    """The user pressed Ctrl-C. It isn't a KeyboardInterrupt, for which libraries have messages of their own."""


class TooNoisyError(Exception):
    """The machine is too noisy, hot or busy for timing. The claim stays undecided; it hasn't failed."""


def closest_name(name: str, known: Iterable[str]) -> str | None:
    """Return the only known name that contains `name`, else the most similar one, None if no name is similar.

    Of equally similar ones it is that with the same beginning.
    """
    names = sorted(known)
    if len(name) > LONGEST_NAME:
        return None
    longer = [other for other in names if name and name in other]
    if len(longer) == 1:
        return longer[0]
    close = difflib.get_close_matches(name, names)

    def likeness(other: str) -> tuple[float, int]:
        beginning = takewhile(lambda pair: pair[0] == pair[1], zip(name, other, strict=False))
        return difflib.SequenceMatcher(None, other, name).ratio(), sum(1 for _ in beginning)

    return max(close, key=likeness, default=None)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a hint for an unknown name: the closest known name, else the `SHOWN` most similar ones."""
    names = sorted(known)
    if closest := closest_name(name, names):
        return f"did you mean {closest!r}?"
    if len(names) <= SHOWN:
        return f"known are {', '.join(names)}" if names else "none is known"
    similar = sorted(names, key=lambda other: -difflib.SequenceMatcher(None, name, other).ratio())[:SHOWN]
    return f"known are {', '.join(sorted(similar))} and {len(names) - SHOWN} more"


def require_known(
    kind: str, name: str, known: Iterable[str], hint: str = "", *, error: type[Exception] = UserError
) -> None:
    """Raise `error` unless `name` is one of the `known` names; `kind` says in the message what it is a name of.

    `hint` follows the closest name. A validator of a pydantic model passes `error=ValueError`.
    """
    names = list(known)
    if name not in names:
        raise error(f"{kind} must be known (got {name!r}); {did_you_mean(name, names)}{hint}")


def one_line(error: BaseException) -> str:
    """Return an error's message as one line. It begins with the error's type unless it was written for users."""
    try:
        first, *others = str(error).splitlines() or [""]
    except Exception:  # a stranger's error, whose message fails to be made
        first, others = "its message can't be shown", []
    if isinstance(error, UserError | TooNoisyError):
        return f"{first} (and {len(others)} more)" if others else first
    return as_line(f"{type(error).__name__}: {first}".removesuffix(": "))


def brief(error: BaseException) -> str:
    """Return the first 120 characters of a library's message, in one line, for a message of ours that quotes it."""
    return " ".join(str(error).split())[:LONGEST_QUOTED]
