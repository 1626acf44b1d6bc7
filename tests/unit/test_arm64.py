"""arm64 under emulation: what it is held to, shown wrong values; and what the script says of bad input."""

from __future__ import annotations

import fcntl
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import typer

from ci import arm64_check
from ci.arm64_check import BYTES, Findings, Found, compare, untimed
from edgeai_repro.errors import UserError
from edgeai_repro.evidence.environment import describe
from edgeai_repro.files import write_text
from edgeai_repro.judge.verdict import judge, not_testable
from edgeai_repro.report.document import ClaimEntry, claim_entry
from tests.support.factories import claim
from tests.unit.test_device_results import DEVICES, LATENCY, result, timed

SCRIPT = Path(__file__).parents[2] / "ci" / "arm64-emulated.sh"
HERE = Found(
    model="tiny",
    engine="qnnpack",
    figures={"parameters": 10, BYTES: 40},
    weights="a" * 64,
    logits=((1.0, 2.0), (3.0, 4.0)),
    error=0.02,
    classes=(1,) * 1000,
)


def findings(*found: Found) -> Findings:
    """Return what this machine finds."""
    return Findings(environment=describe(), found=found)


def disagreeing(there: Sequence[Found], here: Sequence[Found] = (HERE,)) -> list[str]:
    """Return what two machines don't agree on."""
    return [line.what for line in compare(findings(*here), findings(*there)) if line.agrees is False]


def test_agrees() -> None:
    """What is the same agrees, in each thing that is compared but the share of images, which is told."""
    lines = list(compare(findings(HERE), findings(HERE)))

    assert [line.agrees for line in lines] == [True, True, True, None, True, True]
    assert "2 of 2" in {line.there for line in lines}


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"figures": {"parameters": 11, BYTES: 40}}, "parameters"),
        ({"figures": {"parameters": 10, BYTES: 41}}, BYTES),
        ({"figures": {"parameters": 10}}, BYTES),
        ({"weights": "b" * 64}, "weights, sha256"),
        ({"logits": ((1.0, 2.0), (3.0, 4.03))}, "largest difference of a logit"),
        ({"logits": ((1.0, 2.0), (3.0, float("nan")))}, "largest difference of a logit"),
        ({"logits": ((1.0, 2.0),)}, "largest difference of a logit"),
        ({"logits": ()}, "largest difference of a logit"),
        ({"classes": (1,) * 997 + (2,) * 3}, "answers that differ, of 1000"),
        ({"classes": (1,) * 999}, "answers that differ, of 1000"),
        ({"classes": ()}, "answers that differ, of 1000"),
    ],
)
def test_planted(change: Mapping[str, Any], what: str) -> None:
    """A wrong value is found, and nothing else is said to be wrong."""
    assert disagreeing([HERE.model_copy(update=change)]) == [what]


@pytest.mark.parametrize(
    "change", [{"logits": ((1.0, 2.0), (3.0, 4.019))}, {"classes": (1,) * 998 + (2,) * 2}, {"error": 9.0}]
)
def test_allowed(change: Mapping[str, Any]) -> None:
    """A logit within int8's own error, as this machine found it, and two answers of 1,000 may differ."""
    assert disagreeing([HERE.model_copy(update=change)]) == []


def test_fp32() -> None:
    """Without int8 a logit may differ by 1e-3, no more."""
    plain = HERE.model_copy(update={"error": 0.0})

    for off, wrong in ((0.0009, []), (0.0011, ["largest difference of a logit"])):
        assert disagreeing([plain.model_copy(update={"logits": ((1.0, 2.0), (3.0, 4.0 + off))})], [plain]) == wrong


def test_another_engine() -> None:
    """Another engine's logits, answers and bytes are told and may differ; its counts and weights may not."""
    x86 = HERE.model_copy(update={"engine": "x86"})
    other = {"logits": ((1.0, 2.0), (3.0, 9.0)), "classes": (2,) * 1000}
    there = HERE.model_copy(update={**other, "figures": {"parameters": 10, BYTES: 44}})
    beside = [line for line in compare(findings(x86), findings(there)) if "against x86" in line.model]

    assert [line.agrees for line in beside] == [True, None, True, None, None, None]
    assert disagreeing([there.model_copy(update={"weights": "b" * 64})], [x86]).count("weights, sha256") == 1


