"""Claims about deployed models, judged by pytest from a bundle, as in a checkout on a device."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeai_repro.devices.fingerprint import architecture
from edgeai_repro.edge import bundle, temporary_bundle
from edgeai_repro.errors import TooNoisyError
from edgeai_repro.measure.latency.interleaved import Timing
from edgeai_repro.plugin.fixtures import SESSION
from edgeai_repro.report import document
from edgeai_repro.report.document import ClaimEntry
from edgeai_repro.session import Session
from tests.support.bundles import CONVNEXT
from tests.support.factories import claim_entry, paper_yaml
from tests.support.timers import FakeTimer

AT_LEAST = {"rounding": 0.0, "side": "at_least", "derivation": "for the test"}
AT_MOST = {**AT_LEAST, "side": "at_most"}
ATTO = {"technique": "combined", "models": ["convnext_atto"], "needs": ["edge"]}
OVER_FP32 = {"runtime": ["onnxruntime"], "baseline": ["none"], "baseline_runtime": ["onnxruntime"]}
CLAIMS = [
    claim_entry(**ATTO, id="faster", metric="speedup", value=1.0, band=AT_LEAST, conditions=OVER_FP32),
    claim_entry(**ATTO, id="latency", metric="latency", value=20.0, band=AT_MOST, settings={"target": [0.8]}),
]
DEVICES = """
devices:
  - key: this
    name: This
    kind: edge
    architecture: {architecture}
    cores: 4
    clock: {{ghz: 1.0, derivation: "for the test"}}
    macs:
      fp32: {{per_cycle: 4, derivation: "for the test"}}
      int8: {{per_cycle: 8, derivation: "for the test"}}
    caches:
      - name: L1
        bytes: 32768
        shared: false
        derivation: "for the test"
        bytes_to_core: {{per_cycle: 16, derivation: "for the test"}}
    memory: {{gb_per_s: 10.0, derivation: "for the test"}}
"""
TEST = """
import pytest


@pytest.mark.claims
def test_claim(verdict, report_outcome):
    report_outcome(verdict)


def test_latency(latency):
    assert latency.n
"""
PLUGINS = ("-p", "no:cacheprovider", "-p", "no:hypothesispytest", "-p", "no:anyio")
EAGER = {f"{variant}-eager": 3.0 for variant in CONVNEXT}


class TimedBy:
    """A pytest plugin that has the deployed models of a run timed by another timer."""

    def __init__(self, timer: FakeTimer) -> None:
        self.timer = timer

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self, session: pytest.Session) -> None:
        """Replace the session of the claims before tests are collected."""
        claims_session = session.config.stash[SESSION]
        assert claims_session is not None
        folder = session.config.rootpath / "claims"
        session.config.stash[SESSION] = Session(folder, claims_session.options, timer=self.timer)


@pytest.fixture
def device(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A checkout on a device, with claims and a file of devices that knows it."""
    for name in [name for name in os.environ if name.startswith("EDGEAI_")]:
        monkeypatch.delenv(name)
    pytester.makeini("[pytest]\nclaims_dir = claims\n")
    pytester.makepyfile(test_paper=TEST)
    claims = pytester.path / "claims"
    claims.mkdir()
    (claims / "paper.yaml").write_text(paper_yaml(*CLAIMS), encoding="utf-8")
    (claims / "devices.yaml").write_text(DEVICES.format(architecture=architecture()), encoding="utf-8")
    return pytester


@pytest.fixture
def timer() -> FakeTimer:
    """A timer by which eager mode takes 3 ms, fp32 in ONNX Runtime 2 ms, and everything else 1 ms."""
    return FakeTimer({**EAGER, "fp32-onnxruntime": 2.0})


@pytest.fixture
def copied(atto_bundle: Path, tmp_path: Path) -> Path:
    """A copy of the bundle, whose files a test may exchange."""
    return Path(shutil.copytree(atto_bundle, tmp_path / "copy"))


