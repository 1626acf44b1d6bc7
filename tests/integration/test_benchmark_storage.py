"""Benchmarks are compared on one device, whatever its software, and none drops from a comparison unseen."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgeai_repro.devices.fingerprint import fingerprint
from tests.support.factories import paper_yaml

PLUGINS = ("-p", "no:cacheprovider", "-p", "no:hypothesispytest", "-p", "no:anyio", "-W", "error")
TEST = """
import pytest


@pytest.mark.parametrize("model", ["dense", "pruned"])
def test_model(benchmark, model):
    benchmark.pedantic(lambda: None, rounds=3)
"""
COMPARE = ("--edge-threads=2", "--benchmark-compare")
SAVE = ("--edge-threads=2", "--benchmark-save=run")
Edit = Callable[[dict[str, Any]], object]


class Device:
    """A repository with two benchmarks and claims, and what it stored."""

    def __init__(self, pytester: pytest.Pytester) -> None:
        self.pytester = pytester
        (pytester.path / "claims").mkdir()
        (pytester.path / "claims" / "paper.yaml").write_text(paper_yaml(), encoding="utf-8")
        pytester.makeini("[pytest]\nclaims_dir = claims\n")
        pytester.makepyfile(test_speed=TEST)

    @property
    def folder(self) -> Path:
        """Where this device's results are filed, with two threads."""
        return self.pytester.path / ".benchmarks" / fingerprint(2).key

    def run(self, *arguments: str) -> pytest.RunResult:
        """Run pytest there."""
        return self.pytester.runpytest_inprocess(*PLUGINS, *arguments)

    def save(self, edit: Edit = lambda _: None, folder: Path | None = None) -> Path:
        """Store the results of a run, changed, and perhaps in another folder; return the file."""
        assert self.run(*SAVE).ret == 0
        (path,) = self.folder.glob("*_run.json")
        document = json.loads(path.read_text())
        edit(document)
        path.unlink()
        target = (folder or self.folder) / path.name
        target.parent.mkdir(exist_ok=True)
        target.write_text(json.dumps(document))
        return target


@pytest.fixture
def device(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Device:
    """A device without anything stored."""
    for name in [name for name in os.environ if name.startswith("EDGEAI_")]:
        monkeypatch.delenv(name)
    return Device(pytester)


def other_cpu(document: dict[str, Any]) -> None:
    """Make the results those of another CPU."""
    document["machine_info"]["edgeai"]["fingerprint"]["cpu"] = "Cortex-A76"


def renamed(document: dict[str, Any]) -> None:
    """Give a stored benchmark a name that no test has any more."""
    document["benchmarks"][0]["fullname"] = "test_speed.py::test_model[gone]"


def faster(document: dict[str, Any]) -> None:
    """Make the stored results a million times faster than this machine's."""
    for benchmark in document["benchmarks"]:
        benchmark["stats"] = {
            name: value / 1e6 if isinstance(value, float) else value for name, value in benchmark["stats"].items()
        }


def test_filed_by_device(device: Device) -> None:
    """Results are filed by the device's fingerprint, which they hold, with the software beside it."""
    path = device.save()

    ours = json.loads(path.read_text())["machine_info"]["edgeai"]
    assert path.parent.name == fingerprint(2).key
    assert ours["fingerprint"] == fingerprint(2).model_dump()
    assert ours["stack"]["versions"]["numpy"]


def test_compared(device: Device) -> None:
    """On the same device and software the comparison is pytest-benchmark's, without a word more."""
    device.save()
    result = device.run(*COMPARE)

    assert result.ret == 0
    result.stdout.fnmatch_lines_random(["test_model?dense? (0001_run)*", "test_model?dense? (NOW)*"])
    result.stdout.no_fnmatch_line("benchmarks: *")


@pytest.mark.parametrize("option", ["--benchmark-save=run", "--benchmark-autosave"])
def test_emulated(device: Device, monkeypatch: pytest.MonkeyPatch, option: str) -> None:
    """What is timed on an emulated processor isn't filed, and the run ends in one line before anything is timed."""
    monkeypatch.setattr("edgeai_repro.evidence.environment.emulated", lambda: True)
    result = device.run("--edge-threads=2", option)

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        ["ERROR: --benchmark-save * must file times of a real processor (got *, emulated)*"]
    )
    assert not list(device.pytester.path.glob(".benchmarks/**/*.json"))


