"""Times that are not of this device or not reliable are compared with care, and never lost."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pytest_benchmark.utils import get_machine_id

from tests.support.stored_benchmarks import COMPARE, SAVE, TEST, Device, a_million_times_faster

NOISY = TEST.replace("    benchmark.", "    benchmark.extra_info['control'] = [0.8, 1.3]\n    benchmark.")
FAIL = "--benchmark-compare-fail=median:10%"
WHY = "the ratio of the model to itself is 0.8 … 1.3, not within 0.95 … 1.05"


def noisy(document: dict[str, Any]) -> None:
    """Make the stored times fast, with a failed A/A control."""
    a_million_times_faster(document)
    for benchmark in document["benchmarks"]:
        benchmark["extra_info"] = {"control": [0.8, 1.3]}


def quiet(document: dict[str, Any]) -> None:
    """Make the stored times fast, with an A/A control that passed."""
    a_million_times_faster(document)
    for benchmark in document["benchmarks"]:
        benchmark["extra_info"] = {"control": [0.99, 1.01]}


class TestHistory:
    """A repository that gets a claims folder has a history that pytest-benchmark stored alone."""

    def stored_before_there_were_claims(self, device: Device) -> None:
        """Store a run by pytest-benchmark alone."""
        device.pytester.makeini("[pytest]")
        assert device.run("--benchmark-save=old").ret == 0
        device.pytester.makeini("[pytest]\nclaims_dir = claims\n")

    @pytest.mark.parametrize("number", ["", "=0001"])
    def test_history_is_compared_with_a_notice(self, device: Device, number: str) -> None:
        """The results of pytest-benchmark's own folder count until there are some of this device."""
        self.stored_before_there_were_claims(device)

        result = device.run("--edge-threads=2", f"--benchmark-compare{number}")

        assert result.ret == 0
        result.stdout.fnmatch_lines_random(["test_model?dense? (*0001_old*)*", "test_model?dense? (NOW)*"])
        result.stdout.fnmatch_lines(["benchmarks: *0001_old.json is compared, which pytest-benchmark stored *"])

    def test_regression_against_the_history_fails(self, device: Device) -> None:
        """The comparison is as strict as before."""
        self.stored_before_there_were_claims(device)
        (path,) = device.folder.parent.glob(f"{get_machine_id()}/0001_old.json")
        document = json.loads(path.read_text())
        a_million_times_faster(document)
        path.write_text(json.dumps(document))

        assert device.run(*COMPARE, FAIL).ret != 0

    def test_results_of_this_device_come_first(self, device: Device) -> None:
        """The history is only read while there is nothing better."""
        self.stored_before_there_were_claims(device)
        device.save()

        result = device.run(*COMPARE)

        result.stdout.no_fnmatch_line("*0001_old*")


class TestNoise:
    """Times that failed their A/A control are marked, and no regression is concluded from them."""

    def test_stored_times_say_that_they_are_unreliable(self, device: Device) -> None:
        """The table and a notice show it, and the file has the control."""
        device.pytester.makepyfile(test_speed=NOISY)

        result = device.run(*SAVE)

        result.stdout.fnmatch_lines(["~ test_model?dense?*"])
        notice = "benchmarks: ~ test_speed.py::test_model?dense?: times are too noisy to be compared: "
        result.stdout.fnmatch_lines([f"{notice}{WHY}"])
        (path,) = device.folder.glob("*/*_run.json")
        assert json.loads(path.read_text())["benchmarks"][0]["extra_info"]["control"] == [0.8, 1.3]

    def test_noise_in_this_run_is_no_regression(self, device: Device) -> None:
        """The times are a million times slower than the stored ones, but nobody knows of what."""
        device.save(quiet)
        device.pytester.makepyfile(test_speed=NOISY)

        result = device.run(*COMPARE, FAIL)

        assert result.ret == 0
        result.stdout.fnmatch_lines(["~ test_model?dense? (NOW)*"])

    def test_noise_in_the_stored_times_is_no_regression(self, device: Device) -> None:
        """The mark stands before the stored ones."""
        device.save(noisy)

        result = device.run(*COMPARE, FAIL)

        assert result.ret == 0
        result.stdout.fnmatch_lines_random(["~ test_model?dense? (0001_run)*", "test_model?dense? (NOW)*"])
        result.stdout.fnmatch_lines([f"benchmarks: *: stored times are too noisy to be compared: {WHY}"])

    def test_quiet_times_are_still_compared(self, device: Device) -> None:
        """Only the noisy ones are left out."""
        device.save(quiet)
        one = NOISY.replace("    benchmark.extra_info", "    if model == 'pruned': benchmark.extra_info")
        device.pytester.makepyfile(test_speed=one)

        assert device.run(*COMPARE, FAIL).ret != 0
