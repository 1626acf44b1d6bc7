"""A checkout on a device: claims about what is deployed, judged by pytest, from a bundle."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeai_repro.devices.fingerprint import architecture
from edgeai_repro.edge import bundle, temporary_bundle
from edgeai_repro.edge import deployed_models as labs
from edgeai_repro.errors import TooNoisyError
from edgeai_repro.measure.latency.interleaved import Plan, Timing
from edgeai_repro.report import document
from tests.support.factories import claim_entry, paper_yaml

AT_LEAST = {"rounding": 0.0, "side": "at_least", "derivation": "for the test"}
AT_MOST = {**AT_LEAST, "side": "at_most"}
ATTO = {"technique": "combined", "models": ["convnext_atto"], "needs": ["edge"]}
FASTER = {"runtime": ["onnxruntime"], "baseline": ["none"], "baseline_runtime": ["onnxruntime"]}
CLAIMS = [
    claim_entry(**ATTO, id="faster", metric="speedup", value=1.0, band=AT_LEAST, settings=FASTER),
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

from edgeai_repro.judge import verdict


@pytest.mark.claims
def test_claim(verdict, settle):
    settle(verdict)


def test_latency(latency):
    assert latency.n
"""
PLUGINS = ("-p", "no:cacheprovider", "-p", "no:hypothesispytest", "-p", "no:anyio")


