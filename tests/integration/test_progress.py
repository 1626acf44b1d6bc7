"""A run of the claims shows on a terminal how far it is, and how long it still takes."""

from __future__ import annotations

import re

import pytest

from edgeai_repro import session
from edgeai_repro.report import document
from tests.support.repository import PLUGINS, Repository, planted
from tests.support.terminal import run_on_terminal

FOUR = [planted(10, id=name) for name in ("first", "second", "third", "last")]


def test_terminal_shows_each_verdict_with_the_time_left(repository: Repository) -> None:
    """The seconds are those of the run in docs/verdicts.json; a slow claim is announced before it starts."""
    repository.write(*FOUR)
    repository.run("-q", f"--claims-json={repository.json}")
    kept = repository.pytester.path / "docs" / "verdicts.json"
    slow = {f"paper/{name}": 1000.0 for name in ("first", "second", "third", "last")}
    document.write(document.read(repository.json).model_copy(update={"claim_seconds": slow}), kept)

    shown = run_on_terminal("-m", "pytest", *PLUGINS, columns=80, folder=repository.pytester.path)
    shown = shown.replace("\r\n", "\n")

    lines = re.findall(
        r"^(\d of 4)(?:, about (\d+) min \d+ s left)?  paper/(\w+): reproduced$", shown, re.MULTILINE
    )
    assert [(number, name) for number, _, name in lines] == [
        ("1 of 4", "first"),
        ("2 of 4", "second"),
        ("3 of 4", "third"),
        ("4 of 4", "last"),
    ]
    assert re.findall(r"^paper/(\w+) took 16 min 40 s in the kept run$", shown, re.MULTILINE) == [
        *("first", "second", "third", "last")
    ]
    # A twentieth of the 4000 s is trusted: (t + 200) / (1000 + 200) * 3000 s at t ≈ 0, and so on.
    first, second, third, last = (minutes for _, minutes, _ in lines)
    assert int(first) in (8, 9)
    assert (second, third, last) == ("3", "1", "")


def test_log_without_a_terminal_has_no_progress(repository: Repository) -> None:
    """A CI log isn't filled with it; the JSON has the seconds of each claim."""
    result = repository.judge(*FOUR, arguments=("-q", f"--claims-json={repository.json}"))

    result.stdout.no_fnmatch_line("* of 4*")
    assert set(document.read(repository.json).claim_seconds) == {
        f"paper/{name}" for name in ("first", "second", "third", "last")
    }


def test_quick_run_begins_with_the_cheapest_claims(repository: Repository) -> None:
    """The seconds are those of the run in docs/verdicts.json; the file keeps the order of the claims."""
    names = ("first", "second", "last")
    repository.write(
        *(
            planted(10, id=name, technique="none", models=[network])
            for name, network in zip(names, ("vgg16", "alexnet", "resnet18"), strict=True)
        )
    )
    repository.run("-q", f"--claims-json={repository.json}")
    kept = repository.pytester.path / "docs" / "verdicts.json"
    seconds = {"paper/first": 30.0, "paper/second": 1.0, "paper/last": 2.0}
    document.write(document.read(repository.json).model_copy(update={"claim_seconds": seconds}), kept)

    result = repository.run("-v", "--claims-quick", f"--claims-json={repository.json}")

    order = re.findall(r"test_claim\[paper/(\w+)\] PASSED", result.stdout.str())
    assert order == ["second", "last", "first"]
    assert list(repository.verdicts()) == list(names)


def test_quick_run_says_how_many_claims_it_left_out(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line says it, and how to judge them, instead of a sentence for each."""
    monkeypatch.setattr(session, "QUICK_SECONDS", -1)
    repository.write(*(planted(10, id=name, technique="none") for name in ("first", "second")))

    result = repository.run("--claims-quick", f"--claims-json={repository.json}")

    result.assert_outcomes(skipped=2)
    assert set(repository.verdicts().values()) == {"not_testable"}
    result.stdout.fnmatch_lines(["2 of 2 claims were left out, because --claims-quick takes no more time; *"])
    result.stdout.no_fnmatch_line("*first *")
