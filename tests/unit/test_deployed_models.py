"""The models of a bundle are timed together and evaluated; absolute times are judged on edge devices only."""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from edgeai_repro.claims.schema import Claim
from edgeai_repro.devices.spec import Device, load_devices
from edgeai_repro.edge import bundle
from edgeai_repro.edge.bundle import Bundle
from edgeai_repro.edge.contenders import Contender, eager_runner, needs_timing_of
from edgeai_repro.edge.deployed_models import DeployedModels
from edgeai_repro.edge.manifest import Origin
from edgeai_repro.edge.temporary_bundle import TemporaryDeployedModels
from edgeai_repro.errors import TooNoisyError, UserError
from edgeai_repro.evidence.measurement import Measured, Measurement, Obstacle
from edgeai_repro.judge.verdict import judge
from edgeai_repro.measure.latency.interleaved import Plan, Timing, time_interleaved
from tests.support.bundles import CONVNEXT
from tests.support.factories import case, claim
from tests.support.records import FULL_SCALE, trained_case
from tests.support.timers import FakeTimer

DEVICES = load_devices(Path(__file__).parents[2] / "claims")
PI5 = DEVICES["raspberry-pi-5"]
CLOUD = next(device for device in DEVICES.values() if device.kind == "cloud")
RECIPE: dict[str, Any] = {**FULL_SCALE.model_dump(), "seed": 7, "structured": 0.8, "unstructured": None}
QUICK = Plan(rounds=2, samples=1, untimed=0, seconds=0, untimed_seconds=0)
OVER_FP32 = {"runtime": ["onnxruntime"], "baseline": ["none"], "baseline_runtime": ["onnxruntime"]}
OVER_EAGER = {**OVER_FP32, "baseline": ["combined"], "baseline_runtime": ["eager"]}


def _claim(metric: str = "latency", **fields: Any) -> Claim:
    """Return a claim about the pruned int8 model: at most 20 of the metric's unit."""
    return claim(
        **{
            "metric": metric,
            "technique": "combined",
            "models": ["convnext_atto"],
            "needs": ["edge"],
            "value": 20.0,
            "band": {"rounding": 0.0, "side": "at_most", "derivation": "for the test"},
            "settings": {"target": [0.8]} if metric != "speedup" else {},
            **fields,
        }
    )


SPEEDUP = _claim("speedup", conditions=OVER_FP32)
SPEEDUP_OVER_EAGER = _claim("speedup", conditions=OVER_EAGER)
ACCURACY = _claim("accuracy", conditions={"runtime": "onnxruntime"}, needs=["data", "weights", "edge"])


@dataclass(frozen=True)
class BundleWithImages(Bundle):
    """A bundle whose test images are its probes, with these labels."""

    labels: NDArray[np.uint8]

    def test_split(self) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Return the probes and the labels."""
        return self.probes(), self.labels


@pytest.fixture
def loaded(atto_bundle: Path) -> Bundle:
    """The bundle of convnext_atto."""
    return bundle.load(atto_bundle)


@pytest.fixture
def copied(atto_bundle: Path, tmp_path: Path) -> Bundle:
    """A copy of the bundle, whose files a test may exchange."""
    return bundle.load(Path(shutil.copytree(atto_bundle, tmp_path / "copy")))


@pytest.fixture
def emulated(monkeypatch: pytest.MonkeyPatch) -> None:
    """The processor is emulated."""
    monkeypatch.setattr("edgeai_repro.evidence.environment.emulated", lambda: True)


@pytest.fixture
def no_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Torch can't be found."""
    monkeypatch.setitem(sys.modules, "torch", None)


def _with_origin(loaded: Bundle, origin: Origin) -> Bundle:
    """Return the bundle with another origin of its weights."""
    models = {name: model.model_copy(update={"origin": origin}) for name, model in loaded.manifest.models.items()}
    return Bundle(loaded.folder, loaded.manifest.model_copy(update={"models": models}))


