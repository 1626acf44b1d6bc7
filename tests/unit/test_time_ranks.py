"""How well MACs rank networks by their time: one run for all claims, and intervals of a rank correlation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from scipy import stats

from edgeai_repro.claims.load import load_claims
from edgeai_repro.claims.schema import Claim
from edgeai_repro.errors import UserError
from edgeai_repro.evidence.measurement import Measured
from edgeai_repro.evidence.rank_statistics import rank_correlation, rank_correlation_of_times
from edgeai_repro.judge.verdict import judge
from edgeai_repro.measure import time_metrics
from edgeai_repro.measure.compressed_models import CompressedModels
from edgeai_repro.measure.latency.interleaved import Plan, Timing
from tests.support.factories import case, claim, claim_entry, paper_yaml

WIDTHS = (4, 8, 16, 32)
NETWORKS: dict[str, Any] = {
    **{f"w{width}": {"family": "vgg_cifar", "channels": [width]} for width in WIDTHS},
    "all": {"family": "set", "of": [f"w{width}" for width in WIDTHS]},
    "three": {"family": "set", "of": ["w4", "w8", "w16"]},
}
ASKED = {
    "metric": "macs_time_tau",
    "technique": "none",
    "models": ["all"],
    "value": 1.0,
    "band": {"rounding": 0.005, "derivation": "for the test"},
    "conditions": {"resolution": [32], "classes": [10], "threads": [1], "batch": [1]},
}


class FakeTimer:
    """Says that networks take the given times, in their order; `drift` is that of the second blocks of each."""

    def __init__(self, *times: float, drift: Mapping[int, float] = {}) -> None:
        self.times, self.drift, self.runs = times, drift, 0

    def __call__(self, calls: Mapping[str, Callable[[], object]], plan: Plan) -> dict[str, Timing]:
        """Run each network once and return the times of all."""
        self.runs += 1
        timings = {}
        for index, (name, call) in enumerate(calls.items()):
            call()
            blocks = np.full((2 * plan.rounds, plan.samples), self.times[index])
            blocks[1::2] *= self.drift.get(index, 1.0)
            timings[name] = Timing(blocks)
        return timings


def _measured(asked: Claim, timer: FakeTimer, models: CompressedModels | None = None) -> Measured:
    asked_case = case(asked, networks=NETWORKS)
    models = models or CompressedModels([asked_case], timer=timer)
    return Measured(tuple(time_metrics.macs_time_tau(models.networks(asked_case), asked, asked.models[0])))


def test_tau_is_that_of_macs_and_times() -> None:
    """One pair of four networks is the wrong way round: 5 of 6 pairs agree, so tau is (5 - 1) / 6."""
    (row,) = _measured(claim(**ASKED), FakeTimer(1.0, 2.0, 4.0, 3.0)).rows

    assert row.reported.value == pytest.approx(4 / 6)
    assert (row.notes["networks"], row.n) == (4, 16)
    assert row.curve is not None
    assert [ms for _, ms in row.curve.points] == [1.0, 2.0, 4.0, 3.0]
    # 27 products per pixel and channel, and the Linear layers: width × 512 and 512 × 10.
    assert row.curve.points[0][0] == pytest.approx((27 * 4 * 1024 + 4 * 512 + 5120) / 1e9)
    assert row.notes["tau_of_activations"] == row.notes["tau_of_bytes"] == pytest.approx(0.667)
    assert row.notes["tau_of_operators"] == 0.0  # all have equally many
    assert judge(claim(**ASKED), Measured((row,))).verdict == "contradicted"
    assert judge(claim(**ASKED), _measured(claim(**ASKED), FakeTimer(1.0, 2.0, 3.0, 4.0))).verdict == "reproduced"


def test_machine_that_ranks_the_same_networks_otherwise_decides_nothing() -> None:
    """The control is the rank correlation of the first blocks with the second."""
    noisy = _measured(claim(**ASKED), FakeTimer(1.0, 2.0, 3.0, 4.0, drift={3: 0.6}))

    assert noisy.rows[0].control is not None
    assert noisy.rows[0].control.value == pytest.approx(4 / 6)
    assert judge(claim(**ASKED), noisy).verdict == "inconclusive"


def test_networks_of_several_claims_are_timed_in_one_run() -> None:
    """Each claim takes its own of the networks that were timed together."""
    both, three = claim(**ASKED), claim(**{**ASKED, "models": ["three"]})
    timer = FakeTimer(1.0, 2.0, 3.0, 4.0)
    models = CompressedModels([case(three, networks=NETWORKS), case(both, networks=NETWORKS)], timer=timer)

    rows = [_measured(one, timer, models).rows[0] for one in (three, both)]

    assert timer.runs == 1
    assert [row.notes["networks"] for row in rows] == [3, 4]


@pytest.mark.parametrize(
    ("fields", "networks", "message"),
    [
        ({"models": ["w4"]}, {}, "'models' must be sets of networks for 'macs_time_tau' \\(got 'w4'\\)"),
        (
            {"metric": "params", "conditions": {}},
            {},
            "'models' must be single networks for 'params' \\(got 'all'\\)",
        ),
        ({}, {"all": {"family": "set", "of": ["w4", "w8", "nets"]}}, "networks.all.of: .*'nets'"),
        ({}, {"all": {"family": "set", "of": ["w4", "w8", "three"]}}, "networks.all.of: must be single networks"),
        ({}, {"all": {"family": "set", "of": ["w4", "w8", "w8"]}}, "networks.all.of: .* each network once"),
    ],
)
def test_wrong_set_is_refused(tmp_path: Any, fields: Any, networks: Any, message: str) -> None:
    """A set holds single networks, each once, and is given to a metric that ranks."""
    text = paper_yaml(
        claim_entry(**{**ASKED, **fields}),
        networks={**NETWORKS, **networks},
        defaults={"resolution": 32, "classes": 10},
    )
    (tmp_path / "paper.yaml").write_text(text, encoding="utf-8")

    with pytest.raises(UserError, match=message):
        load_claims(tmp_path)


def test_interval_of_other_networks_is_that_of_a_bootstrap() -> None:
    """It agrees with scipy's bootstrap of scipy's tau, and a perfect order has no spread."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=30)
    y = x + rng.normal(size=30)

    ours = rank_correlation(x, y)
    scipys = stats.bootstrap(
        (x, y),
        lambda a, b: stats.kendalltau(a, b).statistic,
        paired=True,
        vectorized=False,
        n_resamples=500,
        method="percentile",
        rng=np.random.default_rng(2),
    ).confidence_interval

    assert ours.value == pytest.approx(stats.kendalltau(x, y).statistic)
    assert (ours.low, ours.high) == pytest.approx((scipys.low, scipys.high), abs=0.06)
    assert rank_correlation(x, 2 * x).low == 1.0


def test_interval_of_times_is_wider_for_noisier_blocks() -> None:
    """Blocks that all say the same leave no doubt; blocks that change the order do."""
    quiet = [[[time]] * 4 for time in (1.0, 2.0, 3.0)]
    noisy = [[[1.0]] * 4, [[2.0], [2.0], [5.0], [5.0]], [[3.0]] * 4]

    exact, wide = (rank_correlation_of_times([1, 2, 3], blocks) for blocks in (quiet, noisy))

    assert (exact.low, exact.high) == (1.0, 1.0)
    assert wide.low < wide.high
