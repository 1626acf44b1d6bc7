"""Fixtures of several files: another repository that uses the plugin, devices, and a browser."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

from edgeai_repro.claims.registry import METRICS
from edgeai_repro.devices.fingerprint import architecture
from edgeai_repro.measure.compressed_models import COMPRESSED
from tests.support.edge_checkout import CLAIMS, DEVICES, EAGER, TESTS
from tests.support.factories import paper_yaml
from tests.support.repository import CONFTEST, TEST, Repository
from tests.support.stored_benchmarks import Device
from tests.support.timers import FakeTimer


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A browser for the tests of all reports. It is imported here because selenium may be missing."""
    from tests.support.browser import started

    yield from started(tmp_path_factory.mktemp("profile"))


@pytest.fixture
def repository(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Iterator[Repository]:
    """A repository with its own metric and no claims yet; no variable EDGEAI_* is set."""
    for name in [name for name in os.environ if name.startswith("EDGEAI_")]:
        monkeypatch.delenv(name)
    pytester.makeini("[pytest]\nclaims_dir = claims\n")
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(test_paper=TEST)
    metrics = dict(METRICS)
    yield Repository(pytester)
    METRICS.clear()
    METRICS.update(metrics)
    COMPRESSED.functions.pop("planted", None)


@pytest.fixture
def device(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Device:
    """A device without stored results."""
    for name in [name for name in os.environ if name.startswith("EDGEAI_")]:
        monkeypatch.delenv(name)
    return Device(pytester)


@pytest.fixture
def checkout(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A checkout on a device, with claims and a file of devices that knows it."""
    for name in [name for name in os.environ if name.startswith("EDGEAI_")]:
        monkeypatch.delenv(name)
    pytester.makeini("[pytest]\nclaims_dir = claims\n")
    pytester.makepyfile(test_paper=TESTS)
    claims = pytester.path / "claims"
    claims.mkdir()
    (claims / "paper.yaml").write_text(paper_yaml(*CLAIMS), encoding="utf-8")
    (claims / "devices.yaml").write_text(DEVICES.format(architecture=architecture()), encoding="utf-8")
    return pytester


@pytest.fixture
def timer() -> FakeTimer:
    """A timer by which eager mode takes 3 ms, fp32 in ONNX Runtime 2 ms, and everything else 1 ms."""
    return FakeTimer({**EAGER, "fp32-onnxruntime": 2.0})
