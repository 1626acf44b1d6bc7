"""The ratio of the times of two networks, timed in one interleaved run."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from edgeai_repro.claims.registry import is_timed
from edgeai_repro.errors import TooNoisyError
from edgeai_repro.evidence.measurement import Measured
from edgeai_repro.judge.verdict import judge
from edgeai_repro.measure import time_metrics
from edgeai_repro.measure.compressed_models import CompressedModels
from edgeai_repro.measure.latency.interleaved import Plan, Timing
from edgeai_repro.session import Session
from tests.support.factories import case, claim, paper_yaml

SMALL = {"family": "vgg_cifar", "channels": [8, "M", 8], "resolution": 32, "classes": 10}
CONDITIONS = {"resolution": 32, "classes": 10, "threads": 1, "batch": 3}
RATIO = claim(
    metric="time_ratio",
    technique="none",
    models=["small"],
    against="resnet20",
    value=4.0,
    band={"rounding": 0.5, "derivation": "one printed digit"},
    conditions=CONDITIONS,
)


class FakeTimer:
    """Runs each network once, and says that `against` takes four times as long as the model."""

    def __init__(self, drift: float = 1.0) -> None:
        self.outputs: dict[str, Any] = {}
        self.threads = 0
        self.drift = drift  # of the second blocks

    def __call__(self, calls: Mapping[str, Callable[[], object]], plan: Plan) -> dict[str, Timing]:
        """Return the times of all networks."""
        self.threads = torch.get_num_threads()
        self.outputs = {name: call() for name, call in calls.items()}
        block = np.ones((2 * plan.rounds, plan.samples))
        block[1::2] *= self.drift
        return {name: Timing(block * (4.0 if name == "against" else 1.0)) for name in calls}


def _measured(timer: FakeTimer, **conditions: int) -> Measured:
    asked = RATIO.model_copy(update={"conditions": {name: [v] for name, v in {**CONDITIONS, **conditions}.items()}})
    networks = CompressedModels(timer=timer).networks(case(asked, networks={"small": SMALL}))
    return Measured(tuple(time_metrics.time_ratio(networks, asked, "small")))


def test_ratio_is_how_many_times_as_long_the_other_network_takes() -> None:
    """Both run on the claim's batch, at its number of threads."""
    timer = FakeTimer()
    measured = _measured(timer)

    assert judge(RATIO, measured).verdict == "reproduced"
    assert measured.rows[0].reported.value == 4.0
    assert (measured.rows[0].notes["milliseconds"], measured.rows[0].notes["milliseconds_against"]) == (1.0, 4.0)
    assert {name: tuple(output.shape) for name, output in timer.outputs.items()} == {
        "model": (3, 10),
        "against": (3, 10),
    }
    assert timer.threads == 1


def test_machine_that_is_too_noisy_decides_nothing() -> None:
    """The A/A control of both networks must lie near 1."""
    assert judge(RATIO, _measured(FakeTimer(drift=1.2))).verdict == "inconclusive"


def test_passive_threads_are_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    """They would make the networks several times slower."""
    monkeypatch.setenv("OMP_WAIT_POLICY", "passive")

    with pytest.raises(TooNoisyError, match="OMP_WAIT_POLICY=passive"):
        _measured(FakeTimer(), threads=2)


@pytest.mark.parametrize(
    ("conditions", "missing"),
    [
        ({"device": "GPU"}, "it is about a GPU, and only CPUs are timed"),
        ({"device": "ARM"}, "it is about an ARM processor, which this is not; judge it on one"),
        ({"threads": 4096}, r"it takes 4096 threads, and this machine has \d+ cores"),
    ],
)
def test_claim_about_another_machine_is_not_testable_here(
    monkeypatch: pytest.MonkeyPatch, conditions: dict[str, Any], missing: str
) -> None:
    """The reason says which machine it takes."""
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    asked = RATIO.model_copy(update={"conditions": {name: [v] for name, v in {**CONDITIONS, **conditions}.items()}})

    verdict = judge(asked, CompressedModels().measure(case(asked, networks={"small": SMALL})))

    assert (verdict.verdict, verdict.requirement) == ("not_testable", "device")
    assert re.search(missing, verdict.reason)


def test_claim_on_times_counts_as_timed() -> None:
    """`pytest -m "claims and not edge"` leaves it out."""
    assert is_timed(RATIO)


def test_a_session_times_networks_with_its_timer(tmp_path: Path) -> None:
    """The plugin gives it one that shows how long a timing takes."""
    entry = RATIO.model_dump(mode="json", exclude_unset=True)
    (tmp_path / "paper.yaml").write_text(paper_yaml(entry, networks={"small": SMALL}), encoding="utf-8")
    timer = FakeTimer()
    session = Session(tmp_path, timer=timer)

    for cases in (session.cases, []):  # with and without a plan
        session.plan(cases)
        timer.outputs.clear()
        assert session.sources["compressed"].measure(session.cases[0]).rows[0].reported.value == 4.0
        assert timer.outputs.keys() == {"against", "model"}