def _with_images(loaded: Bundle, recipe: dict[str, Any] | None, right: int = 6) -> BundleWithImages:
    """Return the bundle with trained weights and test images, `right` of which pruned-int8 gets right."""
    predictions = np.array(loaded.model("pruned-int8").expected).argmax(1)
    wrong = np.arange(len(predictions)) >= right
    labels = ((predictions + wrong) % 10).astype(np.uint8)
    trained = _with_origin(loaded, Origin(sha256="f" * 64, recipe=recipe))
    return BundleWithImages(trained.folder, trained.manifest, labels)


def _measure(models: DeployedModels, claim: Claim) -> Measured:
    return models.measure(trained_case(claim))


def _row(models: DeployedModels, claim: Claim) -> Measurement:
    """Return the only row of a claim that nothing keeps from being judged."""
    measured = _measure(models, claim)
    assert measured.obstacle is None, measured.obstacle
    (row,) = measured.rows
    return row


def _obstacle(models: DeployedModels, claim: Claim) -> Obstacle:
    """Return the obstacle of a claim that has no rows."""
    measured = _measure(models, claim)
    assert measured.rows == ()
    assert measured.obstacle is not None
    return measured.obstacle


def _runtimes(models: DeployedModels) -> set[str]:
    return {contender.runtime for contender in models.contenders}


