"""arm64 under emulation: planted differences from x86 are found, and the script refuses bad input."""

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
from ci.arm64_compare import BYTES, MachineResults, ModelResult, check_times_are_refused, compare
from edgeai_repro.errors import UserError
from edgeai_repro.evidence.environment import describe
from edgeai_repro.evidence.measurement import Measured, Obstacle
from edgeai_repro.files import write_text
from edgeai_repro.judge.verdict import judge
from edgeai_repro.report.document import ClaimEntry, claim_entry
from tests.support.device_results import DEVICES, LATENCY, result, timed
from tests.support.factories import claim, judged

EMULATED = Obstacle("edge", "emulated")
SCRIPT = Path(__file__).parents[2] / "ci" / "arm64-emulated.sh"
RESULT = ModelResult(
    model="tiny",
    engine="qnnpack",
    figures={"parameters": 10, BYTES: 40},
    weights="a" * 64,
    logits=((1.0, 2.0), (3.0, 4.0)),
    error=0.02,
    predictions=(1,) * 1000,
)


def machine(*models: ModelResult) -> MachineResults:
    """Return the results of a machine."""
    return MachineResults(environment=describe(), models=models)


def differing(arm64: Sequence[ModelResult], x86: Sequence[ModelResult] = (RESULT,)) -> list[str]:
    """Return the quantities in which two machines don't agree."""
    return [line.quantity for line in compare(machine(*x86), machine(*arm64)) if line.agrees is False]


def test_equal_results_agree() -> None:
    """Every quantity agrees, except the share of images with close logits, which is only shown."""
    lines = list(compare(machine(RESULT), machine(RESULT)))

    assert [line.agrees for line in lines] == [True, True, True, None, True, True]
    assert "2 of 2" in {line.arm64 for line in lines}


@pytest.mark.parametrize(
    ("change", "quantity"),
    [
        ({"figures": {"parameters": 11, BYTES: 40}}, "parameters"),
        ({"figures": {"parameters": 10, BYTES: 41}}, BYTES),
        ({"figures": {"parameters": 10}}, BYTES),
        ({"weights": "b" * 64}, "weights, sha256"),
        ({"logits": ((1.0, 2.0), (3.0, 4.03))}, "largest difference of a logit"),
        ({"logits": ((1.0, 2.0), (3.0, float("nan")))}, "largest difference of a logit"),
        ({"logits": ((1.0, 2.0),)}, "largest difference of a logit"),
        ({"logits": ()}, "largest difference of a logit"),
        ({"predictions": (1,) * 997 + (2,) * 3}, "predictions that differ, of 1000"),
        ({"predictions": (1,) * 999}, "predictions that differ, of 1000"),
        ({"predictions": ()}, "predictions that differ, of 1000"),
    ],
)
def test_planted_difference_is_found(change: Mapping[str, Any], quantity: str) -> None:
    """No other quantity is reported."""
    assert differing([RESULT.model_copy(update=change)]) == [quantity]


@pytest.mark.parametrize(
    "change", [{"logits": ((1.0, 2.0), (3.0, 4.019))}, {"predictions": (1,) * 998 + (2,) * 2}, {"error": 9.0}]
)
def test_differences_that_int8_explains_are_allowed(change: Mapping[str, Any]) -> None:
    """A logit may differ by the error of int8 on x86, and two predictions of 1,000 may differ."""
    assert differing([RESULT.model_copy(update=change)]) == []


@pytest.mark.parametrize(("difference", "quantities"), [(9e-4, []), (1.1e-3, ["largest difference of a logit"])])
def test_logit_in_fp32_may_differ_by_a_thousandth(difference: float, quantities: list[str]) -> None:
    """Without int8 there is no other error."""
    x86 = RESULT.model_copy(update={"error": 0.0})
    arm64 = x86.model_copy(update={"logits": ((1.0, 2.0), (3.0, 4.0 + difference))})

    assert differing([arm64], [x86]) == quantities


def test_another_engine_must_agree_in_counts_and_weights_only() -> None:
    """Its logits, predictions and bytes are shown and may differ."""
    x86 = RESULT.model_copy(update={"engine": "x86"})
    outputs = {"logits": ((1.0, 2.0), (3.0, 9.0)), "predictions": (2,) * 1000}
    arm64 = RESULT.model_copy(update={**outputs, "figures": {"parameters": 10, BYTES: 44}})
    lines = [line for line in compare(machine(x86), machine(arm64)) if "against x86" in line.model]

    assert [line.agrees for line in lines] == [True, None, True, None, None, None]
    assert differing([arm64.model_copy(update={"weights": "b" * 64})], [x86]).count("weights, sha256") == 1


