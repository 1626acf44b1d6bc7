"""The rules of implications that need nothing but numbers: printed ones, and counts at each value of a choice."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from edgeai_repro.claims.schema import Claim
from edgeai_repro.devices.spec import Device
from edgeai_repro.evidence.measurement import Setting

Given = Mapping[str, Setting]
SEPARATOR = " / "


@dataclass(frozen=True)
class Number:
    """A printed number and the ends of its band, in the metric's unit."""

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, claim: Claim) -> Number:
        """Return the number of a claim.

        A one-sided band is made symmetric, because arithmetic needs what the printed digits allow on both sides.
        """
        low, high = claim.edges
        if math.isinf(high):
            high = 2 * claim.value - low
        if math.isinf(low):
            low = 2 * claim.value - high
        return cls(claim.value, low, high)

    def overlaps(self, low: float, high: float) -> bool:
        """Return whether the band and [low, high] share a point."""
        return low <= self.high and self.low <= high


RELATIVE_TO = ("points", "accuracy", "error")


def printed_change(_: Mapping[str, Number], given: Given, __: Sequence[Device]) -> tuple[bool, str]:
    """Check a printed change against the two printed accuracies, in percent, that it is the change of.

    The change is in points, or in percent of the first accuracy, or of its error. `half_digit` is half a unit of
    its last printed digit.
    """
    before, after, change = (float(given[name]) for name in ("before", "after", "change"))
    points = after - before
    base = {"points": 100.0, "accuracy": before, "error": 100 - before}[str(given["relative_to"])]
    found = 100 * points / base
    holds = abs(found - change) <= float(given["half_digit"])
    of = "points" if given["relative_to"] == "points" else f"% of the {given['relative_to']} before"
    return holds, (
        f"From {before:g} to {after:g} % is {points:+.2f} points, {found:+.3g} {of}; printed is {change:+g}: "
        f"{'consistent' if holds else 'inconsistent'}."
    )


def change_problems(given: Given) -> Iterator[str]:
    """Yield the mistakes in what a printed change is given."""
    if given.get("relative_to") not in RELATIVE_TO:
        yield (
            f"'given.relative_to' must be one of {', '.join(RELATIVE_TO)} "
            f"(got {given.get('relative_to')!r}); correct it"
        )
    for name in ("before", "after", "change", "half_digit"):
        if isinstance(given.get(name), str):
            yield f"'given.{name}' must be a number (got {given[name]!r}); correct it"


def same_choice(numbers: Mapping[str, Number], given: Given, _: Sequence[Device]) -> tuple[bool, str]:
    """Check that one value of a choice makes two printed numbers true.

    `choices` are the values of the choice, `first` and `second` what either quantity is at each of them, all
    separated by " / ".
    """
    values = {name: str(given[name]).split(SEPARATOR) for name in ("choices", "first", "second")}
    held = {
        role: [
            choice
            for choice, value in zip(values["choices"], values[role], strict=True)
            if numbers[role].overlaps(float(value), float(value))
        ]
        for role in ("first", "second")
    }
    both = [choice for choice in held["first"] if choice in held["second"]]
    parts = (
        f"{numbers[role].value:g} allows {numbers[role].low:g} to {numbers[role].high:g} and needs "
        f"{' or '.join(held[role]) or 'none of them'} ("
        + ", ".join(f"{choice}: {value}" for choice, value in zip(values["choices"], values[role], strict=True))
        + ")"
        for role in ("first", "second")
    )
    return bool(both), f"{'; '.join(parts)}: {'consistent' if both else 'no choice makes both true'}."


def choice_problems(given: Given) -> Iterator[str]:
    """Yield the mistakes in what a choice is given."""
    choices = str(given.get("choices", "")).split(SEPARATOR)
    for name in ("first", "second"):
        values = str(given.get(name, "")).split(SEPARATOR)
        if len(values) != len(choices) or not all(map(_is_number, values)):
            yield (
                f"'given.{name}' must be {len(choices)} numbers, one per choice, separated by {SEPARATOR!r} "
                f"(got {given.get(name)!r}); correct it"
            )


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


GIVEN_PROBLEMS: dict[str, Callable[[Given], Iterator[str]]] = {
    "printed-change": change_problems,
    "same-choice": choice_problems,
}
