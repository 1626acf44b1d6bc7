"""The edge lab: what it times is what it evaluates, and milliseconds are told on an edge device alone."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from edgeai_repro.claims.schema import Claim, FullScale
from edgeai_repro.devices import fingerprint
from edgeai_repro.devices.spec import Device, load_devices
from edgeai_repro.edge import bundle, eager
from edgeai_repro.edge import deployed_models as labs
from edgeai_repro.edge.bundle import Bundle, Origin
from edgeai_repro.edge.contenders import Contender
from edgeai_repro.edge.deployed_models import DeployedModels
from edgeai_repro.errors import MissingRequirement, UserError
from edgeai_repro.judge.verdict import judge
from edgeai_repro.measure.latency.interleaved import Plan, Timing
from tests.support.factories import claim

DEVICES = load_devices(Path(__file__).parents[2] / "claims")
PI5 = DEVICES["raspberry-pi-5"]
CLOUD = next(each for each in DEVICES.values() if each.kind == "cloud")
FULL = FullScale(init="imagenet", epochs=30, resolution=32, stem_stride=4)
RECIPE = {
    **{"init": "imagenet", "epochs": 30, "resolution": 32, "stem_stride": 4, "seed": 7},
    **{"structured": 0.8, "unstructured": None},
}
QUICK = Plan(rounds=2, samples=1, untimed=0, seconds=0, untimed_seconds=0)
SPEEDUP = {"runtime": ["onnxruntime"], "baseline": ["none"], "baseline_runtime": ["onnxruntime"]}


def asked(metric: str = "latency", **fields: Any) -> Claim:
    """Return a claim about what is deployed, at most 20 ms or at least once as fast."""
    return claim(
        **{
            **{"metric": metric, "technique": "combined", "models": ["convnext_atto"], "needs": ["edge"]},
            **{"value": 20.0, "band": {"rounding": 0.0, "side": "at_most", "derivation": "for the test"}},
            **{"settings": {"target": [0.8]}},
            **fields,
        }
    )


@pytest.fixture
def loaded(atto_bundle: Path) -> Bundle:
    """The bundle, checked."""
    return bundle.load(atto_bundle)


@pytest.fixture
def timed(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """What each contender takes in ms, by name, 1.0 where nothing else is said; no clock is asked."""
    milliseconds: dict[str, float] = {}

    def race(contenders: Mapping[str, object], _: Plan) -> dict[str, Timing]:
        return {name: Timing(np.full((8, 5), milliseconds.get(name, 1.0))) for name in contenders}

    monkeypatch.setattr(labs, "race", race)
    return milliseconds


def with_origin(loaded: Bundle, origin: Origin) -> Bundle:
    """Return the bundle with other weights said to be in it."""
    models = {name: model.model_copy(update={"origin": origin}) for name, model in loaded.manifest.models.items()}
    return Bundle(loaded.folder, loaded.manifest.model_copy(update={"models": models}))


class TestTiming:
    """What is timed, against what."""

    def test_contenders(self, loaded: Bundle) -> None:
        """Each model of the bundle is timed in ONNX Runtime and, where torch is installed, in eager mode."""
        names = {str(each) for each in DeployedModels(loaded, threads=1).contenders}

        assert names == {
            f"{variant}-{name}" for variant in bundle.TECHNIQUE_OF_VARIANT for name in ("onnxruntime", "eager")
        }

    def test_without_torch(self, loaded: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
        """Where torch isn't installed eager mode is left out, and a claim that needs it says what to install."""
        monkeypatch.setattr(labs, "find_spec", lambda _: None)
        lab = DeployedModels(loaded, threads=1, plan=QUICK)
        settings = {**SPEEDUP, "baseline": ["combined"], "baseline_runtime": ["eager"]}

        assert {each.runtime for each in lab.contenders} == {"onnxruntime"}
        with pytest.raises(MissingRequirement, match="torch isn't installed") as missing:
            lab.rows(asked("speedup", settings=settings), None)
        assert missing.value.requirement == "torch"

    def test_asleep(self, loaded: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
        """Where OpenMP's threads are told to fall asleep, eager mode isn't timed with several."""
        monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")
        settings = {**SPEEDUP, "baseline": ["combined"], "baseline_runtime": ["eager"]}

        assert {each.runtime for each in DeployedModels(loaded, threads=2).contenders} == {"onnxruntime"}
        assert {each.runtime for each in DeployedModels(loaded, threads=1).contenders} == {"onnxruntime", "eager"}
        with pytest.raises(MissingRequirement, match=r"OMP_WAIT_POLICY is passive.*unset it"):
            DeployedModels(loaded, threads=2, plan=QUICK).rows(asked("speedup", settings=settings), None)

    def test_once(self, loaded: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
        """All contenders are timed in one run, however many claims ask."""
        lab, race, runs = DeployedModels(loaded, threads=1, plan=QUICK), labs.time_interleaved, []
        monkeypatch.setattr(labs, "race", lambda *given: runs.append(1) or race(*given))  # type: ignore[func-returns-value]

        lab.rows(asked("speedup", settings=SPEEDUP), None)
        lab.rows(asked("speedup", technique="structured_pruning", settings=SPEEDUP), None)

        assert len(runs) == 1
        assert set(lab.timings) == set(lab.contenders)

    def test_speedup(self, loaded: Bundle, timed: dict[str, float]) -> None:
        """The ratio is that of the baseline's median over the technique's, with the worse of both controls."""
        timed |= {"fp32-onnxruntime": 6.0, "pruned-int8-onnxruntime": 2.0}
        (row,) = DeployedModels(loaded, threads=1).rows(asked("speedup", settings=SPEEDUP), None)

        assert row.reported.value == pytest.approx(3)
        assert row.control is not None
        assert (row.control.low, row.control.high) == (1, 1)
        assert row.params == {"runtime": "onnxruntime", "baseline": "none", "baseline_runtime": "onnxruntime"} | {
            "resolution": 32,
            "threads": 1,
        }
        assert row.evidence == loaded.sha256("pruned-int8")

    @pytest.mark.parametrize("metric", ["latency", "speedup"])
    def test_emulated(self, loaded: Bundle, monkeypatch: pytest.MonkeyPatch, metric: str) -> None:
        """On an emulated processor nothing is timed, also where it is called a device's: no verdict, and no row."""
        monkeypatch.setattr("edgeai_repro.evidence.environment.emulated", lambda: True)
        monkeypatch.setattr(labs, "race", lambda *_: pytest.fail("it was timed"))
        lab = DeployedModels(loaded, named=PI5, threads=1)

        with pytest.raises(MissingRequirement, match="this processor is emulated") as missing:
            lab.rows(asked(metric, settings=SPEEDUP if metric == "speedup" else {"target": [0.8]}), None)
        assert (missing.value.requirement, missing.value.rows) == ("edge", ())

    def test_emulated_without_a_bundle(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """On an emulated processor no bundle is made either: it would be for timing alone."""
        monkeypatch.setattr("edgeai_repro.evidence.environment.emulated", lambda: True)
        monkeypatch.setattr(labs, "make", lambda _: pytest.fail("a bundle was made"))
        claim = asked("speedup", settings=SPEEDUP)

        with pytest.raises(MissingRequirement, match="this processor is emulated"):
            DeployedModels(claims=[claim]).rows(claim, None)

    def test_noisy(self, loaded: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
        """Where the baseline's own control fails, the claim is inconclusive: too noisy, not failed."""
        noisy = Timing(np.array([[4.0] * 5, [8.0] * 5] * 4))
        quiet = Timing(np.ones((8, 5)))
        monkeypatch.setattr(
            labs, "race", lambda calls, _: {name: noisy if name.startswith("fp32") else quiet for name in calls}
        )
        entry = asked(
            "speedup", settings=SPEEDUP, value=1.0, band={"rounding": 0.0, "side": "at_least", "derivation": "…"}
        )

        found = judge(entry, DeployedModels(loaded, threads=1).rows(entry, None))

        assert found.verdict == "inconclusive"
        assert "too noisy" in found.reason

    def test_unknown_runtime(self, loaded: Bundle) -> None:
        """A claims file that names another runtime is told the nearest."""
        with pytest.raises(UserError, match=r"'runtime' must be known \(got 'onnx'\); did you mean 'onnxruntime'"):
            DeployedModels(loaded).rows(asked("speedup", settings={**SPEEDUP, "runtime": ["onnx"]}), None)

    def test_threads_restored(self, loaded: Bundle, timed: dict[str, float]) -> None:
        """Torch is left with as many threads as it had."""
        before = torch.get_num_threads()
        DeployedModels(loaded, threads=before + 1).rows(asked("speedup", settings=SPEEDUP), None)

        assert torch.get_num_threads() == before

    @pytest.mark.parametrize("variant", bundle.TECHNIQUE_OF_VARIANT)
    def test_eager(self, loaded: Bundle, variant: bundle.Variant) -> None:
        """The eager model answers one image with as many logits as the bundle's."""
        answer = eager.call(loaded, variant)()

        assert isinstance(answer, torch.Tensor)
        assert answer.shape == (1, 10)


class TestLatency:
    """Milliseconds."""

    def test_on_the_device(self, loaded: Bundle, timed: dict[str, float]) -> None:
        """On a named edge device the median is judged, in milliseconds."""
        timed["pruned-int8-onnxruntime"] = 12.0
        (row,) = DeployedModels(loaded, named=PI5, threads=1).rows(asked(), None)

        assert judge(asked(), [row]).verdict == "reproduced"
        assert (row.reported.value, row.params["p90"], row.n) == (12, 12, 40)
        assert row.evidence == loaded.sha256("pruned-int8")

    def test_too_slow(self, loaded: Bundle, timed: dict[str, float]) -> None:
        """A device that takes longer contradicts it."""
        timed["pruned-int8-onnxruntime"] = 30.0

        assert judge(asked(), DeployedModels(loaded, named=PI5).rows(asked(), None)).verdict == "contradicted"

    @pytest.mark.parametrize("named", [None, CLOUD])
    def test_elsewhere(self, loaded: Bundle, timed: dict[str, float], named: Device | None) -> None:
        """Elsewhere nothing is judged: what was measured is told, and the roofline of the edge devices alone."""
        timed["pruned-int8-onnxruntime"] = 1.5
        with pytest.raises(MissingRequirement, match="milliseconds are judged on an edge device alone") as missing:
            DeployedModels(loaded, named=named, devices=list(DEVICES.values()), threads=2).rows(asked(), None)

        assert missing.value.requirement == "edge"
        assert [row.reported.value for row in missing.value.rows] == [1.5]
        assert "with 2 threads: 1.5 ms" in missing.value.remedy
        assert "the roofline: " in missing.value.remedy
        for each in DEVICES.values():
            assert (f"{each.key} at least" in missing.value.remedy) == (each.kind == "edge")


class TestSameFile:
    """The file that is timed is the file that is evaluated, or there is no verdict."""

    @pytest.fixture
    def copied(self, atto_bundle: Path, tmp_path: Path) -> Bundle:
        """A bundle of one's own."""
        return bundle.load(Path(shutil.copytree(atto_bundle, tmp_path / "copy")))

    def test_exchanged_while_timed(self, copied: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
        """A file that is exchanged while it is timed leaves no times."""
        race = labs.time_interleaved

        def exchanging(*given: Any) -> dict[str, Timing]:
            found = race(*given)
            shutil.copy(copied.path("fp32"), copied.path("pruned-int8"))
            return found

        monkeypatch.setattr(labs, "race", exchanging)
        with pytest.raises(UserError, match=r"pruned-int8\.onnx: .*truncated or altered"):
            DeployedModels(copied, named=PI5, threads=1, plan=QUICK).rows(asked(), None)

    def test_exchanged_after(self, copied: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
        """A file that is exchanged between timing and evaluating leaves no accuracy."""
        trained = with_origin(copied, Origin(sha256="f" * 64, recipe=RECIPE))
        monkeypatch.setattr(Bundle, "test_split", lambda _: (copied.probes(), np.zeros(8, np.uint8)))
        lab = DeployedModels(trained, named=PI5, threads=1, plan=QUICK)
        lab.rows(asked(), None)
        shutil.copy(copied.path("fp32"), copied.path("pruned-int8"))

        with pytest.raises(UserError, match=r"pruned-int8\.onnx: .*truncated or altered"):
            lab.rows(asked("accuracy", needs=["edge", "weights"]), FULL)


class TestAccuracy:
    """What the deployed model gets right."""

    ASKED = asked("accuracy", needs=["data", "weights", "edge"])

    def rows(self, loaded: Bundle, monkeypatch: pytest.MonkeyPatch, origin: Origin, right: int = 6) -> Any:
        """Return the rows where the deployed model is right on that many of the probes."""
        labels = bundle_labels(loaded, right)
        monkeypatch.setattr(Bundle, "test_split", lambda _: (loaded.probes(), labels))
        return DeployedModels(with_origin(loaded, origin), threads=1).rows(self.ASKED, FULL)

    def test_evaluated(self, loaded: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
        """The share of right answers is reported, at full scale where the recipe reaches the paper's."""
        (row,) = self.rows(loaded, monkeypatch, Origin(sha256="f" * 64, recipe=RECIPE))

        assert (row.reported.value, row.n, row.scale) == (75, 8, "full")

    @pytest.mark.parametrize("recipe", [None, RECIPE | {"epochs": 29}, RECIPE | {"structured": None}])
    def test_reduced(self, loaded: Bundle, monkeypatch: pytest.MonkeyPatch, recipe: Any) -> None:
        """Weights of a shorter or an unknown training, or cut after it, settle nothing."""
        (row,) = self.rows(loaded, monkeypatch, Origin(sha256="f" * 64, recipe=recipe))

        assert row.scale == "reduced"
        assert judge(self.ASKED, [row]).verdict == "not_testable"

    def test_random(self, loaded: Bundle) -> None:
        """Random weights are not evaluated at all."""
        with pytest.raises(MissingRequirement, match="has random weights") as missing:
            DeployedModels(loaded, threads=1).rows(self.ASKED, FULL)
        assert missing.value.requirement == "weights"

    def test_no_images(self, loaded: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
        """Without test images, in the bundle or under EDGEAI_DATA, the data are missing."""
        monkeypatch.delenv("EDGEAI_DATA", raising=False)
        trained = with_origin(loaded, Origin(sha256="f" * 64, recipe=RECIPE))

        with pytest.raises(MissingRequirement, match="--with-test-split") as missing:
            DeployedModels(trained, threads=1).rows(self.ASKED, FULL)
        assert missing.value.requirement == "data"


class TestRefused:
    """Bundles that don't fit a claim."""

    def test_no_bundle(self) -> None:
        """Without a bundle the way to one is told."""
        with pytest.raises(MissingRequirement, match="--bundle DIR") as missing:
            DeployedModels().rows(asked(), None)
        assert missing.value.requirement == "edge"

    @pytest.mark.parametrize(
        ("models", "restricted", "complaint"),
        [
            (["convnext_small"], None, "convnext_small asked for; the bundle is of convnext_atto"),
            (["convnext_atto"], ["convnext_tiny"], "convnext_atto left out; run without --claims-models"),
        ],
    )
    def test_another_model(
        self, loaded: Bundle, models: list[str], restricted: list[str] | None, complaint: str
    ) -> None:
        """A bundle of a model that isn't asked for, or that the run leaves out, settles nothing."""
        with pytest.raises(MissingRequirement, match=complaint) as missing:
            DeployedModels(loaded, models=restricted).rows(asked(models=models), None)
        assert missing.value.requirement == "models"

    def test_another_target(self, loaded: Bundle) -> None:
        """A bundle that was pruned to another target than the claim's settles nothing."""
        with pytest.raises(MissingRequirement, match=r"target 0\.7 asked for; the bundle's pruned-int8 has 0\.8"):
            DeployedModels(loaded).rows(asked(settings={"target": [0.7]}), None)


class TestDevice:
    """Which device this is."""

    def test_unset(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Where EDGEAI_DEVICE is unset, it is none."""
        monkeypatch.delenv("EDGEAI_DEVICE", raising=False)

        assert fingerprint.named_device(DEVICES) is None

    def test_known(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A device of this architecture is taken for what EDGEAI_DEVICE says; arm64 is aarch64."""
        monkeypatch.setenv("EDGEAI_DEVICE", PI5.key)
        monkeypatch.setattr("platform.machine", lambda: "arm64")

        assert fingerprint.named_device(DEVICES) == PI5

    def test_unknown(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """An unknown device is refused with the nearest."""
        monkeypatch.setenv("EDGEAI_DEVICE", "raspberry-pi-55")

        with pytest.raises(UserError, match=r"\(got 'raspberry-pi-55'\); did you mean 'raspberry-pi-5'\?"):
            fingerprint.named_device(DEVICES)

    def test_none_known(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Without a file of devices it says so."""
        monkeypatch.setenv("EDGEAI_DEVICE", "pi")

        with pytest.raises(UserError, match=r"there is no devices\.yaml"):
            fingerprint.named_device({})

    def test_other_architecture(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A device of another architecture than this machine's is refused with both."""
        monkeypatch.setenv("EDGEAI_DEVICE", PI5.key)
        monkeypatch.setattr("platform.machine", lambda: "x86_64")

        with pytest.raises(UserError, match=r"architecture, x86_64 \(got 'raspberry-pi-5', aarch64\)"):
            fingerprint.named_device(DEVICES)

    def test_fingerprint(self) -> None:
        """Keys differ where anything of CPU, architecture, cores or threads does, also in what names leave out."""
        first = fingerprint.Fingerprint(cpu="Cortex-A76", architecture="aarch64", cores=4, threads=4)
        changes = [
            {"cpu": "Cortex A76"},
            {"architecture": "armv7l"},
            {"cores": 8},
            {"threads": 2},
            {"emulated": True},
        ]
        keys = {first.model_copy(update=change).key for change in [{}, *changes]}

        assert len(keys) == 6
        assert first.key.startswith("aarch64-cortex-a76-4c-4t-")
        assert first.key.endswith("-d85032c1"), "a real machine's key stays as it was before emulation was known of"
        assert str(first) == "Cortex-A76, aarch64, 4 cores, 4 threads"
        assert str(first.model_copy(update={"emulated": True})).endswith("4 threads, emulated")


def bundle_labels(loaded: Bundle, right: int) -> Any:
    """Return labels of the probes of which that many are what pruned-int8 answers."""
    answers = np.array(loaded.model("pruned-int8").expected).argmax(1)
    wrong = np.arange(len(answers)) >= right
    return ((answers + wrong) % 10).astype(np.uint8)


def test_contender() -> None:
    """A contender's name tells model and runtime."""
    assert str(Contender("onnxruntime", "pruned-int8")) == "pruned-int8-onnxruntime"
