"""A checkout on a device: claims about deployed models, its device, and runs with another timer."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgeai_repro.plugin.fixtures import SESSION
from edgeai_repro.report import document
from edgeai_repro.report.document import ClaimEntry
from edgeai_repro.session import Session
from tests.support.bundles import CONVNEXT
from tests.support.factories import claim_entry
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
TESTS = """
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


def run_tests(checkout: pytest.Pytester, timer: FakeTimer | None, *arguments: str) -> pytest.RunResult:
    """Run the tests of the checkout; without a timer, the options end the run before anything is timed."""
    plugins = [] if timer is None else [TimedBy(timer)]
    return checkout.runpytest_inprocess(
        *PLUGINS, "-W", "error", "--edge-threads=1", "--claims-json=out.json", *arguments, plugins=plugins
    )


def run_with_bundle(
    checkout: pytest.Pytester, timer: FakeTimer | None, folder: Path, *arguments: str
) -> pytest.RunResult:
    """Run the tests of the checkout with a bundle."""
    return run_tests(checkout, timer, f"--bundle={folder}", *arguments)


def claims_of(checkout: pytest.Pytester) -> dict[str, ClaimEntry]:
    """Return the claims of the run's document by their ids."""
    return {entry.id: entry for entry in document.read(checkout.path / "out.json").papers[0].claims}
