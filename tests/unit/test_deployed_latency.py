"""The models of a bundle are timed together; absolute times are judged on named edge devices only."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from edgeai_repro.claims.schema import Claim
from edgeai_repro.devices.spec import Device
from edgeai_repro.edge.bundle import Bundle
from edgeai_repro.edge.deployed_models import DeployedModels
from edgeai_repro.edge.temporary_bundle import TemporaryDeployedModels
from edgeai_repro.errors import TooNoisyError, UserError
from edgeai_repro.evidence.measurement import Obstacle
from edgeai_repro.judge.verdict import judge
from edgeai_repro.measure.latency.interleaved import Plan, Timing, time_interleaved
from tests.support.deployed_models import (
    CLOUD,
    DEVICES,
    OVER_FP32,
    PI5,
    SPEEDUP,
    deployed_claim,
    measure,
    only_obstacle,
    only_row,
)
from tests.support.factories import case
from tests.support.timers import FakeTimer

QUICK = Plan(rounds=2, samples=1, untimed=0, seconds=0, untimed_seconds=0)


@pytest.fixture
def emulated(monkeypatch: pytest.MonkeyPatch) -> None:
    """The processor is emulated."""
    monkeypatch.setattr("edgeai_repro.evidence.environment.emulated", lambda: True)


class TestTiming:
    """All contenders of a run are timed together, once."""

    def test_contenders_are_timed_once_for_all_claims(self, loaded: Bundle) -> None:
        """Later claims use the same times."""
        timer = FakeTimer()
        models = DeployedModels(loaded, threads=1, timer=timer)

        only_row(models, SPEEDUP)
        only_row(models, deployed_claim("speedup", technique="structured_pruning", conditions=OVER_FP32))

        assert timer.timed == [{str(contender) for contender in models.contenders}]
        assert set(models.timings) == set(models.contenders)

    def test_timer_of_the_package_times_all_contenders(self, loaded: Bundle) -> None:
        """It is the default; a short plan is enough to run it."""
        models = DeployedModels(loaded, claims=[SPEEDUP], threads=1, plan=QUICK, timer=time_interleaved)

        row = only_row(models, SPEEDUP)

        assert row.reported.value > 0
        assert {str(contender) for contender in models.timings} == {"fp32-onnxruntime", "pruned-int8-onnxruntime"}

    def test_speedup_is_the_ratio_of_medians(self, loaded: Bundle) -> None:
        """It is the time of the baseline divided by the time of the technique."""
        timer = FakeTimer({"fp32-onnxruntime": 6.0, "pruned-int8-onnxruntime": 2.0})

        row = only_row(DeployedModels(loaded, threads=1, timer=timer), SPEEDUP)

        assert row.reported.value == pytest.approx(3)
        assert row.control is not None
        assert (row.control.low, row.control.high) == (1, 1)

    def test_speedup_row_names_its_conditions_and_its_file(self, loaded: Bundle) -> None:
        """Resolution and threads are notes; the evidence is the sha256 of the technique's file."""
        row = only_row(DeployedModels(loaded, threads=1, timer=FakeTimer()), SPEEDUP)

        assert row.settings == {}
        assert row.conditions == {"runtime": "onnxruntime", "baseline": "none", "baseline_runtime": "onnxruntime"}
        assert {name: row.notes[name] for name in ("resolution", "threads")} == {"resolution": 32, "threads": 1}
        assert row.notes.keys() <= {"resolution", "threads", "governor"}
        assert row.evidence == loaded.sha256("pruned-int8")

    def test_discarded_rounds_are_noted(self, loaded: Bundle) -> None:
        """They are rounds during which the device was throttled."""
        names = ("fp32-onnxruntime", "pruned-int8-onnxruntime")
        timer = FakeTimer(timings=dict.fromkeys(names, Timing(np.ones((8, 5)), discarded=2)))

        row = only_row(DeployedModels(loaded, claims=[SPEEDUP], threads=1, timer=timer), SPEEDUP)

        assert row.notes["discarded_rounds"] == 2

    def test_failing_control_of_the_baseline_makes_a_claim_inconclusive(self, loaded: Bundle) -> None:
        """The worse of both controls counts. The run is too noisy; the claim has not failed."""
        noisy = Timing(np.array([[4.0] * 5, [8.0] * 5] * 4))
        models = DeployedModels(loaded, threads=1, timer=FakeTimer(timings={"fp32-onnxruntime": noisy}))
        at_least = {"rounding": 0.0, "side": "at_least", "derivation": "for the test"}
        claim = deployed_claim("speedup", conditions=OVER_FP32, value=1.0, band=at_least)

        verdict = judge(claim, measure(models, claim))

        assert verdict.verdict == "inconclusive"
        assert "too noisy" in verdict.reason

    def test_throttled_run_is_not_repeated(self, loaded: Bundle) -> None:
        """A hot device gets no cooler by being timed again. No row is kept, and the claims are inconclusive."""

        def too_hot() -> None:
            raise TooNoisyError("too noisy: the device was throttled")

        timer = FakeTimer(afterwards=too_hot)
        models = DeployedModels(loaded, named=PI5, threads=1, timer=timer)

        obstacles = [only_obstacle(models, claim) for claim in (SPEEDUP, deployed_claim())]

        assert obstacles == [Obstacle("noise", "too noisy: the device was throttled")] * 2
        assert len(timer.timed) == 1
        assert judge(SPEEDUP, measure(models, SPEEDUP)).verdict == "inconclusive"

    def test_unknown_runtime_is_refused_with_the_closest_name(self, loaded: Bundle) -> None:
        """It is a mistake in the claims file."""
        claim = deployed_claim("speedup", conditions={**OVER_FP32, "runtime": ["onnx"]})

        with pytest.raises(UserError, match=r"'runtime' must be known \(got 'onnx'\); did you mean 'onnxruntime'"):
            measure(DeployedModels(loaded, timer=FakeTimer()), claim)

    def test_torch_gets_its_number_of_threads_back(self, loaded: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
        """It has the number of the run while eager mode is timed."""
        monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)  # passive threads are not timed in eager mode
        before, during = torch.get_num_threads(), []
        timer = FakeTimer(afterwards=lambda: during.append(torch.get_num_threads()))

        only_row(DeployedModels(loaded, threads=before + 1, timer=timer), SPEEDUP)

        assert during == [before + 1]
        assert torch.get_num_threads() == before


