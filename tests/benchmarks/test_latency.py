"""The latency of one image, for each model of a bundle in each runtime. Needs `--bundle DIR`."""

from __future__ import annotations

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from edgeai_repro.measure.latency.interleaved import Timing


@pytest.mark.edge
def test_latency(latency: Timing, benchmark: BenchmarkFixture) -> None:
    """The table and the stored benchmarks show the times of the interleaved run, on which the verdicts rest.

    A device compares its stored benchmarks by this test's name, so a new name would end their comparison.
    """
    if benchmark.disabled:
        pytest.skip("--benchmark-disable: nothing is shown or stored")
    milliseconds = [1000 * seconds for seconds in benchmark.stats.stats.data]

    assert milliseconds == pytest.approx(latency.milliseconds.ravel().tolist())
