"""The edge lab: times and evaluates the models of a bundle, each once, on the machine that it runs on.

ONNX Runtime alone is enough; where torch is installed too, the same models are timed in eager mode beside it. The
object that is timed is the one that is evaluated, and its file must be the manifest's before and after.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from functools import cached_property
from importlib.metadata import version
from importlib.util import find_spec
from typing import cast, get_args

import numpy as np
from numpy.typing import NDArray

from edgeai_repro.claims.registry import METRICS, Settings
from edgeai_repro.claims.schema import Claim, FullScale
from edgeai_repro.devices.roofline import estimates
from edgeai_repro.devices.spec import Device
from edgeai_repro.edge.bundle import TECHNIQUE_OF_VARIANT, Bundle, ModelEntry, Variant
from edgeai_repro.edge.contenders import Contender, Runtime, needs_timing_of
from edgeai_repro.edge.runtime import Deployed
from edgeai_repro.edge.temporary_bundle import make
from edgeai_repro.errors import MissingRequirement, TooNoisyError, UserError, did_you_mean
from edgeai_repro.evidence import environment
from edgeai_repro.evidence.measurement import Measurement, Setting
from edgeai_repro.judge.formatting import format_interval, format_number
from edgeai_repro.measure.latency.interleaved import PLAN, Plan, Timing, time_interleaved
from edgeai_repro.measure.latency.threads import torch_threads, usable_cores, why_eager_is_not_timed
from edgeai_repro.measure.latency.throttling import governor
from edgeai_repro.networks.variants import CONVNEXT_VARIANTS

NO_BUNDLE = "no bundle is here: `edgeai-repro bundle convnext_small -o DIR`, then --bundle DIR"
NO_TORCH = "eager mode can't be timed, for torch isn't installed here; pip install 'edgeai-repro[torch]'"
ROOFLINE_VARIANT = {"none": "fp32", "dynamic_quantization": "int8", "combined": "pruned + int8"}


class DeployedModels:
    """Measures what is deployed: the models of `bundle`, None where there is none, with a number of threads.

    `named` is the device that EDGEAI_DEVICE names, `devices` are all that are known; `models` restricts the run.
    `claims` are those that will be asked for where no bundle is given: one is made then for what they need, once.
    """

    def __init__(
        self,
        bundle: Bundle | None = None,
        *,
        named: Device | None = None,
        devices: Sequence[Device] = (),
        models: Sequence[str] | None = None,
        claims: Sequence[Claim] = (),
        threads: int | None = None,
        plan: Plan = PLAN,
    ) -> None:
        self.bundle = bundle
        self.named = named
        self.threads = threads or usable_cores()
        self._devices = devices
        self._models = models
        self._claims = claims
        self._plan = plan
        self._deployed: dict[Variant, Deployed] = {}
        self._correct: dict[Variant, NDArray[np.bool_]] = {}

    @property
    def model(self) -> str | None:
        """The model that the bundle is of."""
        return None if self.bundle is None else self.bundle.manifest.model

    @property
    def timing_context(self) -> dict[str, Setting]:
        """What is noted beside every timing: the input's side in pixels, the threads, and what the device tells.

        That is what sets its frequency, and how many turns were discarded since it was throttled.
        """
        assert self.bundle is not None, "checked by rows"
        noted: dict[str, Setting | None] = {
            "resolution": self.bundle.manifest.input.shape[3],
            "threads": self.threads,
            "governor": governor(),
            "discarded_turns": next(iter(self.timings.values())).discarded,
        }
        return {name: value for name, value in noted.items() if value is not None}

    @property
    def _not_eager(self) -> str | None:
        """Why torch's eager mode isn't timed here; None where it is."""
        return NO_TORCH if find_spec("torch") is None else why_eager_is_not_timed(self.threads)

    @property
    def contenders(self) -> list[Contender]:
        """All that can be timed here: each model of the bundle in each runtime that is installed."""
        if self.bundle is None:
            return []
        runtimes = [name for name in get_args(Runtime) if name != "eager" or self._not_eager is None]
        found = [Contender(runtime, variant) for variant in self.bundle.manifest.models for runtime in runtimes]
        return [
            each
            for each in found
            if not self._claims or any(needs_timing_of(claim, each) for claim in self._claims)
        ]

    def rows(self, claim: Claim, full: FullScale | None) -> list[Measurement]:
        """Return the rows of a claim about what is deployed; `full` is what trained weights need for full scale.

        Raises ConditionMissing where something that it needs isn't here, UserError where a file was exchanged or
        a clock jumped.
        """
        if self.bundle is None and claim not in self._claims:
            raise MissingRequirement("edge", NO_BUNDLE)
        model = claim.models[0] if self.bundle is None else self.bundle.manifest.model
        asked = ", ".join(claim.models)
        if self._models is not None and model not in self._models:
            raise MissingRequirement("models", f"{asked} left out; run without --claims-models")
        if model not in [*claim.models, *claim.also_shown]:
            raise MissingRequirement("models", f"{asked} asked for; the bundle is of {model}")
        if self.bundle is None:
            _check_real()
            self.bundle = make(model)
        rows = list(METRICS[claim.metric].measure(self, claim, model))
        if "weights" in claim.needs:
            origin = self.bundle.model(self._variant(claim.technique)).origin
            scale = (
                "full" if full is not None and _is_full_scale(origin.recipe, claim.technique, full) else "reduced"
            )
            said = {"scale": scale, "evidence": self.bundle.sha256(self._variant(claim.technique))}
            rows = [row.model_copy(update=said) for row in rows]
        return rows

    @property
    def timings(self) -> dict[Contender, Timing]:
        """The times of all contenders, from one interleaved run.

        Raises as `rows` does, also where the processor is emulated, and TooNoisyError where the device was
        throttled in most of its turns.
        """
        _check_real()
        if isinstance(self._timed, TooNoisyError):
            raise self._timed
        return self._timed

    @cached_property
    def _timed(self) -> dict[Contender, Timing] | TooNoisyError:
        contenders = self.contenders
        eager = any(each.runtime == "eager" for each in contenders)
        with torch_threads(self.threads) if eager else nullcontext():
            try:
                timed = time_interleaved(self.runners(), self._plan)
            except TooNoisyError as noise:
                return noise  # kept: a hot device gets no cooler by being timed again
        for deployed in self._deployed.values():
            deployed.check_unchanged()
        return {each: timed[str(each)] for each in contenders}

    def runners(self) -> dict[str, Callable[[], object]]:
        """Return what answers one image, by the names of all contenders. Raises UserError as `rows` does."""
        return {str(each): self._call(each) for each in self.contenders}

    def timing(self, technique: str, runtime: str, settings: Settings) -> tuple[Contender, Timing]:
        """Return a contender and its times. Raises ConditionMissing where it can't be timed here."""
        if runtime not in get_args(Runtime):
            raise UserError(
                f"'runtime' must be known (got {runtime!r}); {did_you_mean(runtime, get_args(Runtime))}"
            )
        variant = self._variant(technique)
        self._check_settings(variant, settings)
        if runtime == "eager" and self._not_eager:
            raise MissingRequirement("torch", self._not_eager)
        contender = Contender(cast(Runtime, runtime), variant)
        return contender, self.timings[contender]

    def sha256(self, contender: Contender) -> str | None:
        """Return the sha256 of the file that a contender runs; None in eager mode, which has none."""
        assert self.bundle is not None, "contenders come from a bundle"
        return self.bundle.sha256(contender.variant) if contender.runtime == "onnxruntime" else None

    def correct(self, model: str, technique: str, settings: Settings) -> Mapping[int, NDArray[np.bool_]]:
        """Return which test images a model gets right, bool (n,), by its seed.

        Raises ConditionMissing where its weights are random, or the images aren't here.
        """
        variant = self._variant(technique)
        described = self._check_settings(variant, settings)
        if described.origin.sha256 is None:
            raise MissingRequirement(
                "weights",
                f"the bundle's {variant} has random weights; train {model} with `edgeai-repro train`, and bundle "
                "the run's folder",
            )
        if variant not in self._correct:
            deployed = self._deploy(variant)
            assert self.bundle is not None, "checked by _variant"
            self._correct[variant] = deployed.correct(*self.bundle.test_split())
            deployed.check_unchanged()
        seed = (described.origin.recipe or {}).get("seed")
        return {int(seed or 0): self._correct[variant]}

    def require_edge_device(self, claim: Claim, rows: Sequence[Measurement]) -> None:
        """Raise ConditionMissing, with what was measured and the roofline, unless this is a named edge device."""
        if self.named is not None and self.named.kind == "edge":
            return
        here = f"{environment.describe().cpu} ({platform.machine()})"
        measured = "; ".join(
            f"measured here, on {here} with {self.threads} threads: {format_interval(row.reported, 'ms')}"
            for row in rows
        )
        what = f"EDGEAI_DEVICE names {self.named.key}, which is none" if self.named else "EDGEAI_DEVICE names none"
        told = [f"milliseconds are judged on an edge device alone, and {what}", measured, self._roofline(claim)]
        raise MissingRequirement("edge", "; ".join(filter(None, told)), rows)

    def _roofline(self, claim: Claim) -> str:
        assert self.bundle is not None, "checked by rows"
        manifest = self.bundle.manifest
        model = self.bundle.model(self._variant(claim.technique))
        bound = ROOFLINE_VARIANT.get(claim.technique)
        edge = [each for each in self._devices if each.kind == "edge"]
        if bound is None or not edge:
            return ""
        found = estimates(
            edge,
            CONVNEXT_VARIANTS[manifest.model],
            target=float(model.params.get("target", 0.0)),
            resolutions=(manifest.input.shape[3],),
        )
        rows = [
            f"{row.device} at least {format_number(row.bound_ms, 'ms')}"
            + ("" if row.expected_ms is None else f", expected {format_number(row.expected_ms, 'ms')}")
            for row in found
            if row.variant == bound
        ]
        return f"the roofline: {'; '.join(rows)}"

    def _variant(self, technique: str) -> Variant:
        for variant, known in TECHNIQUE_OF_VARIANT.items():
            if known == technique and self.bundle is not None and variant in self.bundle.manifest.models:
                return variant
        raise MissingRequirement("edge", f"the bundle holds no model by {technique}; {NO_BUNDLE}")

    def _check_settings(self, variant: Variant, settings: Settings) -> ModelEntry:
        """Return what is known of a model, after its technique's settings were found to be those asked for."""
        assert self.bundle is not None, "checked by _variant"
        described = self.bundle.model(variant)
        for name, value in settings.items():
            if name in described.params and described.params[name] != value:
                got = described.params[name]
                raise MissingRequirement("edge", f"{name} {value} asked for; the bundle's {variant} has {got}")
        return described

    def _deploy(self, variant: Variant) -> Deployed:
        assert self.bundle is not None, "checked by those who ask"
        if variant not in self._deployed:
            deployed = Deployed(self.bundle, variant, threads=self.threads)
            deployed.check_outputs()
            self._deployed[variant] = deployed
        return self._deployed[variant]

    def _call(self, contender: Contender) -> Callable[[], object]:
        assert self.bundle is not None, "contenders come from a bundle"
        if contender.runtime == "eager":
            from edgeai_repro.edge.eager import call

            return call(self.bundle, contender.variant)
        deployed = self._deploy(contender.variant)
        image = deployed.prepared(self.bundle.probes()[:1])
        return lambda: deployed(image)

    def engine(self, contender: Contender) -> str:
        """Return what computes a contender, with its version."""
        if contender.runtime == "onnxruntime":
            return f"onnxruntime {version('onnxruntime')}"
        return f"torch {version('torch')}, {environment.describe().engine}"


def _check_real() -> None:
    """Raise ConditionMissing on an emulated processor: nothing is timed there."""
    if environment.emulated():
        raise MissingRequirement("edge", f"{environment.EMULATED}; run it on the device itself")


def _is_full_scale(recipe: Mapping[str, object] | None, technique: str, full: FullScale) -> bool:
    """Tell whether a model was trained, and pruned in training where it is pruned, at the paper's scale."""
    if recipe is None or (technique in ("structured_pruning", "combined") and recipe["structured"] is None):
        return False
    return (
        recipe["init"] == full.init
        and int(str(recipe["epochs"])) >= full.epochs
        and int(str(recipe["resolution"])) >= full.resolution
        and recipe["stem_stride"] == full.stem_stride
    )
