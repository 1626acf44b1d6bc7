"""Which claims the models of a bundle decide: by the model, the runtime, the device and the settings."""

from __future__ import annotations

import sys

import pytest
import torch

from edgeai_repro.devices.spec import Device
from edgeai_repro.edge.bundle import Bundle
from edgeai_repro.edge.contenders import Contender, eager_runner, needs_timing_of
from edgeai_repro.edge.deployed_models import DeployedModels
from edgeai_repro.edge.manifest import BundledModel
from edgeai_repro.edge.temporary_bundle import TemporaryDeployedModels
from edgeai_repro.judge.verdict import judge
from tests.support.bundles import CONVNEXT
from tests.support.deployed_models import (
    ACCURACY,
    CLOUD,
    OVER_FP32,
    PI5,
    SPEEDUP,
    SPEEDUP_OVER_EAGER,
    deployed_claim,
    measure,
    only_obstacle,
)
from tests.support.factories import case
from tests.support.records import trained_case
from tests.support.timers import FakeTimer


@pytest.fixture
def no_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Torch can't be found."""
    monkeypatch.setitem(sys.modules, "torch", None)


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

        measure(DeployedModels(loaded, claims=[SPEEDUP, deployed_claim()], threads=1, timer=timer), SPEEDUP)

        assert timer.timed == [{"fp32-onnxruntime", "pruned-int8-onnxruntime"}]

    def test_accuracy_claim_needs_no_timing(self) -> None:
        """Its metric is one of trained models."""
        assert needs_timing_of(deployed_claim(), Contender("onnxruntime", "pruned-int8"))
        assert not needs_timing_of(ACCURACY, Contender("onnxruntime", "pruned-int8"))

    @pytest.mark.usefixtures("no_torch")
    def test_eager_mode_is_left_out_without_torch(self, loaded: Bundle) -> None:
        """ONNX Runtime is enough."""
        assert _runtimes(DeployedModels(loaded, threads=1)) == {"onnxruntime"}

    @pytest.mark.usefixtures("no_torch")
    def test_claim_about_eager_mode_needs_torch(self, loaded: Bundle) -> None:
        """The remedy is to install it."""
        obstacle = only_obstacle(DeployedModels(loaded, threads=1, timer=FakeTimer()), SPEEDUP_OVER_EAGER)

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

        obstacle = only_obstacle(DeployedModels(loaded, threads=2, timer=FakeTimer()), SPEEDUP_OVER_EAGER)

        assert obstacle.kind == "torch"
        assert "OMP_WAIT_POLICY" in obstacle.remedy
        assert "unset" in obstacle.remedy

    @pytest.mark.parametrize("variant", CONVNEXT)
    def test_eager_model_returns_logits_of_one_image(self, loaded: Bundle, variant: BundledModel) -> None:
        """There are as many as the bundle's models have classes."""
        logits = eager_runner(loaded, variant)()

        assert isinstance(logits, torch.Tensor)
        assert logits.shape == (1, 10)


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


class TestOtherTarget:
    """A claim about one device, or about a runtime that no bundle has a file for, is not judged by others."""

    PUBLISHED = deployed_claim(
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

        obstacle = only_obstacle(DeployedModels(loaded, named=named, threads=1, timer=timer), self.PUBLISHED)

        assert (obstacle.kind, timer.timed) == (kind, [])
        assert remedy in obstacle.remedy

    def test_claim_about_the_named_device_is_judged_there(self, loaded: Bundle) -> None:
        """As any other ratio is."""
        claim = deployed_claim("speedup", conditions={**OVER_FP32, "device": ["raspberry-pi-5"]})
        timer = FakeTimer({"fp32-onnxruntime": 2.0})

        measured = measure(DeployedModels(loaded, named=PI5, threads=1, timer=timer), claim)

        assert judge(claim, measured).verdict == "reproduced"

    def test_no_temporary_bundle_is_built_for_another_device(self) -> None:
        """It could not be judged here."""
        models = TemporaryDeployedModels(lambda _: pytest.fail("a bundle was built"))

        obstacle = models.measure(case(self.PUBLISHED)).obstacle

        assert obstacle is not None
        assert (obstacle.kind, "about raspberry-pi-5; write a bundle" in obstacle.remedy) == ("device", True)


class TestUnsuitableBundle:
    """Bundles of another model, or with other settings, don't decide a claim."""

    def test_bundle_of_another_model_does_not_count(self, loaded: Bundle) -> None:
        """The remedy names both models."""
        obstacle = only_obstacle(DeployedModels(loaded), deployed_claim(models=["convnext_small"]))

        assert obstacle.kind == "models"
        assert "convnext_small" in obstacle.remedy
        assert "the bundle is of convnext_atto" in obstacle.remedy

    def test_bundle_of_a_model_left_out_of_the_run_does_not_count(self, loaded: Bundle) -> None:
        """The remedy is the option."""
        obstacle = only_obstacle(DeployedModels(loaded, models=["convnext_tiny"]), deployed_claim())

        assert obstacle.kind == "models"
        assert obstacle.remedy.startswith("convnext_atto not in --claims-models")

    def test_bundle_pruned_to_another_target_does_not_count(self, loaded: Bundle) -> None:
        """The remedy names both targets."""
        obstacle = only_obstacle(DeployedModels(loaded), deployed_claim(settings={"target": [0.7]}))

        assert obstacle.kind == "edge"
        assert "target 0.7" in obstacle.remedy
        assert "pruned-int8 has 0.8" in obstacle.remedy

    def test_bundle_without_the_technique_does_not_count(self, loaded: Bundle) -> None:
        """The remedy is the command that writes a bundle."""
        fp32 = loaded.manifest.model_copy(update={"models": {"fp32": loaded.model("fp32")}})

        obstacle = only_obstacle(DeployedModels(Bundle(loaded.folder, fp32)), deployed_claim())

        assert obstacle.kind == "edge"
        assert "no model for combined" in obstacle.remedy
