"""What claims took in an earlier run: the time that a run still takes, and which claims a short one begins with."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from statistics import fmean

from edgeai_repro.claims.schema import ClaimCase
from edgeai_repro.claims.shards import by_networks
from edgeai_repro.errors import UserError
from edgeai_repro.report import document

SHARE = 0.05  # of the run, before this run's own speed counts as much as the earlier run's
LEAST = 0.01  # seconds of a claim


def earlier_seconds(verdicts: Path) -> dict[str, float]:
    """Return the seconds that each claim took in the run of a file, by the claim's id; none if there is no file."""
    with suppress(UserError):
        return document.read(verdicts).claim_seconds
    return {}


def cheapest_first(cases: Iterable[ClaimCase], earlier: Mapping[str, float]) -> list[ClaimCase]:
    """Return claims in the order in which most of them are judged in a short time.

    Claims on the same networks stay together: the first counts the networks, and the others take next to no time.
    So the seconds of a group, by an earlier run, are divided by its claims. A claim that is new counts as the mean.
    """
    groups = list(by_networks(cases).values())
    typical = fmean(earlier.values()) if earlier else 0.0

    def seconds_per_claim(group: list[ClaimCase]) -> float:
        return fmean(earlier.get(case.id, typical) for case in group)

    return [case for group in sorted(groups, key=seconds_per_claim) for case in group]


class TimeLeft:
    """Estimates the time that a run still takes.

    `cases` are the ids of its claims, `earlier` the seconds that claims took in an earlier run, perhaps on another
    machine. A claim that is not among them counts as the mean of the others.
    """

    def __init__(self, cases: Iterable[str], earlier: Mapping[str, float]) -> None:
        cases = list(cases)
        self._earlier = earlier
        known = [max(earlier[case], LEAST) for case in cases if case in earlier]
        typical = fmean(known) if known else 1.0
        self._expected = {case: max(earlier[case], LEAST) if case in earlier else typical for case in cases}
        self._total = sum(self._expected.values())
        self._trusted = SHARE * self._total if known else 0.0

    def of(self, case: str) -> float:
        """Return the seconds that a claim took in the earlier run, 0 if it isn't known."""
        return self._earlier.get(case, 0.0)

    def after(self, judged: Collection[str], elapsed: float) -> float | None:
        """Return the seconds left once these claims were judged in `elapsed` seconds, None if it is too early.

        This run is slower or faster than the earlier one by a factor, which its own speed shows. At first, when a
        few short claims say little about it, the factor is near 1. Without an earlier run the mean of the claims
        so far decides, once a twentieth of them was judged.
        """
        done = sum(self._expected.get(case, 0.0) for case in judged)
        if not self._trusted and done < SHARE * self._total:
            return None
        return (elapsed + self._trusted) / (done + self._trusted) * (self._total - done)
