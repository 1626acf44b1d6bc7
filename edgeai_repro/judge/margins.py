"""Flip margins: the least change that would give another verdict. Pure; no torch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from edgeai_repro.claims.schema import Claim
from edgeai_repro.evidence.measurement import Frozen
from edgeai_repro.judge.formatting import format_difference
from edgeai_repro.judge.rows import DECIDED, Outcome, Standing, VerdictName


class FlipMargin(Frozen):
    """The least change that would give another verdict: of the measured value, the band's width, or a choice."""

    of: Literal["value", "band", "choice"]
    amount: float
    text: str


def flip_margin(
    claim: Claim, outcomes: Sequence[Outcome], verdict: VerdictName, choice: str | None = None
) -> FlipMargin | None:
    """Return the flip margin of a verdict that all `outcomes` share, one per value of the choice.

    None for a verdict that is not decided. The text names the value of `choice` that flips first.
    """
    if verdict not in DECIDED:
        return None
    flips = [outcome.deciding for outcome in outcomes]
    reported = [outcome.reported for outcome in outcomes if outcome.reported is not None]
    if verdict == "contradicted":
        flips += reported
    if verdict == "artefact":  # it flips when the last reported value that fits leaves the band
        flips.append(max((one for one in reported if one.location == "inside"), key=_amount))
    first = min(flips, key=_amount)
    by = format_difference(claim, first.row, first.margin)
    at = f" ({choice} {first.row.value_of(choice)})" if choice else ""
    if verdict == "contradicted":
        return FlipMargin(of="band", amount=first.margin, text=f"the band widens by {by}{at}")
    return FlipMargin(of="value", amount=first.margin, text=f"the {first.quantity} value moves by {by}{at}")


def smallest_margin(margins: Iterable[FlipMargin | None]) -> FlipMargin | None:
    """Return the smallest of several margins, None if there is none."""
    return min(filter(None, margins), key=lambda margin: margin.amount, default=None)


def _amount(standing: Standing) -> float:
    return standing.margin
