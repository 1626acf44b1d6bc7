"""How long one image takes: each model of a bundle in each runtime. Needs `--bundle DIR`."""

from __future__ import annotations

import pytest

from edgeai_repro.measure.latency.interleaved import Timing


@pytest.mark.edge
def test_latency(latency: Timing) -> None:
    """A model's times are taken in turns with all others, and kept."""
    assert latency.n > 0