class TestContenders:
    """A contender is a model of the bundle in a runtime."""

    def test_name_has_model_and_runtime(self) -> None:
        """It stands in tables and in test ids."""
        assert str(Contender("onnxruntime", "pruned-int8")) == "pruned-int8-onnxruntime"

    def test_each_model_contends_in_each_runtime(self, loaded: Bundle) -> None:
        """That is ONNX Runtime, and eager mode if torch is installed."""
        names = {str(contender) for contender in DeployedModels(loaded, threads=1).contenders}

        assert names == {f"{variant}-{runtime}" for variant in CONVNEXT for runtime in ("onnxruntime", "eager")}

    def test_only_contenders_of_the_claims_are_timed(self, loaded: Bundle) -> None:
        """A run without --bundle times nothing else."""
        timer = FakeTimer()

        _measure(DeployedModels(loaded, claims=[SPEEDUP, _claim()], threads=1, timer=timer), SPEEDUP)

        assert timer.timed == [{"fp32-onnxruntime", "pruned-int8-onnxruntime"}]

    def test_accuracy_claim_needs_no_timing(self) -> None:
        """Its metric is one of trained models."""
        assert needs_timing_of(_claim(), Contender("onnxruntime", "pruned-int8"))
        assert not needs_timing_of(ACCURACY, Contender("onnxruntime", "pruned-int8"))

    @pytest.mark.usefixtures("no_torch")
    def test_eager_mode_is_left_out_without_torch(self, loaded: Bundle) -> None:
        """ONNX Runtime is enough."""
        assert _runtimes(DeployedModels(loaded, threads=1)) == {"onnxruntime"}

    @pytest.mark.usefixtures("no_torch")
    def test_claim_about_eager_mode_needs_torch(self, loaded: Bundle) -> None:
        """The remedy is to install it."""
        obstacle = _obstacle(DeployedModels(loaded, threads=1, timer=FakeTimer()), SPEEDUP_OVER_EAGER)

        assert obstacle.kind == "torch"
        assert "pip install" in obstacle.remedy

    @pytest.mark.parametrize(("threads", "runtimes"), [(1, {"onnxruntime", "eager"}), (2, {"onnxruntime"})])
    def test_eager_mode_is_left_out_if_its_threads_sleep(
        self, loaded: Bundle, monkeypatch: pytest.MonkeyPatch, threads: int, runtimes: set[str]
    ) -> None:
        """OMP_WAIT_POLICY=passive puts several threads to sleep, but one thread does not wait."""
        monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")

        assert _runtimes(DeployedModels(loaded, threads=threads)) == runtimes

    def test_claim_about_eager_mode_names_the_wait_policy(
        self, loaded: Bundle, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The remedy is to unset the variable."""
        monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")

        obstacle = _obstacle(DeployedModels(loaded, threads=2, timer=FakeTimer()), SPEEDUP_OVER_EAGER)

        assert obstacle.kind == "torch"
        assert "OMP_WAIT_POLICY" in obstacle.remedy
        assert "unset" in obstacle.remedy

    @pytest.mark.parametrize("variant", CONVNEXT)
    def test_eager_model_returns_logits_of_one_image(self, loaded: Bundle, variant: bundle.BundledModel) -> None:
        """There are as many as the bundle's models have classes."""
        logits = eager_runner(loaded, variant)()

        assert isinstance(logits, torch.Tensor)
        assert logits.shape == (1, 10)


class TestTiming:
    """All contenders of a run are timed together, once."""

    def test_contenders_are_timed_once_for_all_claims(self, loaded: Bundle) -> None:
        """Later claims use the same times."""
        timer = FakeTimer()
        models = DeployedModels(loaded, threads=1, timer=timer)

        _row(models, SPEEDUP)
        _row(models, _claim("speedup", technique="structured_pruning", conditions=OVER_FP32))

        assert timer.timed == [{str(contender) for contender in models.contenders}]
        assert set(models.timings) == set(models.contenders)

    def test_timer_of_the_package_times_all_contenders(self, loaded: Bundle) -> None:
        """It is the default; a short plan is enough to run it."""
        models = DeployedModels(loaded, claims=[SPEEDUP], threads=1, plan=QUICK, timer=time_interleaved)

        row = _row(models, SPEEDUP)

        assert row.reported.value > 0
        assert {str(contender) for contender in models.timings} == {"fp32-onnxruntime", "pruned-int8-onnxruntime"}

    def test_speedup_is_the_ratio_of_medians(self, loaded: Bundle) -> None:
        """It is the time of the baseline divided by the time of the technique."""
        timer = FakeTimer({"fp32-onnxruntime": 6.0, "pruned-int8-onnxruntime": 2.0})

        row = _row(DeployedModels(loaded, threads=1, timer=timer), SPEEDUP)

        assert row.reported.value == pytest.approx(3)
        assert row.control is not None
        assert (row.control.low, row.control.high) == (1, 1)

    def test_speedup_row_names_its_conditions_and_its_file(self, loaded: Bundle) -> None:
        """Resolution and threads are notes; the evidence is the sha256 of the technique's file."""
        row = _row(DeployedModels(loaded, threads=1, timer=FakeTimer()), SPEEDUP)

        assert row.settings == {}
        assert row.conditions == {"runtime": "onnxruntime", "baseline": "none", "baseline_runtime": "onnxruntime"}
        assert {name: row.notes[name] for name in ("resolution", "threads")} == {"resolution": 32, "threads": 1}
        assert row.notes.keys() <= {"resolution", "threads", "governor"}
        assert row.evidence == loaded.sha256("pruned-int8")

    def test_discarded_rounds_are_noted(self, loaded: Bundle) -> None:
        """They are rounds during which the device was throttled."""
        names = ("fp32-onnxruntime", "pruned-int8-onnxruntime")
        timer = FakeTimer(timings=dict.fromkeys(names, Timing(np.ones((8, 5)), discarded=2)))

        row = _row(DeployedModels(loaded, claims=[SPEEDUP], threads=1, timer=timer), SPEEDUP)

        assert row.notes["discarded_rounds"] == 2

    def test_failing_control_of_the_baseline_makes_a_claim_inconclusive(self, loaded: Bundle) -> None:
        """The worse of both controls counts. The run is too noisy; the claim has not failed."""
        noisy = Timing(np.array([[4.0] * 5, [8.0] * 5] * 4))
        models = DeployedModels(loaded, threads=1, timer=FakeTimer(timings={"fp32-onnxruntime": noisy}))
        at_least = {"rounding": 0.0, "side": "at_least", "derivation": "for the test"}
        claim = _claim("speedup", conditions=OVER_FP32, value=1.0, band=at_least)

        verdict = judge(claim, _measure(models, claim))

        assert verdict.verdict == "inconclusive"
        assert "too noisy" in verdict.reason

    def test_throttled_run_is_not_repeated(self, loaded: Bundle) -> None:
        """A hot device gets no cooler by being timed again. No row is kept, and the claims are inconclusive."""

        def too_hot() -> None:
            raise TooNoisyError("too noisy: the device was throttled")

        timer = FakeTimer(afterwards=too_hot)
        models = DeployedModels(loaded, named=PI5, threads=1, timer=timer)

        obstacles = [_obstacle(models, claim) for claim in (SPEEDUP, _claim())]

        assert obstacles == [Obstacle("noise", "too noisy: the device was throttled")] * 2
        assert len(timer.timed) == 1
        assert judge(SPEEDUP, _measure(models, SPEEDUP)).verdict == "inconclusive"

    def test_unknown_runtime_is_refused_with_the_closest_name(self, loaded: Bundle) -> None:
        """It is a mistake in the claims file."""
        claim = _claim("speedup", conditions={**OVER_FP32, "runtime": ["onnx"]})

        with pytest.raises(UserError, match=r"'runtime' must be known \(got 'onnx'\); did you mean 'onnxruntime'"):
            _measure(DeployedModels(loaded, timer=FakeTimer()), claim)

    def test_torch_gets_its_number_of_threads_back(self, loaded: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
        """It has the number of the run while eager mode is timed."""
        monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)  # passive threads are not timed in eager mode
        before, during = torch.get_num_threads(), []
        timer = FakeTimer(afterwards=lambda: during.append(torch.get_num_threads()))

        _row(DeployedModels(loaded, threads=before + 1, timer=timer), SPEEDUP)

        assert during == [before + 1]
        assert torch.get_num_threads() == before


class TestEmulated:
    """Nothing is timed on an emulated processor, not even on a named edge device."""

    @pytest.mark.usefixtures("emulated")
    @pytest.mark.parametrize("claim", [_claim(), SPEEDUP], ids=["latency", "speedup"])
    def test_emulated_processor_is_not_timed(self, loaded: Bundle, claim: Claim) -> None:
        """There is no row either."""
        timer = FakeTimer()

        obstacle = _obstacle(DeployedModels(loaded, named=PI5, threads=1, timer=timer), claim)

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


class TestTemporaryBundle:
    """Runs without --bundle build a bundle, unless it would be of no use."""

    def test_claim_about_trained_weights_needs_a_bundle_of_the_user(self) -> None:
        """The remedy is the option, and the command that writes a bundle."""
        models = TemporaryDeployedModels(lambda _: pytest.fail("a bundle was built"))

        obstacle = models.measure(trained_case(ACCURACY)).obstacle

        assert obstacle is not None
        assert obstacle.kind == "edge"
        assert "--bundle=DIR" in obstacle.remedy
        assert "`edgeai-repro bundle " in obstacle.remedy

    def test_no_bundle_is_built_for_a_model_left_out_of_the_run(self) -> None:
        """The claim says which model is left out."""
        models = TemporaryDeployedModels(lambda _: pytest.fail("a bundle was built"), models=["convnext_tiny"])

        obstacle = models.measure(case(SPEEDUP)).obstacle

        assert obstacle is not None
        assert obstacle.kind == "models"
        assert obstacle.remedy.startswith("convnext_atto not in --claims-models")


class TestLatency:
    """Absolute latency is judged on named edge devices only."""

    def test_median_is_judged_on_the_named_device(self, loaded: Bundle) -> None:
        """The row has the 90th percentile, the number of samples and the sha256 of the file."""
        timer = FakeTimer({"pruned-int8-onnxruntime": 12.0})

        measured = _measure(DeployedModels(loaded, named=PI5, threads=1, timer=timer), _claim())

        assert judge(_claim(), measured).verdict == "reproduced"
        (row,) = measured.rows
        assert (row.reported.value, row.notes["p90"], row.n) == (12, 12, 40)
        assert row.evidence == loaded.sha256("pruned-int8")

    def test_slow_device_contradicts_the_claim(self, loaded: Bundle) -> None:
        """30 ms are more than at most 20 ms."""
        timer = FakeTimer({"pruned-int8-onnxruntime": 30.0})

        measured = _measure(DeployedModels(loaded, named=PI5, timer=timer), _claim())

        assert judge(_claim(), measured).verdict == "contradicted"

    @pytest.mark.parametrize("named", [None, CLOUD], ids=["unnamed", "cloud"])
    def test_other_machines_report_their_time_without_judging_it(
        self, loaded: Bundle, named: Device | None
    ) -> None:
        """The row is shown, and the reason has the time, the threads and the roofline of the edge devices only."""
        timer = FakeTimer({"pruned-int8-onnxruntime": 1.5})
        models = DeployedModels(loaded, named=named, devices=list(DEVICES.values()), threads=2, timer=timer)

        measured = _measure(models, _claim())

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

        measured = _measure(DeployedModels(loaded, threads=1, timer=timer), SPEEDUP)

        assert judge(SPEEDUP, measured).verdict == "reproduced"


class TestOtherTarget:
    """A claim about one device, or about a runtime that no bundle has a file for, is not judged by others."""

    PUBLISHED = _claim(
        "speedup",
        conditions={
            "runtime": ["executorch"],
            "baseline": ["none"],
            "baseline_runtime": ["executorch"],
            "device": ["raspberry-pi-5"],
        },
    )

    @pytest.mark.parametrize(
        ("named", "kind", "remedy"),
        [
            (None, "device", "about raspberry-pi-5, and EDGEAI_DEVICE is not set"),
            (CLOUD, "device", f"about raspberry-pi-5, and EDGEAI_DEVICE names {CLOUD.key}"),
            (PI5, "edge", "about ExecuTorch, and a bundle has files for ONNX Runtime only"),
        ],
        ids=["no device", "another device", "the device, another runtime"],
    )
    def test_nothing_is_timed(self, loaded: Bundle, named: Device | None, kind: str, remedy: str) -> None:
        """The obstacle says what is missing."""
        timer = FakeTimer()

        obstacle = _obstacle(DeployedModels(loaded, named=named, threads=1, timer=timer), self.PUBLISHED)

        assert (obstacle.kind, timer.timed) == (kind, [])
        assert remedy in obstacle.remedy

    def test_claim_about_the_named_device_is_judged_there(self, loaded: Bundle) -> None:
        """As any other ratio is."""
        claim = _claim("speedup", conditions={**OVER_FP32, "device": ["raspberry-pi-5"]})
        timer = FakeTimer({"fp32-onnxruntime": 2.0})

        measured = _measure(DeployedModels(loaded, named=PI5, threads=1, timer=timer), claim)

        assert judge(claim, measured).verdict == "reproduced"

    def test_no_temporary_bundle_is_built_for_another_device(self) -> None:
        """It could not be judged here."""
        models = TemporaryDeployedModels(lambda _: pytest.fail("a bundle was built"))

        obstacle = models.measure(case(self.PUBLISHED)).obstacle

        assert obstacle is not None
        assert (obstacle.kind, "about raspberry-pi-5; write a bundle" in obstacle.remedy) == ("device", True)


class TestSameFile:
    """The file that is timed is the file that is evaluated, or there is no verdict."""

    def test_file_exchanged_while_it_is_timed_is_refused(self, copied: Bundle) -> None:
        """Its times are discarded."""
        timer = FakeTimer(afterwards=lambda: shutil.copy(copied.path("fp32"), copied.path("pruned-int8")))

        with pytest.raises(UserError, match=r"pruned-int8\.onnx: .*truncated or altered"):
            _measure(DeployedModels(copied, named=PI5, threads=1, timer=timer), _claim())

    def test_file_exchanged_after_timing_is_refused(self, copied: Bundle) -> None:
        """Its accuracy would be that of another model."""
        models = DeployedModels(_with_images(copied, RECIPE), named=PI5, threads=1, timer=FakeTimer())
        _row(models, _claim())
        shutil.copy(copied.path("fp32"), copied.path("pruned-int8"))

        with pytest.raises(UserError, match=r"pruned-int8\.onnx: .*truncated or altered"):
            _measure(models, ACCURACY)


class TestAccuracy:
    """The accuracy of the deployed model on the test images."""

    def test_share_of_right_images_is_reported(self, loaded: Bundle) -> None:
        """A recipe with the paper's budget puts the row at full scale. The evidence is the sha256 of the file."""
        row = _row(DeployedModels(_with_images(loaded, RECIPE, right=6), threads=1), ACCURACY)

        assert (row.reported.value, row.n, row.scale) == (75, 8, "full")
        assert row.evidence == loaded.sha256("pruned-int8")

    @pytest.mark.parametrize(
        "recipe",
        [None, RECIPE | {"epochs": 29}, RECIPE | {"structured": None}],
        ids=["unknown", "shorter", "pruned-after-training"],
    )
    def test_weights_of_less_training_are_at_reduced_scale(
        self, loaded: Bundle, recipe: dict[str, Any] | None
    ) -> None:
        """They decide nothing."""
        measured = _measure(DeployedModels(_with_images(loaded, recipe), threads=1), ACCURACY)

        assert [row.scale for row in measured.rows] == ["reduced"]
        assert judge(ACCURACY, measured).verdict == "not_testable"

    def test_random_weights_are_not_evaluated(self, loaded: Bundle) -> None:
        """The remedy is to train the model."""
        obstacle = _obstacle(DeployedModels(loaded, threads=1), ACCURACY)

        assert obstacle.kind == "weights"
        assert "random weights" in obstacle.remedy
        assert "`edgeai-repro train`" in obstacle.remedy

    def test_test_images_may_be_missing(self, loaded: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
        """They are neither in the bundle nor under EDGEAI_DATA."""
        monkeypatch.delenv("EDGEAI_DATA", raising=False)
        trained = _with_origin(loaded, Origin(sha256="f" * 64, recipe=RECIPE))

        obstacle = _obstacle(DeployedModels(trained, threads=1), ACCURACY)

        assert obstacle.kind == "data"
        assert "--with-test-split" in obstacle.remedy


class TestUnsuitableBundle:
    """Bundles of another model, or with other settings, don't decide a claim."""

    def test_bundle_of_another_model_does_not_count(self, loaded: Bundle) -> None:
        """The remedy names both models."""
        obstacle = _obstacle(DeployedModels(loaded), _claim(models=["convnext_small"]))

        assert obstacle.kind == "models"
        assert "convnext_small" in obstacle.remedy
        assert "the bundle is of convnext_atto" in obstacle.remedy

    def test_bundle_of_a_model_left_out_of_the_run_does_not_count(self, loaded: Bundle) -> None:
        """The remedy is the option."""
        obstacle = _obstacle(DeployedModels(loaded, models=["convnext_tiny"]), _claim())

        assert obstacle.kind == "models"
        assert obstacle.remedy.startswith("convnext_atto not in --claims-models")

    def test_bundle_pruned_to_another_target_does_not_count(self, loaded: Bundle) -> None:
        """The remedy names both targets."""
        obstacle = _obstacle(DeployedModels(loaded), _claim(settings={"target": [0.7]}))

        assert obstacle.kind == "edge"
        assert "target 0.7" in obstacle.remedy
        assert "pruned-int8 has 0.8" in obstacle.remedy

    def test_bundle_without_the_technique_does_not_count(self, loaded: Bundle) -> None:
        """The remedy is the command that writes a bundle."""
        fp32 = loaded.manifest.model_copy(update={"models": {"fp32": loaded.model("fp32")}})

        obstacle = _obstacle(DeployedModels(Bundle(loaded.folder, fp32)), _claim())

        assert obstacle.kind == "edge"
        assert "no model for combined" in obstacle.remedy