class TestEmulated:
    """Nothing is timed on an emulated processor, not even on a named edge device."""

    @pytest.mark.usefixtures("emulated")
    @pytest.mark.parametrize("claim", [deployed_claim(), SPEEDUP], ids=["latency", "speedup"])
    def test_emulated_processor_is_not_timed(self, loaded: Bundle, claim: Claim) -> None:
        """There is no row either."""
        timer = FakeTimer()

        obstacle = only_obstacle(DeployedModels(loaded, named=PI5, threads=1, timer=timer), claim)

        assert obstacle.kind == "edge"
        assert "emulated" in obstacle.remedy
        assert timer.timed == []

    @pytest.mark.usefixtures("emulated")
    def test_no_temporary_bundle_is_built_under_emulation(self) -> None:
        """It would only be for timing."""
        models = TemporaryDeployedModels(lambda _: pytest.fail("a bundle was built"))

        obstacle = models.measure(case(SPEEDUP)).obstacle

        assert obstacle is not None
        assert obstacle.kind == "edge"
        assert "emulated" in obstacle.remedy


class TestLatency:
    """Absolute latency is judged on named edge devices only."""

    def test_median_is_judged_on_the_named_device(self, loaded: Bundle) -> None:
        """The row has the 90th percentile, the number of samples and the sha256 of the file."""
        timer = FakeTimer({"pruned-int8-onnxruntime": 12.0})

        measured = measure(DeployedModels(loaded, named=PI5, threads=1, timer=timer), deployed_claim())

        assert judge(deployed_claim(), measured).verdict == "reproduced"
        (row,) = measured.rows
        assert (row.reported.value, row.notes["p90"], row.n) == (12, 12, 40)
        assert row.evidence == loaded.sha256("pruned-int8")

    def test_slow_device_contradicts_the_claim(self, loaded: Bundle) -> None:
        """30 ms are more than at most 20 ms."""
        timer = FakeTimer({"pruned-int8-onnxruntime": 30.0})

        measured = measure(DeployedModels(loaded, named=PI5, timer=timer), deployed_claim())

        assert judge(deployed_claim(), measured).verdict == "contradicted"

    @pytest.mark.parametrize("named", [None, CLOUD], ids=["unnamed", "cloud"])
    def test_other_machines_report_their_time_without_judging_it(
        self, loaded: Bundle, named: Device | None
    ) -> None:
        """The row is shown, and the reason has the time, the threads and the roofline of the edge devices only."""
        timer = FakeTimer({"pruned-int8-onnxruntime": 1.5})
        models = DeployedModels(loaded, named=named, devices=list(DEVICES.values()), threads=2, timer=timer)

        measured = measure(models, deployed_claim())

        assert [row.reported.value for row in measured.rows] == [1.5]
        assert measured.obstacle is not None
        assert measured.obstacle.kind == "edge"
        assert "EDGEAI_DEVICE" in measured.obstacle.remedy
        assert "with 2 threads: 1.5 ms" in measured.obstacle.remedy
        for device in DEVICES.values():
            assert (f"{device.key} at least" in measured.obstacle.remedy) == (device.kind == "edge")

    def test_speedup_is_judged_on_any_machine(self, loaded: Bundle) -> None:
        """Both times come from the same run."""
        timer = FakeTimer({"fp32-onnxruntime": 2.0})

        measured = measure(DeployedModels(loaded, threads=1, timer=timer), SPEEDUP)

        assert judge(SPEEDUP, measured).verdict == "reproduced"
