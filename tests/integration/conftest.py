"""The fixtures of the tests that run the plugin in another repository."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from edgeai_repro.claims.registry import METRICS
from edgeai_repro.measure.compressed_models import COMPRESSED
from tests.support.repository import CONFTEST, TEST, Repository
from tests.support.stored_benchmarks import Device


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