def test_emulated_told(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that pytest-benchmark writes wherever it is told says that the processor was emulated."""
    monkeypatch.setattr("edgeai_repro.evidence.environment.emulated", lambda: True)
    device.run("--benchmark-json=times.json")

    said = json.loads((device.pytester.path / "times.json").read_text())["machine_info"]["edgeai"]
    assert said["fingerprint"]["emulated"] is True


def test_regression(device: Device) -> None:
    """--benchmark-compare-fail fails as users know it."""
    device.save(faster)
    result = device.run(*COMPARE, "--benchmark-compare-fail=median:10%")

    assert result.ret != 0
    assert "Performance has regressed" in result.stdout.str() + result.stderr.str()


@pytest.mark.parametrize("how", ["file", "glob"])
def test_another_cpu(device: Device, how: str) -> None:
    """Results of another CPU are refused, with both fingerprints, before anything is run."""
    path = device.save(other_cpu, device.folder.parent / "aarch64-cortex-a76-4c-4t-00000000")
    result = device.run("--edge-threads=2", f"--benchmark-compare={path if how == 'file' else '*/0001'}")

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    here = fingerprint(2)
    there = here.model_copy(update={"cpu": "Cortex-A76"})
    (line,) = [line for line in result.stderr.lines if line.startswith("ERROR: ")]
    assert f"must be of this device, {here} (got {there})" in line


def test_other_threads(device: Device) -> None:
    """Results with another number of threads are another device's."""
    path = device.save()
    result = device.run("--edge-threads=1", f"--benchmark-compare={path}")

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: *must be of this device, *1 threads (got *2 threads)*"])


def test_only_others(device: Device) -> None:
    """Where only others' results are stored, that is told with both fingerprints, and nothing is compared."""
    device.save(other_cpu, device.folder.parent / "aarch64-cortex-a76-4c-4t-00000000")
    result = device.run(*COMPARE)

    assert result.ret == 0
    here = fingerprint(2)
    result.stdout.fnmatch_lines([f"benchmarks: no benchmark of this device, {here}, is stored; *Cortex-A76*"])
    result.stdout.no_fnmatch_line("*(0001_run)*")


@pytest.mark.parametrize("fail", [(), ("--benchmark-compare-fail=median:10%",)])
def test_nothing_stored(device: Device, fail: tuple[str, ...]) -> None:
    """A first run has nothing to compare with, nor to be worse than, and says so."""
    result = device.run(*COMPARE, *fail)

    assert result.ret == 0
    result.stdout.fnmatch_lines(["benchmarks: no benchmark of this device, * is stored"])


def test_other_software(device: Device) -> None:
    """Other software on the same device is what is looked for: compared, and shown as a difference."""

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


class TestCounterparts:
    """What is stored and what is run are the same tests."""

    def test_lost(self, device: Device) -> None:
        """A stored benchmark that no test answers any more fails the run, by name; a new one is a notice."""
        device.save(renamed)
        result = device.run(*COMPARE)

        assert result.ret == pytest.ExitCode.TESTS_FAILED
        result.stdout.fnmatch_lines(
            [
                "ERROR: stored benchmark test_speed.py::test_model?gone? must have a counterpart (got none)*",
                "benchmarks: new, nothing stored to compare with: test_speed.py::test_model?dense?",
            ]
        )

    def test_file_gone(self, device: Device) -> None:
        """The same where the test's whole file is gone, and also under a mark."""

        def moved(document: dict[str, Any]) -> None:
            document["benchmarks"][0]["fullname"] = "test_gone.py::test_model[dense]"

        device.save(moved)

        assert device.run(*COMPARE).ret == pytest.ExitCode.TESTS_FAILED
        assert device.run(*COMPARE, "-m", "not claims").ret == pytest.ExitCode.TESTS_FAILED

    def test_skipped(self, device: Device) -> None:
        """A test that is skipped answers nothing."""
        device.save()
        device.pytester.makepyfile(
            test_speed=TEST.replace("    benchmark.", "    pytest.skip('not today')\n    benchmark.")
        )

        assert device.run(*COMPARE).ret == pytest.ExitCode.TESTS_FAILED

    @pytest.mark.parametrize(
        "arguments", [("-k", "dense"), ("test_speed.py::test_model[dense]",), ("test_other.py",)]
    )
    def test_left_out(self, device: Device, arguments: tuple[str, ...]) -> None:
        """What the command line leaves out on purpose is not missed."""
        device.save()
        device.pytester.makepyfile(test_other="def test_other(benchmark):\n    benchmark.pedantic(int)\n")

        assert device.run(*arguments, *COMPARE).ret == 0


class TestBadStore:
    """A store that can't be used is told at once, in one line, and nothing in it is touched."""

    @pytest.mark.parametrize(
        ("content", "complaint"),
        [
            ("{", "must be valid JSON"),
            ("[]", "must be a valid dictionary"),
            ('{"benchmarks": []}', "machine_info: is missing"),
            ('{"machine_info": {}, "benchmarks": [{"fullname": "a", "stats": {}}]}', "must tell its device"),
        ],
    )
    def test_broken(self, device: Device, content: str, complaint: str) -> None:
        """A file that is no stored run, or doesn't tell its device, is named, and is left as it is."""
        path = device.save()
        path.write_text(content)
        result = device.run(*COMPARE, "--claims-json=out.json")

        assert result.ret == pytest.ExitCode.USAGE_ERROR
        assert len([line for line in result.stderr.lines if line.startswith("ERROR: ")]) == 1
        result.stderr.fnmatch_lines([f"ERROR: *0001_run.json: *{complaint}*"])
        assert path.read_text() == content

    def test_not_writable(self, device: Device) -> None:
        """A store that can't be written is told before anything is run."""
        (device.pytester.path / ".benchmarks").write_text("a file", encoding="utf-8")
        result = device.run(*SAVE)

        assert result.ret == pytest.ExitCode.USAGE_ERROR
        result.stderr.fnmatch_lines(["ERROR: *must be writable*"])
        result.stdout.no_fnmatch_line("*passed*")


def test_elsewhere(pytester: pytest.Pytester) -> None:
    """In a repository without claims, pytest-benchmark files as it always does."""
    pytester.makepyfile(test_speed=TEST)

    assert pytester.runpytest_inprocess(*PLUGINS, "--benchmark-save=run").ret == 0
    (path,) = (pytester.path / ".benchmarks").glob("*/0001_run.json")
    assert "CPython" in path.parent.name
    assert "edgeai" not in json.loads(path.read_text())["machine_info"]
