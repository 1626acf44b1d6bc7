"""The time left of a run of claims is that of an earlier run, at the speed of this one."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgeai_repro.report import document
from edgeai_repro.report.time_left import TimeLeft, cheapest_first, earlier_seconds
from tests.support import reports
from tests.support.factories import case, claim

CASES = ("quick", "slow", "last")
EARLIER = {"quick": 10.0, "slow": 80.0, "last": 10.0}


@pytest.mark.parametrize(
    ("judged", "elapsed", "left"),
    [
        ([], 0.0, 100.0),
        (["quick"], 10.0, 90.0),
        (["quick"], 25.0, 2 * 90.0),  # (25 + 5) / (10 + 5): twice as slow as the earlier run
        (["quick", "slow"], 42.5, 5.0),  # (42.5 + 5) / (90 + 5): twice as fast
        (CASES, 400.0, 0.0),
    ],
)
def test_time_left_is_that_of_the_earlier_run_at_the_speed_of_this_one(
    judged: list[str], elapsed: float, left: float
) -> None:
    """A twentieth of the earlier run, 5 s, counts as if it had been seen at the earlier speed."""
    assert TimeLeft(CASES, EARLIER).after(judged, elapsed) == pytest.approx(left)


def test_claim_that_is_new_counts_as_the_mean() -> None:
    """It is that of the other claims: 45 s."""
    assert TimeLeft([*CASES[:2], "new"], EARLIER).after(CASES[:2], 90.0) == pytest.approx(45.0)


def test_without_an_earlier_run_the_claims_so_far_decide() -> None:
    """One of 40 claims is too few; after two, which took 10 s, the other 38 take 5 s each."""
    cases = [str(number) for number in range(40)]

    assert TimeLeft(cases, {}).after(cases[:1], 5.0) is None
    assert TimeLeft(cases, {}).after(cases[:2], 10.0) == pytest.approx(190.0)


def test_claims_that_took_no_time_are_no_division_by_zero() -> None:
    """A clock may not have moved."""
    assert TimeLeft(["a", "b"], {"a": 0.0, "b": 0.0}).after([], 0.0) == pytest.approx(0.02)


def test_earlier_seconds_are_those_of_the_file(tmp_path: Path) -> None:
    """A file that is missing or damaged has none: it is no reason to end a run."""
    path = tmp_path / "verdicts.json"
    assert earlier_seconds(path) == {}
    document.write(reports.run().model_copy(update={"claim_seconds": {"paper/a": 2.5}}), path)
    assert earlier_seconds(path) == {"paper/a": 2.5}
    path.write_text("{", encoding="utf-8")
    assert earlier_seconds(path) == {}


def test_claims_that_are_judged_fastest_come_first_each_with_those_on_its_networks() -> None:
    """Three claims on a network of 6 s are judged faster than one of 3 s; a new one is as the mean."""
    networks = {"a": "vgg16", "b": "resnet50", "c": "vgg16", "d": "vgg16", "e": "alexnet", "f": "resnet18"}
    cases = [case(claim(id=name, models=[network])) for name, network in networks.items()]
    earlier = {"paper/a": 6.0, "paper/b": 3.0, "paper/c": 0.0, "paper/d": 0.0, "paper/e": 1.0}

    ordered = [one.claim.id for one in cheapest_first(cases, earlier)]

    assert ordered == ["e", "a", "c", "d", "f", "b"]  # 1, 2, and the mean of all five: 2 s


def test_without_an_earlier_run_the_order_stays() -> None:
    """It is that of the claims files."""
    cases = [case(claim(id=name, models=[name])) for name in ("vgg16", "alexnet")]

    assert cheapest_first(cases, {}) == cases