@pytest.fixture
def device(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A checkout on a device with claims, where eager mode takes 3 ms, fp32 2 ms and all else 1 ms."""
    for name in [name for name in os.environ if name.startswith("EDGEAI_")]:
        monkeypatch.delenv(name)

    def race(contenders: Mapping[str, object], _: Plan) -> dict[str, Timing]:
        return {
            name: Timing(np.full((8, 5), 3.0 if "eager" in name else 2.0 if "fp32" in name else 1.0))
            for name in contenders
        }

    monkeypatch.setattr(labs, "race", race)
    pytester.makeini("[pytest]\nclaims_dir = claims\n")
    pytester.makepyfile(test_paper=TEST)
    claims = pytester.path / "claims"
    claims.mkdir()
    (claims / "paper.yaml").write_text(paper_yaml(*CLAIMS), encoding="utf-8")
    (claims / "devices.yaml").write_text(DEVICES.format(architecture=architecture()), encoding="utf-8")
    return pytester


def run(device: pytest.Pytester, folder: Path, *arguments: str) -> pytest.RunResult:
    """Judge a bundle there."""
    return device.runpytest_inprocess(*PLUGINS, "-W", "error", f"--bundle={folder}", "--edge-threads=1", *arguments)


def test_judged(device: pytest.Pytester, atto_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a named edge device, ratios and milliseconds are judged, and are in the file with threads and hashes."""
    monkeypatch.setenv("EDGEAI_DEVICE", "this")
    result = run(device, atto_bundle, "-m", "claims and edge", "--claims-json=out.json")

    result.assert_outcomes(passed=2, deselected=8)
    found = document.read(device.path / "out.json")
    entries = {entry.id: entry for entry in found.papers[0].claims}
    rows = {name: entry.rows[0] for name, entry in entries.items()}
    assert (rows["faster"].reported.value, rows["latency"].reported.value) == (2, 1)
    assert {row.evidence for row in rows.values()} == {bundle.load(atto_bundle).sha256("pruned-int8")}
    assert all(row.control is not None and row.params["threads"] == 1 for row in rows.values())


def test_elsewhere(device: pytest.Pytester, atto_bundle: Path) -> None:
    """Elsewhere ratios are judged all the same; milliseconds are told, with the roofline, and not judged."""
    result = run(device, atto_bundle, "-m", "claims and edge", "-rs", "--claims-json=out.json")

    result.assert_outcomes(passed=1, skipped=1, deselected=8)
    entry = document.read(device.path / "out.json").papers[0].claims[1]
    assert (entry.verdict, entry.condition) == ("not_testable", "edge")
    assert [row.reported.value for row in entry.rows] == [1.0]
    assert "measured here" in entry.reason
    assert "this at least" in entry.reason


def test_required(device: pytest.Pytester, atto_bundle: Path) -> None:
    """Where CI requires the edge, a run that isn't on a named device fails instead of skipping."""
    result = run(device, atto_bundle, "-m", "edge", "--claims-require=edge")

    result.assert_outcomes(passed=1, failed=1, deselected=8)


def test_emulated(device: pytest.Pytester, atto_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On an emulated processor no claim about times is judged, whatever EDGEAI_DEVICE says, and no time is kept."""
    monkeypatch.setattr("edgeai_repro.evidence.environment.emulated", lambda: True)
    monkeypatch.setenv("EDGEAI_DEVICE", "this")
    result = run(device, atto_bundle, "-rs", "--claims-json=out.json")

    result.assert_outcomes(skipped=10)
    result.stdout.fnmatch_lines(["SKIPPED * this processor is emulated, *"])
    found = document.read(device.path / "out.json")
    assert found.environment.emulated
    assert {(entry.verdict, entry.condition, len(entry.rows)) for entry in found.papers[0].claims} == {
        ("not_testable", "edge", 0)
    }


def test_both(device: pytest.Pytester, atto_bundle: Path) -> None:
    """One run feeds the verdicts and pytest-benchmark's file: the very times, by model, technique and runtime."""
    run(device, atto_bundle, "--benchmark-json=times.json", "--claims-json=out.json")

    times = {entry["name"]: entry for entry in json.loads((device.path / "times.json").read_text())["benchmarks"]}
    found = times["test_latency[convnext_atto-pruned-int8-onnxruntime]"]
    assert len(times) == 8
    assert found["stats"]["data"] == [0.001] * 40
    assert found["group"] == "convnext_atto combined onnxruntime"
    info = found["extra_info"]
    assert info["claims"] == ["paper/faster", "paper/latency"]
    assert info["sha256"] == bundle.load(atto_bundle).sha256("pruned-int8")
    assert info["engine"].startswith("onnxruntime ")
    assert (info["threads"], info["p90"], info["control"]) == (1, 0.001, [1.0, 1.0])
    eager = times["test_latency[convnext_atto-int8-eager]"]["extra_info"]
    assert (eager["sha256"], eager["claims"]) == (None, [])
    assert eager["engine"].startswith("torch ")


def test_once(device: pytest.Pytester, atto_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many claims and tests ask, everything is timed once."""
    race, runs = labs.time_interleaved, []
    monkeypatch.setattr(labs, "race", lambda *given: [runs.append(1), race(*given)][1])
    run(device, atto_bundle).assert_outcomes(passed=9, skipped=1)

    assert len(runs) == 1


class TestMade:
    """Where no bundle is given, one is made: ratios are judged everywhere."""

    def test_judged(self, device: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
        """Claims are judged on a bundle that is made once, and only what they rest on is timed."""
        race, raced = labs.time_interleaved, []
        monkeypatch.setattr(labs, "race", lambda *given: [raced.append(set(given[0])), race(*given)][1])
        result = device.runpytest_inprocess(*PLUGINS, "-W", "error", "--edge-threads=1", "--claims-json=out.json")

        result.assert_outcomes(passed=1, skipped=2)
        faster, latency = document.read(device.path / "out.json").papers[0].claims
        assert (faster.verdict, faster.rows[0].reported.value) == ("reproduced", 2)
        assert (latency.verdict, latency.condition) == ("not_testable", "edge")
        assert raced == [{"fp32-onnxruntime", "pruned-int8-onnxruntime"}]

    def test_left_out(self, device: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
        """Of a model that the run is restricted from none is made."""
        monkeypatch.setattr(labs, "make", lambda _: pytest.fail("none must be made"))
        result = device.runpytest_inprocess(*PLUGINS, "-rs", "--claims-models=convnext_tiny")

        result.assert_outcomes(skipped=3)
        result.stdout.fnmatch_lines(["*convnext_atto left out; run without --claims-models"])

    def test_cannot(self, device: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
        """Where the packages that it takes are missing, the skip says where to make it and how to name it."""
        temporary_bundle.make.cache_clear()
        monkeypatch.setattr(temporary_bundle, "find_spec", lambda name: None if name == "onnx" else name)
        result = device.runpytest_inprocess(*PLUGINS, "-rs", "--claims-json=out.json")

        result.assert_outcomes(skipped=3)
        entry = document.read(device.path / "out.json").papers[0].claims[0]
        assert entry.requirement == "edge"
        assert "none can be made without onnx" in entry.reason
        assert "--bundle DIR" in entry.reason


def test_throttled(device: pytest.Pytester, atto_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a device that is throttled claims are inconclusive, benchmarks have no times, and nothing is retried."""
    runs = []

    def too_hot(*_: Any) -> dict[str, Timing]:
        runs.append(1)
        raise TooNoisyError("too noisy: the device was throttled in 9 of 10 turns; cool it")

    monkeypatch.setattr(labs, "race", too_hot)
    result = run(device, atto_bundle, "-rs", "--claims-json=out.json", "--claims-require=edge")

    result.assert_outcomes(skipped=2, errors=8)
    result.stdout.fnmatch_lines(["*inconclusive: too noisy: the device was throttled in 9 of 10 turns; cool it"])
    assert "Traceback" not in result.stdout.str()
    assert {claim.verdict for claim in document.read(device.path / "out.json").papers[0].claims} == {"inconclusive"}
    assert len(runs) == 1


def test_noted(device: pytest.Pytester, atto_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """How many turns were discarded, and what sets the frequency, stands beside each row and in the storage."""
    timing = Timing(np.ones((8, 5)), discarded=2)
    monkeypatch.setattr(labs, "race", lambda contenders, _: dict.fromkeys(contenders, timing))
    monkeypatch.setattr(labs, "governor", lambda: "performance")
    run(device, atto_bundle, "--claims-json=out.json", "--benchmark-json=times.json")

    rows = [row for claim in document.read(device.path / "out.json").papers[0].claims for row in claim.rows]
    stored = json.loads((device.path / "times.json").read_text())["benchmarks"]
    assert [(row.params["discarded_turns"], row.params["governor"]) for row in rows] == 2 * [(2, "performance")]
    assert {each["extra_info"]["discarded_turns"] for each in stored} == {2}


class TestNoVerdict:
    """Bad input ends the run, or a test as an error, in one line; no verdict is given."""

    def test_damaged(self, device: pytest.Pytester, atto_bundle: Path, tmp_path: Path) -> None:
        """A bundle with a damaged file isn't run at all."""
        copied = Path(shutil.copytree(atto_bundle, tmp_path / "copy"))
        (copied / "int8.onnx").unlink()
        result = run(device, copied, "--claims-json=out.json")

        assert result.ret == pytest.ExitCode.USAGE_ERROR
        result.stderr.fnmatch_lines(["ERROR: *int8.onnx: must be there, *(got no file)*"])
        assert not (device.path / "out.json").exists()

    @pytest.mark.parametrize("other", ["aarch64", "x86_64"])
    def test_device(
        self, device: pytest.Pytester, atto_bundle: Path, monkeypatch: pytest.MonkeyPatch, other: str
    ) -> None:
        """A device that isn't known, or whose architecture is another, ends the run."""
        known = other != architecture()
        monkeypatch.setenv("EDGEAI_DEVICE", "this" if known else "that")
        text = DEVICES.format(architecture=other)
        (device.path / "claims" / "devices.yaml").write_text(text, encoding="utf-8")
        result = run(device, atto_bundle)

        assert result.ret == pytest.ExitCode.USAGE_ERROR
        complaint = "*this machine's architecture*" if known else "*must name a device*got 'that'*"
        result.stderr.fnmatch_lines([f"ERROR: EDGEAI_DEVICE {complaint}"])

    def test_exchanged(
        self, device: pytest.Pytester, atto_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A file that is exchanged while it is timed is an error, in one line, and in no row a verdict."""
        copied = Path(shutil.copytree(atto_bundle, tmp_path / "copy"))

        def exchanging(*given: Any) -> dict[str, Timing]:
            shutil.copy(copied / "fp32.onnx", copied / "pruned-int8.onnx")
            return {name: Timing(np.ones((8, 5))) for name in given[0]}

        monkeypatch.setattr(labs, "race", exchanging)
        result = run(device, copied, "-m", "claims", "--claims-json=out.json")

        result.assert_outcomes(errors=2, deselected=8)
        result.stdout.fnmatch_lines(["*pruned-int8.onnx: must have *truncated or altered*"])
        assert "Traceback" not in result.stdout.str()
        entries = document.read(device.path / "out.json").papers[0].claims
        assert [(entry.verdict, entry.rows) for entry in entries] == 2 * [("error", [])]

    def test_without_claims(self, pytester: pytest.Pytester, atto_bundle: Path) -> None:
        """In a repository without claims the option says what it lacks."""
        result = pytester.runpytest_inprocess(*PLUGINS, f"--bundle={atto_bundle}")

        assert result.ret == pytest.ExitCode.USAGE_ERROR
        result.stderr.fnmatch_lines(["ERROR: --bundle must come with a claims folder (got none); *"])
