"""Claims about deployed models, judged by pytest from a bundle, as in a checkout on a device."""

from __future__ import annotations

import json
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
from edgeai_repro.report import document
from tests.support.bundles import CONVNEXT
from tests.support.edge_checkout import DEVICES, PLUGINS, claims_of, run_tests, run_with_bundle
from tests.support.timers import FakeTimer


@pytest.fixture
def copied(atto_bundle: Path, tmp_path: Path) -> Path:
    """A copy of the bundle, whose files a test may exchange."""
    return Path(shutil.copytree(atto_bundle, tmp_path / "copy"))


def _benchmarks(checkout: pytest.Pytester) -> list[dict[str, Any]]:
    """Return the benchmarks in pytest-benchmark's file times.json."""
    benchmarks: list[dict[str, Any]] = json.loads((checkout.path / "times.json").read_text())["benchmarks"]
    return benchmarks


class TestBundle:
    """Runs with --bundle."""

    def test_ratios_and_milliseconds_are_judged_on_a_named_device(
        self, checkout: pytest.Pytester, timer: FakeTimer, atto_bundle: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The file has the threads, the controls and the sha256 of the model."""
        monkeypatch.setenv("EDGEAI_DEVICE", "this")
        result = run_with_bundle(checkout, timer, atto_bundle, "-m", "claims and edge")

        result.assert_outcomes(passed=2, deselected=8)
        rows = {name: entry.rows[0] for name, entry in claims_of(checkout).items()}
        assert (rows["faster"].reported.value, rows["latency"].reported.value) == (2, 1)
        assert {row.evidence for row in rows.values()} == {bundle.load(atto_bundle).sha256("pruned-int8")}
        assert all(row.control is not None and row.notes["threads"] == 1 for row in rows.values())

    def test_milliseconds_are_only_reported_elsewhere(
        self, checkout: pytest.Pytester, timer: FakeTimer, atto_bundle: Path
    ) -> None:
        """The ratio is judged. The reason of the skip has the time and the roofline."""
        result = run_with_bundle(checkout, timer, atto_bundle, "-m", "claims and edge", "-rs")

        result.assert_outcomes(passed=1, skipped=1, deselected=8)
        entry = claims_of(checkout)["latency"]
        assert (entry.verdict, entry.requirement) == ("not_testable", "edge")
        assert [row.reported.value for row in entry.rows] == [1.0]
        assert "measured on " in entry.reason
        assert "this at least" in entry.reason

    def test_required_edge_fails_on_another_machine(
        self, checkout: pytest.Pytester, timer: FakeTimer, atto_bundle: Path
    ) -> None:
        """Without --claims-require the claim is skipped."""
        result = run_with_bundle(checkout, timer, atto_bundle, "-m", "edge", "--claims-require=edge")

        result.assert_outcomes(passed=1, failed=1, deselected=8)

    def test_nothing_is_timed_on_an_emulated_processor(
        self, checkout: pytest.Pytester, timer: FakeTimer, atto_bundle: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """EDGEAI_DEVICE does not change that. There is no row."""
        monkeypatch.setattr("edgeai_repro.evidence.environment.emulated", lambda: True)
        monkeypatch.setenv("EDGEAI_DEVICE", "this")
        result = run_with_bundle(checkout, timer, atto_bundle, "-rs")

        result.assert_outcomes(skipped=10)
        result.stdout.fnmatch_lines(["SKIPPED * this processor is emulated, *"])
        assert document.read(checkout.path / "out.json").environment.emulated
        entries = claims_of(checkout).values()
        assert {(entry.verdict, entry.requirement, len(entry.rows)) for entry in entries} == {
            ("not_testable", "edge", 0)
        }
        assert timer.timed == []

    def test_verdicts_and_benchmarks_have_the_same_times(
        self, checkout: pytest.Pytester, timer: FakeTimer, atto_bundle: Path
    ) -> None:
        """pytest-benchmark's file has them by model, technique and runtime."""
        run_with_bundle(checkout, timer, atto_bundle, "--benchmark-json=times.json")

        times = {
            entry["name"]: entry for entry in json.loads((checkout.path / "times.json").read_text())["benchmarks"]
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
        self, checkout: pytest.Pytester, timer: FakeTimer, atto_bundle: Path
    ) -> None:
        """Its engine is torch."""
        run_with_bundle(checkout, timer, atto_bundle, "--benchmark-json=times.json")

        times = {
            entry["name"]: entry for entry in json.loads((checkout.path / "times.json").read_text())["benchmarks"]
        }
        info = times["test_latency[convnext_atto-int8-eager]"]["extra_info"]
        assert (info["sha256"], info["claims"]) == (None, [])
        assert info["engine"].startswith("torch ")

    def test_everything_is_timed_once(self, checkout: pytest.Pytester, timer: FakeTimer, atto_bundle: Path) -> None:
        """Claims and benchmarks share one interleaved run."""
        run_with_bundle(checkout, timer, atto_bundle).assert_outcomes(passed=9, skipped=1)

        assert len(timer.timed) == 1

    def test_throttled_device_decides_nothing_and_is_not_timed_again(
        self, checkout: pytest.Pytester, timer: FakeTimer, atto_bundle: Path
    ) -> None:
        """Claims are inconclusive, and benchmarks have no times."""

        def too_hot() -> None:
            raise TooNoisyError("too noisy: 9 of 10 rounds were throttled; cool the device")

        timer.afterwards = too_hot
        result = run_with_bundle(checkout, timer, atto_bundle, "-rs", "--claims-require=edge")

        result.assert_outcomes(skipped=2, errors=8)
        result.stdout.fnmatch_lines(["*inconclusive: too noisy: 9 of 10 rounds were throttled; cool the device"])
        assert "Traceback" not in result.stdout.str()
        assert {entry.verdict for entry in claims_of(checkout).values()} == {"inconclusive"}
        assert len(timer.timed) == 1

    def test_discarded_rounds_and_governor_are_noted(
        self, checkout: pytest.Pytester, timer: FakeTimer, atto_bundle: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The rows have both, the stored benchmarks the rounds."""
        contenders = [f"{variant}-{runtime}" for variant in CONVNEXT for runtime in ("onnxruntime", "eager")]
        timer.timings = dict.fromkeys(contenders, Timing(np.ones((8, 5)), discarded=2))
        monkeypatch.setattr("edgeai_repro.edge.deployed_models.governor", lambda: "performance")
        run_with_bundle(checkout, timer, atto_bundle, "--benchmark-json=times.json")

        rows = [row for entry in claims_of(checkout).values() for row in entry.rows]
        stored = _benchmarks(checkout)
        notes = [(row.notes["discarded_rounds"], row.notes["governor"]) for row in rows]
        assert notes == 2 * [(2, "performance")]
        assert {entry["extra_info"]["discarded_rounds"] for entry in stored} == {2}


class TestTemporaryBundle:
    """Runs without --bundle build one, so that ratios are judged on any machine."""

    def test_only_contenders_of_the_claims_are_timed(self, checkout: pytest.Pytester, timer: FakeTimer) -> None:
        """The bundle is built and timed once."""
        result = run_tests(checkout, timer)

        result.assert_outcomes(passed=1, skipped=2)
        entries = claims_of(checkout)
        assert (entries["faster"].verdict, entries["faster"].rows[0].reported.value) == ("reproduced", 2)
        assert (entries["latency"].verdict, entries["latency"].requirement) == ("not_testable", "edge")
        assert timer.timed == [{"fp32-onnxruntime", "pruned-int8-onnxruntime"}]

    def test_no_bundle_is_built_for_a_model_left_out_of_the_run(
        self, checkout: pytest.Pytester, timer: FakeTimer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The skip names the model."""
        monkeypatch.setattr(temporary_bundle, "make_bundle", lambda _: pytest.fail("a bundle was built"))
        result = run_tests(checkout, timer, "-rs", "--claims-models=convnext_tiny")

        result.assert_outcomes(skipped=3)
        result.stdout.fnmatch_lines(["*convnext_atto not in --claims-models*"])

    def test_missing_packages_are_named_with_the_way_to_a_bundle(
        self, checkout: pytest.Pytester, timer: FakeTimer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The skip names the option --bundle."""
        temporary_bundle.make_bundle.cache_clear()
        monkeypatch.setitem(sys.modules, "onnx", None)  # so that it can't be found
        result = run_tests(checkout, timer, "-rs")

        result.assert_outcomes(skipped=3)
        entry = claims_of(checkout)["faster"]
        assert entry.requirement == "edge"
        assert "without onnx;" in entry.reason
        assert "--bundle=DIR" in entry.reason


class TestNoVerdict:
    """A mistake ends the run, or a test as an error, in one line; there is no verdict."""

    def test_damaged_bundle_ends_the_run(self, checkout: pytest.Pytester, copied: Path) -> None:
        """Nothing is written."""
        (copied / "int8.onnx").unlink()
        result = run_with_bundle(checkout, None, copied)

        assert result.ret == pytest.ExitCode.USAGE_ERROR
        result.stderr.fnmatch_lines(["ERROR: */int8.onnx: is missing; the bundle is truncated*"])
        assert not (checkout.path / "out.json").exists()

    @pytest.mark.parametrize("other", ["aarch64", "x86_64"])
    def test_device_that_does_not_fit_ends_the_run(
        self, checkout: pytest.Pytester, atto_bundle: Path, monkeypatch: pytest.MonkeyPatch, other: str
    ) -> None:
        """It is unknown, or has another architecture than this machine."""
        known = other != architecture()
        monkeypatch.setenv("EDGEAI_DEVICE", "this" if known else "that")
        text = DEVICES.format(architecture=other)
        (checkout.path / "claims" / "devices.yaml").write_text(text, encoding="utf-8")
        result = run_with_bundle(checkout, None, atto_bundle)

        assert result.ret == pytest.ExitCode.USAGE_ERROR
        complaint = "*this machine's architecture*" if known else "*must name a device*got 'that'*"
        result.stderr.fnmatch_lines([f"ERROR: EDGEAI_DEVICE {complaint}"])

    def test_file_exchanged_while_it_is_timed_is_an_error(
        self, checkout: pytest.Pytester, timer: FakeTimer, copied: Path
    ) -> None:
        """Its times are in no row."""
        timer.afterwards = lambda: shutil.copy(copied / "fp32.onnx", copied / "pruned-int8.onnx")
        result = run_with_bundle(checkout, timer, copied, "-m", "claims")

        result.assert_outcomes(errors=2, deselected=8)
        result.stdout.fnmatch_lines(["*pruned-int8.onnx: must have *truncated or altered*"])
        assert "Traceback" not in result.stdout.str()
        entries = claims_of(checkout).values()
        assert [(entry.verdict, entry.rows) for entry in entries] == 2 * [("error", [])]

    def test_option_without_claims_names_what_is_missing(
        self, pytester: pytest.Pytester, atto_bundle: Path
    ) -> None:
        """In a repository without claims, --bundle has no use."""
        result = pytester.runpytest_inprocess(*PLUGINS, f"--bundle={atto_bundle}")

        assert result.ret == pytest.ExitCode.USAGE_ERROR
        result.stderr.fnmatch_lines(["ERROR: --bundle needs a claims folder, *"])