def _run(device: pytest.Pytester, timer: FakeTimer | None, *arguments: str) -> pytest.RunResult:
    """Run the tests of the checkout; without a timer, the options end the run before anything is timed."""
    plugins = [] if timer is None else [TimedBy(timer)]
    return device.runpytest_inprocess(
        *PLUGINS, "-W", "error", "--edge-threads=1", "--claims-json=out.json", *arguments, plugins=plugins
    )


def _run_bundle(
    device: pytest.Pytester, timer: FakeTimer | None, folder: Path, *arguments: str
) -> pytest.RunResult:
    return _run(device, timer, f"--bundle={folder}", *arguments)


def _entries(device: pytest.Pytester) -> dict[str, ClaimEntry]:
    """Return the claims of the run's document by their ids."""
    return {entry.id: entry for entry in document.read(device.path / "out.json").papers[0].claims}


def _benchmarks(device: pytest.Pytester) -> list[dict[str, Any]]:
    """Return the benchmarks in pytest-benchmark's file times.json."""
    benchmarks: list[dict[str, Any]] = json.loads((device.path / "times.json").read_text())["benchmarks"]
    return benchmarks


class TestBundle:
    """Runs with --bundle."""

    def test_ratios_and_milliseconds_are_judged_on_a_named_device(
        self, device: pytest.Pytester, timer: FakeTimer, atto_bundle: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The file has the threads, the controls and the sha256 of the model."""
        monkeypatch.setenv("EDGEAI_DEVICE", "this")
        result = _run_bundle(device, timer, atto_bundle, "-m", "claims and edge")

        result.assert_outcomes(passed=2, deselected=8)
        rows = {name: entry.rows[0] for name, entry in _entries(device).items()}
        assert (rows["faster"].reported.value, rows["latency"].reported.value) == (2, 1)
        assert {row.evidence for row in rows.values()} == {bundle.load(atto_bundle).sha256("pruned-int8")}
        assert all(row.control is not None and row.notes["threads"] == 1 for row in rows.values())

    def test_milliseconds_are_only_reported_elsewhere(
        self, device: pytest.Pytester, timer: FakeTimer, atto_bundle: Path
    ) -> None:
        """The ratio is judged. The reason of the skip has the time and the roofline."""
        result = _run_bundle(device, timer, atto_bundle, "-m", "claims and edge", "-rs")

        result.assert_outcomes(passed=1, skipped=1, deselected=8)
        entry = _entries(device)["latency"]
        assert (entry.verdict, entry.requirement) == ("not_testable", "edge")
        assert [row.reported.value for row in entry.rows] == [1.0]
        assert "measured on " in entry.reason
        assert "this at least" in entry.reason

    def test_required_edge_fails_on_another_machine(
        self, device: pytest.Pytester, timer: FakeTimer, atto_bundle: Path
    ) -> None:
        """Without --claims-require the claim is skipped."""
        result = _run_bundle(device, timer, atto_bundle, "-m", "edge", "--claims-require=edge")

        result.assert_outcomes(passed=1, failed=1, deselected=8)

    def test_nothing_is_timed_on_an_emulated_processor(
        self, device: pytest.Pytester, timer: FakeTimer, atto_bundle: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """EDGEAI_DEVICE does not change that. There is no row."""
        monkeypatch.setattr("edgeai_repro.evidence.environment.emulated", lambda: True)
        monkeypatch.setenv("EDGEAI_DEVICE", "this")
        result = _run_bundle(device, timer, atto_bundle, "-rs")

        result.assert_outcomes(skipped=10)
        result.stdout.fnmatch_lines(["SKIPPED * this processor is emulated, *"])
        assert document.read(device.path / "out.json").environment.emulated
        entries = _entries(device).values()
        assert {(entry.verdict, entry.requirement, len(entry.rows)) for entry in entries} == {
            ("not_testable", "edge", 0)
        }
        assert timer.timed == []

    def test_verdicts_and_benchmarks_have_the_same_times(
        self, device: pytest.Pytester, timer: FakeTimer, atto_bundle: Path
    ) -> None:
        """pytest-benchmark's file has them by model, technique and runtime."""
        _run_bundle(device, timer, atto_bundle, "--benchmark-json=times.json")

        times = {
            entry["name"]: entry for entry in json.loads((device.path / "times.json").read_text())["benchmarks"]
        }
        assert len(times) == 8
        benchmark = times["test_latency[convnext_atto-pruned-int8-onnxruntime]"]
        assert benchmark["stats"]["data"] == [0.001] * 40
        assert benchmark["group"] == "convnext_atto combined onnxruntime"
        info = benchmark["extra_info"]
        assert info["claims"] == ["paper/faster", "paper/latency"]
        assert info["sha256"] == bundle.load(atto_bundle).sha256("pruned-int8")
        assert info["engine"].startswith("onnxruntime ")
        assert (info["threads"], info["p90"], info["control"]) == (1, 0.001, [1.0, 1.0])

    def test_benchmark_of_eager_mode_has_no_file_and_no_claim(
        self, device: pytest.Pytester, timer: FakeTimer, atto_bundle: Path
    ) -> None:
        """Its engine is torch."""
        _run_bundle(device, timer, atto_bundle, "--benchmark-json=times.json")

        times = {
            entry["name"]: entry for entry in json.loads((device.path / "times.json").read_text())["benchmarks"]
        }
        info = times["test_latency[convnext_atto-int8-eager]"]["extra_info"]
        assert (info["sha256"], info["claims"]) == (None, [])
        assert info["engine"].startswith("torch ")

    def test_everything_is_timed_once(self, device: pytest.Pytester, timer: FakeTimer, atto_bundle: Path) -> None:
        """Claims and benchmarks share one interleaved run."""
        _run_bundle(device, timer, atto_bundle).assert_outcomes(passed=9, skipped=1)

        assert len(timer.timed) == 1

    def test_throttled_device_decides_nothing_and_is_not_timed_again(
        self, device: pytest.Pytester, timer: FakeTimer, atto_bundle: Path
    ) -> None:
        """Claims are inconclusive, and benchmarks have no times."""

        def too_hot() -> None:
            raise TooNoisyError("too noisy: 9 of 10 rounds were throttled; cool the device")

        timer.afterwards = too_hot
        result = _run_bundle(device, timer, atto_bundle, "-rs", "--claims-require=edge")

        result.assert_outcomes(skipped=2, errors=8)
        result.stdout.fnmatch_lines(["*inconclusive: too noisy: 9 of 10 rounds were throttled; cool the device"])
        assert "Traceback" not in result.stdout.str()
        assert {entry.verdict for entry in _entries(device).values()} == {"inconclusive"}
        assert len(timer.timed) == 1

    def test_discarded_rounds_and_governor_are_noted(
        self, device: pytest.Pytester, timer: FakeTimer, atto_bundle: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The rows have both, the stored benchmarks the rounds."""
        contenders = [f"{variant}-{runtime}" for variant in CONVNEXT for runtime in ("onnxruntime", "eager")]
        timer.timings = dict.fromkeys(contenders, Timing(np.ones((8, 5)), discarded=2))
        monkeypatch.setattr("edgeai_repro.edge.deployed_models.governor", lambda: "performance")
        _run_bundle(device, timer, atto_bundle, "--benchmark-json=times.json")

        rows = [row for entry in _entries(device).values() for row in entry.rows]
        stored = _benchmarks(device)
        notes = [(row.notes["discarded_rounds"], row.notes["governor"]) for row in rows]
        assert notes == 2 * [(2, "performance")]
        assert {entry["extra_info"]["discarded_rounds"] for entry in stored} == {2}


class TestTemporaryBundle:
    """Runs without --bundle build one, so that ratios are judged on any machine."""

    def test_only_contenders_of_the_claims_are_timed(self, device: pytest.Pytester, timer: FakeTimer) -> None:
        """The bundle is built and timed once."""
        result = _run(device, timer)

        result.assert_outcomes(passed=1, skipped=2)
        entries = _entries(device)
        assert (entries["faster"].verdict, entries["faster"].rows[0].reported.value) == ("reproduced", 2)
        assert (entries["latency"].verdict, entries["latency"].requirement) == ("not_testable", "edge")
        assert timer.timed == [{"fp32-onnxruntime", "pruned-int8-onnxruntime"}]

    def test_no_bundle_is_built_for_a_model_left_out_of_the_run(
        self, device: pytest.Pytester, timer: FakeTimer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The skip names the model."""
        monkeypatch.setattr(temporary_bundle, "make_bundle", lambda _: pytest.fail("a bundle was built"))
        result = _run(device, timer, "-rs", "--claims-models=convnext_tiny")

        result.assert_outcomes(skipped=3)
        result.stdout.fnmatch_lines(["*convnext_atto not in --claims-models*"])

    def test_missing_packages_are_named_with_the_way_to_a_bundle(
        self, device: pytest.Pytester, timer: FakeTimer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The skip names the option --bundle."""
        temporary_bundle.make_bundle.cache_clear()
        monkeypatch.setitem(sys.modules, "onnx", None)  # so that it can't be found
        result = _run(device, timer, "-rs")

        result.assert_outcomes(skipped=3)
        entry = _entries(device)["faster"]
        assert entry.requirement == "edge"
        assert "without onnx;" in entry.reason
        assert "--bundle=DIR" in entry.reason


class TestNoVerdict:
    """A mistake ends the run, or a test as an error, in one line; there is no verdict."""

    def test_damaged_bundle_ends_the_run(self, device: pytest.Pytester, copied: Path) -> None:
        """Nothing is written."""
        (copied / "int8.onnx").unlink()
        result = _run_bundle(device, None, copied)

        assert result.ret == pytest.ExitCode.USAGE_ERROR
        result.stderr.fnmatch_lines(["ERROR: */int8.onnx: is missing; the bundle is truncated*"])
        assert not (device.path / "out.json").exists()

    @pytest.mark.parametrize("other", ["aarch64", "x86_64"])
    def test_device_that_does_not_fit_ends_the_run(
        self, device: pytest.Pytester, atto_bundle: Path, monkeypatch: pytest.MonkeyPatch, other: str
    ) -> None:
        """It is unknown, or has another architecture than this machine."""
        known = other != architecture()
        monkeypatch.setenv("EDGEAI_DEVICE", "this" if known else "that")
        text = DEVICES.format(architecture=other)
        (device.path / "claims" / "devices.yaml").write_text(text, encoding="utf-8")
        result = _run_bundle(device, None, atto_bundle)

        assert result.ret == pytest.ExitCode.USAGE_ERROR
        complaint = "*this machine's architecture*" if known else "*must name a device*got 'that'*"
        result.stderr.fnmatch_lines([f"ERROR: EDGEAI_DEVICE {complaint}"])

    def test_file_exchanged_while_it_is_timed_is_an_error(
        self, device: pytest.Pytester, timer: FakeTimer, copied: Path
    ) -> None:
        """Its times are in no row."""
        timer.afterwards = lambda: shutil.copy(copied / "fp32.onnx", copied / "pruned-int8.onnx")
        result = _run_bundle(device, timer, copied, "-m", "claims")

        result.assert_outcomes(errors=2, deselected=8)
        result.stdout.fnmatch_lines(["*pruned-int8.onnx: must have *truncated or altered*"])
        assert "Traceback" not in result.stdout.str()
        entries = _entries(device).values()
        assert [(entry.verdict, entry.rows) for entry in entries] == 2 * [("error", [])]

    def test_option_without_claims_names_what_is_missing(
        self, pytester: pytest.Pytester, atto_bundle: Path
    ) -> None:
        """In a repository without claims, --bundle has no use."""
        result = pytester.runpytest_inprocess(*PLUGINS, f"--bundle={atto_bundle}")

        assert result.ret == pytest.ExitCode.USAGE_ERROR
        result.stderr.fnmatch_lines(["ERROR: --bundle needs a claims folder, *"])
