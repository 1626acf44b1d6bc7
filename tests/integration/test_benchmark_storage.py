"""Benchmarks are stored and compared by device, whatever its software."""

from __future__ import annotations

import json
from typing import Any

import pytest

from edgeai_repro.devices.fingerprint import fingerprint
from tests.support.stored_benchmarks import COMPARE, PLUGINS, SAVE, TEST, Device, a_million_times_faster

OTHER_DEVICE = "aarch64-cortex-a76-4c-4t-00000000"


def with_another_cpu(document: dict[str, Any]) -> None:
    """Turn results into those of another CPU."""
    document["machine_info"]["edgeai"]["fingerprint"]["cpu"] = "Cortex-A76"


class TestSaving:
    """Results are stored by device."""

    def test_results_are_stored_by_fingerprint_with_their_software(self, device: Device) -> None:
        """The folder is named by the device's fingerprint; the file holds it, and the software's versions."""
        path = device.save()

        machine = json.loads(path.read_text())["machine_info"]["edgeai"]
        assert path.is_relative_to(device.folder)
        assert machine["fingerprint"] == fingerprint(2).model_dump()
        assert machine["stack"]["versions"]["numpy"]

    @pytest.mark.parametrize("option", ["--benchmark-save=run", "--benchmark-autosave"])
    def test_emulated_processor_is_refused_before_anything_is_timed(
        self, device: Device, monkeypatch: pytest.MonkeyPatch, option: str
    ) -> None:
        """Times under emulation must not be stored as a device's."""
        monkeypatch.setattr("edgeai_repro.evidence.environment.emulated", lambda: True)
        result = device.run("--edge-threads=2", option)

        assert result.ret == pytest.ExitCode.USAGE_ERROR
        result.stderr.fnmatch_lines(["ERROR: --benchmark-save *real processor (got *, emulated)*"])
        assert not list(device.pytester.path.glob(".benchmarks/**/*.json"))

    def test_benchmark_json_records_emulation(self, device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
        """A file that pytest-benchmark writes by --benchmark-json contains the fact that the CPU was emulated."""
        monkeypatch.setattr("edgeai_repro.evidence.environment.emulated", lambda: True)
        device.run("--benchmark-json=times.json")

        machine = json.loads((device.pytester.path / "times.json").read_text())["machine_info"]["edgeai"]
        assert machine["fingerprint"]["emulated"] is True

    def test_folder_that_is_a_file_is_refused_before_anything_runs(self, device: Device) -> None:
        """A storage folder that can't be written is a usage error."""
        (device.pytester.path / ".benchmarks").write_text("a file", encoding="utf-8")
        result = device.run(*SAVE)

        assert result.ret == pytest.ExitCode.USAGE_ERROR
        result.stderr.fnmatch_lines(["ERROR: *must be writable*"])
        result.stdout.no_fnmatch_line("*passed*")


class TestComparing:
    """Results are compared with those of the same device."""

    def test_same_device_and_software_adds_no_notice(self, device: Device) -> None:
        """The comparison is pytest-benchmark's own table."""
        device.save()
        result = device.run(*COMPARE)

        assert result.ret == 0
        result.stdout.fnmatch_lines_random(["test_model?dense? (0001_run)*", "test_model?dense? (NOW)*"])
        result.stdout.no_fnmatch_line("benchmarks: *")

    @pytest.mark.parametrize("number", ["", "=0001", "=*/0001"])
    @pytest.mark.parametrize("within", ["Linux-CPython-3.10-64bit", ""], ids=["another Python", "no Python"])
    def test_python_version_does_not_matter(self, device: Device, number: str, within: str) -> None:
        """Results of another Python version, and of version 0.1, which didn't separate them, are compared."""
        device.save(within=within)
        result = device.run("--edge-threads=2", f"--benchmark-compare{number}")

        assert result.ret == 0
        result.stdout.fnmatch_lines(["test_model?dense? (*0001_run)*"])

    def test_latest_results_are_compared(self, device: Device) -> None:
        """Without a number the latest file counts, by its time and not by its number."""

        def older(document: dict[str, Any]) -> None:
            document["datetime"] = "2020-01-01T00:00:00+00:00"

        (device.save(older, within="Linux-CPython-3.10-64bit")).rename(device.folder / "0009_old.json")
        device.save()
        result = device.run(*COMPARE)

        result.stdout.fnmatch_lines(["test_model?dense? (*_run)*"])
        result.stdout.no_fnmatch_line("*0009_old*")

    def test_regression_fails_the_run(self, device: Device) -> None:
        """--benchmark-compare-fail fails as in pytest-benchmark."""
        device.save(a_million_times_faster)
        result = device.run(*COMPARE, "--benchmark-compare-fail=median:10%")

        assert result.ret != 0
        assert "Performance has regressed" in result.stdout.str() + result.stderr.str()

    def test_file_of_another_cpu_is_refused_before_anything_runs(self, device: Device) -> None:
        """The error names both devices."""
        path = device.save(with_another_cpu, device=OTHER_DEVICE)
        result = device.run("--edge-threads=2", f"--benchmark-compare={path}")

        this = fingerprint(2)
        other = this.model_copy(update={"cpu": "Cortex-A76"})
        (line,) = [line for line in result.stderr.lines if line.startswith("ERROR: ")]
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        assert f"must be of this device, {this} (got {other})" in line

    def test_file_with_another_number_of_threads_is_refused(self, device: Device) -> None:
        """Times with one thread are not comparable with times with two."""
        path = device.save()
        result = device.run("--edge-threads=1", f"--benchmark-compare={path}")

        assert result.ret == pytest.ExitCode.USAGE_ERROR
        result.stderr.fnmatch_lines(["ERROR: *must be of this device, *1 threads (got *2 threads)*"])

    @pytest.mark.parametrize("number", ["", "=0001", "=*/0001"])
    def test_results_of_other_devices_only_are_reported_and_not_compared(self, device: Device, number: str) -> None:
        """A notice names this device and the others."""
        device.save(with_another_cpu, device=OTHER_DEVICE)
        result = device.run("--edge-threads=2", f"--benchmark-compare{number}")

        assert result.ret == 0
        result.stdout.fnmatch_lines(
            [f"benchmarks: no benchmark of this device, {fingerprint(2)}, is stored; *Cortex-A76*"]
        )
        result.stdout.no_fnmatch_line("*(0001_run)*")

    @pytest.mark.parametrize("fail", [(), ("--benchmark-compare-fail=median:10%",)])
    def test_first_run_passes_with_a_notice(self, device: Device, fail: tuple[str, ...]) -> None:
        """On a device's first run there is nothing to compare with, and nothing to be slower than."""
        result = device.run(*COMPARE, *fail)

        assert result.ret == 0
        result.stdout.fnmatch_lines(["benchmarks: no benchmark of this device, * is stored"])

    def test_other_software_is_compared_and_reported(self, device: Device) -> None:
        """A notice lists each package with another version."""

        def older(document: dict[str, Any]) -> None:
            stack = document["machine_info"]["edgeai"]["stack"]
            stack["versions"]["numpy"] = "1.26.0"
            stack["python"] = "3.10.1"
            stack["versions"]["gone"] = "2.0"

        device.save(older)
        result = device.run(*COMPARE)

        assert result.ret == 0
        result.stdout.fnmatch_lines(["test_model?dense? (0001_run)*"])
        result.stdout.fnmatch_lines(["benchmarks: other software than in 0001_run.json: python 3.10.1 → *"])
        result.stdout.fnmatch_lines(["*numpy 1.26.0 → *, gone 2.0 → none*"])

    def test_path_that_is_no_file_is_refused(self, device: Device) -> None:
        """A path with several folders can't be a number."""
        result = device.run("--edge-threads=2", "--benchmark-compare=/nowhere/at/all.json")

        assert result.ret == pytest.ExitCode.USAGE_ERROR
        result.stderr.fnmatch_lines(["ERROR: --benchmark-compare *(got '/nowhere/at/all.json')*"])


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("{", "must be valid JSON"),
        ("[]", "must be a valid dictionary"),
        ('{"benchmarks": []}', "machine_info: is missing"),
        (
            '{"machine_info": {}, "benchmarks": [{"fullname": "a", "stats": {}}], "datetime": "2026-01-01"}',
            "device is missing",
        ),
    ],
)
def test_unusable_file_is_refused_and_not_touched(device: Device, content: str, complaint: str) -> None:
    """A file that is no stored run, or has no device, is an error of one line with its name."""
    path = device.save()
    path.write_text(content)
    result = device.run(*COMPARE, "--claims-json=out.json")

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert len([line for line in result.stderr.lines if line.startswith("ERROR: ")]) == 1
    result.stderr.fnmatch_lines([f"ERROR: *0001_run.json: *{complaint}*"])
    assert path.read_text() == content


def test_repository_without_claims_uses_the_storage_of_pytest_benchmark(pytester: pytest.Pytester) -> None:
    """Results go to the folder of operating system and Python version, and contain nothing of ours."""
    pytester.makepyfile(test_speed=TEST)

    assert pytester.runpytest_inprocess(*PLUGINS, "--benchmark-save=run").ret == 0
    (path,) = (pytester.path / ".benchmarks").glob("*/0001_run.json")
    assert "CPython" in path.parent.name
    assert "edgeai" not in json.loads(path.read_text())["machine_info"]