def test_missing() -> None:
    """A model that only one of the machines ran, or that it ran with no engine of the other's, is an error."""
    other = HERE.model_copy(update={"model": "atto"})

    assert disagreeing([HERE], [HERE, other]) == ["qnnpack"]
    assert disagreeing([HERE, other], [HERE]) == ["qnnpack"]
    assert disagreeing([HERE], [HERE.model_copy(update={"engine": "x86"})]) == ["qnnpack"]


def said_of(folder: Path, *entries: ClaimEntry, emulated: bool = True) -> list[bool | None]:
    """Return what is said of a run of the claims that calls itself a Raspberry Pi 5."""
    run = result(emulated=emulated)
    papers = [run.papers[0].model_copy(update={"claims": list(entries)})]
    write_text(folder / "claims.json", run.model_copy(update={"papers": papers}).model_dump_json())
    return [line.agrees for line in untimed(folder / "claims.json", DEVICES)]


def test_untimed(tmp_path: Path) -> None:
    """A run agrees that gave no verdict on a time, told none, and is refused as evidence for being emulated."""
    refused = claim_entry(not_testable(claim(**LATENCY), "edge", "emulated"))
    told = claim_entry(not_testable(claim(**LATENCY), "edge", "emulated", [timed()]))
    judged = claim_entry(judge(claim(**LATENCY), [timed()]))

    assert said_of(tmp_path, refused) == [True, True]
    assert said_of(tmp_path, told) == [False, True]
    assert said_of(tmp_path, judged) == [False, True]
    assert said_of(tmp_path) == [False, True]
    assert said_of(tmp_path, judged, emulated=False) == [False, False], "it was kept"
    assert said_of(tmp_path, refused, emulated=False) == [True, False], "it was refused for another reason"


@pytest.mark.parametrize(
    ("there", "status", "said"), [(HERE, 0, "yes"), (HERE.model_copy(update={"weights": "b"}), 1, "NO")]
)
def test_check(tmp_path: Path, capsys: pytest.CaptureFixture[str], there: Found, status: int, said: str) -> None:
    """The table tells what agrees, and the exit status is 1 where something doesn't."""
    for machine, found in (("x86", HERE), ("arm64", there)):
        write_text(tmp_path / f"{machine}-eager.json", findings(found).model_dump_json())

    with pytest.raises(typer.Exit) as ended:
        arm64_check.check(tmp_path, ["eager"])
    assert ended.value.exit_code == status
    assert re.search(rf"weights, sha256 .* {said}\n", capsys.readouterr().out)


def test_check_without_a_file(tmp_path: Path) -> None:
    """A machine that found nothing is told in one line."""
    with pytest.raises(UserError, match=r"x86-eager\.json: must be a readable JSON file"):
        arm64_check.check(tmp_path, ["eager"])


def script(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the script."""
    return subprocess.run(["bash", SCRIPT, *arguments], check=False, capture_output=True, text=True)


def test_syntax() -> None:
    """bash can read the script."""
    assert subprocess.run(["bash", "-n", SCRIPT], check=False).returncode == 0


def test_help() -> None:
    """--help tells every option."""
    asked = script("--help")

    assert asked.returncode == 0
    for option in ("--cache", "--out", "--images", "--apt-sources", "--python", "edge", "eager"):
        assert option in asked.stdout


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["edgy"], r"an argument must be an option, edge or eager \(got 'edgy'\)"),
        (["--cash", "x"], r"\(got '--cash'\)"),
        (["--cache"], r"--cache must have a value \(got none\)"),
        (["--images", "0"], r"--images must be a number above 0 \(got '0'\)"),
        (["--images", "many"], r"--images must be a number above 0 \(got 'many'\)"),
        (
            ["--apt-sources", "/nowhere/sources"],
            r"--apt-sources must be a readable file \(got '/nowhere",
        ),
        (["--python", "/nowhere/python"], r"'/nowhere/python' must have torch"),
        (["--cache", "/dev/null/cache", "--python", sys.executable], r"must be folders that can be written"),
    ],
)
def test_bad_input(arguments: list[str], complaint: str) -> None:
    """Bad input is one line and status 2, before anything is fetched."""
    ended = script(*arguments)

    assert ended.returncode == 2
    assert re.fullmatch(rf"arm64-emulated: .*{complaint}.*\n", ended.stderr)
    assert ended.stdout == ""


def test_one_run_at_a_time(tmp_path: Path) -> None:
    """Two runs can't fill one cache."""
    with (tmp_path / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        ended = script("--cache", tmp_path, "--out", tmp_path, "--python", sys.executable)

    assert ended.returncode == 2
    assert "one run at a time" in ended.stderr