def test_model_or_engine_of_one_machine_only_is_an_error() -> None:
    """Each model must run on both machines with at least one common engine."""
    other = RESULT.model_copy(update={"model": "atto"})

    assert differing([RESULT], [RESULT, other]) == ["qnnpack"]
    assert differing([RESULT, other], [RESULT]) == ["qnnpack"]
    assert differing([RESULT], [RESULT.model_copy(update={"engine": "x86"})]) == ["qnnpack"]


def agreement(folder: Path, *entries: ClaimEntry, emulated: bool = True) -> list[bool | None]:
    """Return what `check_times_are_refused` finds in a run that claims to be on a Raspberry Pi 5."""
    run = result(emulated=emulated)
    papers = [run.papers[0].model_copy(update={"claims": list(entries)})]
    write_text(folder / "claims.json", run.model_copy(update={"papers": papers}).model_dump_json())
    return [line.agrees for line in check_times_are_refused(folder / "claims.json", DEVICES)]


class TestTimesAreRefused:
    """A run under emulation gives no verdict on a time, has no rows of times, and can't be added as evidence."""

    REFUSED = claim_entry(judge(claim(**LATENCY), Measured(obstacle=EMULATED)))
    JUDGED = claim_entry(judged(claim(**LATENCY), [timed()]))

    def test_run_without_times_agrees(self, tmp_path: Path) -> None:
        """It is refused as evidence because it was emulated."""
        assert agreement(tmp_path, self.REFUSED) == [True, True]

    def test_row_without_a_verdict_is_found(self, tmp_path: Path) -> None:
        """A time is in the results although it wasn't judged."""
        with_row = claim_entry(judge(claim(**LATENCY), Measured((timed(),), EMULATED)))

        assert agreement(tmp_path, with_row) == [False, True]

    def test_verdict_on_a_time_is_found(self, tmp_path: Path) -> None:
        """Evidence is refused all the same."""
        assert agreement(tmp_path, self.JUDGED) == [False, True]

    def test_run_without_claims_about_times_is_found(self, tmp_path: Path) -> None:
        """It would prove nothing."""
        assert agreement(tmp_path) == [False, True]

    def test_run_that_was_added_as_evidence_is_found(self, tmp_path: Path) -> None:
        """The emulator wasn't noticed."""
        assert agreement(tmp_path, self.JUDGED, emulated=False) == [False, False]

    def test_run_that_was_refused_for_another_reason_is_found(self, tmp_path: Path) -> None:
        """It has no times, and the emulator wasn't noticed."""
        assert agreement(tmp_path, self.REFUSED, emulated=False) == [True, False]


@pytest.mark.parametrize(
    ("arm64", "status", "agrees"), [(RESULT, 0, "yes"), (RESULT.model_copy(update={"weights": "b"}), 1, "NO")]
)
def test_exit_status_is_1_if_a_quantity_differs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arm64: ModelResult, status: int, agrees: str
) -> None:
    """The table shows which one."""
    for name, results in (("x86", RESULT), ("arm64", arm64)):
        write_text(tmp_path / f"{name}-eager.json", machine(results).model_dump_json())

    with pytest.raises(typer.Exit) as ended:
        arm64_check.check(tmp_path, ["eager"])
    assert ended.value.exit_code == status
    assert re.search(rf"weights, sha256 .* {agrees}\n", capsys.readouterr().out)


def test_missing_results_are_named(tmp_path: Path) -> None:
    """The message has the path of the JSON file."""
    with pytest.raises(UserError, match=r"x86-eager\.json: must be a readable JSON file"):
        arm64_check.check(tmp_path, ["eager"])


def script(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the script."""
    return subprocess.run(["bash", SCRIPT, *arguments], check=False, capture_output=True, text=True)


def test_script_is_valid_bash() -> None:
    """bash can parse it."""
    assert subprocess.run(["bash", "-n", SCRIPT], check=False).returncode == 0


def test_help_lists_every_option_and_part() -> None:
    """It exits with 0."""
    ended = script("--help")

    assert ended.returncode == 0
    for option in ("--cache", "--out", "--images", "--apt-sources", "--python", "edge", "eager"):
        assert option in ended.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["edgy"], r"an argument must be an option, edge or eager \(got 'edgy'\)"),
        (["--cash", "x"], r"\(got '--cash'\)"),
        (["--cache"], r"the value of --cache is missing; see --help"),
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
def test_bad_input_is_refused_in_one_line(arguments: list[str], message: str) -> None:
    """The exit status is 2, and nothing is downloaded."""
    ended = script(*arguments)

    assert ended.returncode == 2
    assert re.fullmatch(rf"arm64-emulated: .*{message}.*\n", ended.stderr)
    assert ended.stdout == ""


def test_second_run_with_the_same_cache_is_refused(tmp_path: Path) -> None:
    """The first run holds a lock."""
    with (tmp_path / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        ended = script("--cache", tmp_path, "--out", tmp_path, "--python", sys.executable)

    assert ended.returncode == 2
    assert "is in use by another run" in ended.stderr
