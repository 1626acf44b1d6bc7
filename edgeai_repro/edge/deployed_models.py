"""Measures claims on deployed models: times and evaluates the models of a bundle, each once, on this machine.

ONNX Runtime is enough. If torch is installed, the same models are timed in its eager mode, too. The model that is
timed is the one that is evaluated, and its file must be the manifest's before and after.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import cast, get_args

import numpy as np
from numpy.typing import NDArray

from edgeai_repro.claims.paper_info import FullScale
from edgeai_repro.claims.registry import METRICS
from edgeai_repro.claims.schema import Claim, ClaimCase
from edgeai_repro.devices.spec import Device
from edgeai_repro.edge.absolute_latency import not_an_edge_device, other_target
from edgeai_repro.edge.bundle import Bundle
from edgeai_repro.edge.contenders import Contender, Runtime, eager_runner, needs_timing_of, why_not_eager
from edgeai_repro.edge.manifest import TECHNIQUE_OF_VARIANT, BundledModel, ModelEntry
from edgeai_repro.edge.metrics import DEPLOYED
from edgeai_repro.edge.runtime import Deployed
from edgeai_repro.errors import MissingRequirement, TooNoisyError, require_known
from edgeai_repro.evidence import environment
from edgeai_repro.evidence.measurement import Measured, Measurement, Obstacle, Setting, Settings
from edgeai_repro.measure.compressed_models import models_left_out
from edgeai_repro.measure.latency.interleaved import PLAN, Plan, Timer, Timing, time_interleaved
from edgeai_repro.measure.latency.threads import torch_threads, usable_cores
from edgeai_repro.measure.latency.throttling import governor
from edgeai_repro.training.metrics import TRAINED, Answer

NO_BUNDLE = "no bundle is given; write one with `edgeai-repro bundle convnext_small -o DIR`, then add --bundle=DIR"


class DeployedModels:
    """The source of measurements on deployed models: those of a bundle, with a number of threads.

    `named` is the device that EDGEAI_DEVICE names; `devices` are all known devices. `models` restricts the run.
    `claims` restricts timing to the contenders that they need (none: all contenders). `timer` times runners against
    each other.
    """

    def __init__(
        self,
        bundle: Bundle,
        *,
        named: Device | None = None,
        devices: Sequence[Device] = (),
        models: Sequence[str] | None = None,
        claims: Sequence[Claim] = (),
        threads: int | None = None,
        plan: Plan = PLAN,
        timer: Timer = time_interleaved,
    ) -> None:
        self.bundle = bundle
        self.named = named
        self.threads = threads or usable_cores()
        self._devices = devices
        self._models = models
        self._claims = claims
        self._plan = plan
        self._timer = timer
        self._deployed: dict[BundledModel, Deployed] = {}
        self._correct: dict[BundledModel, NDArray[np.bool_]] = {}
        self._timings: dict[Contender, Timing] | None = None
        self._noise: TooNoisyError | None = None

    @property
    def model(self) -> str:
        """The name of the model that the bundle is of."""
        return self.bundle.manifest.model

    def measure(self, case: ClaimCase) -> Measured:
        """Return the rows of a claim on the bundle's model.

        Raises UserError if a file of the bundle was changed, or a clock jumped.
        """
        claim = case.claim
        if self._models is not None and self.model not in self._models:
            return Measured(obstacle=models_left_out(claim))
        if self.model not in [*claim.models, *claim.also_shown]:
            remedy = f"the claim is about {', '.join(claim.models)}; the bundle is of {self.model}"
            return Measured(obstacle=Obstacle("models", remedy))
        if obstacle := other_target(claim, self.named):
            return Measured(obstacle=obstacle)
        try:
            rows = self._rows(claim, case.paper.full_scale)
        except MissingRequirement as missing:
            return Measured(obstacle=Obstacle(missing.requirement, missing.remedy))
        except TooNoisyError as noise:
            return Measured(obstacle=Obstacle("noise", str(noise)))
        if METRICS[claim.metric].unit != "ms" or (self.named is not None and self.named.kind == "edge"):
            return Measured(rows)
        target = float(self.bundle.model(self._variant(claim.technique)).settings.get("target", 0.0))
        return Measured(rows, not_an_edge_device(claim, rows, self.bundle, target, self.named, self._devices))

    def _rows(self, claim: Claim, full: FullScale | None) -> tuple[Measurement, ...]:
        # The accuracy of a deployed model is a metric of trained models: both can answer it.
        if claim.metric in TRAINED.functions:
            rows = tuple(TRAINED.functions[claim.metric](self, claim, self.model))
        else:
            rows = tuple(DEPLOYED.functions[claim.metric](self, claim, self.model))
        if "weights" not in claim.needs:
            return rows
        variant = self._variant(claim.technique)
        recipe = self.bundle.model(variant).origin.recipe
        scale = "full" if full is not None and _is_full_scale(recipe, claim.technique, full) else "reduced"
        update = {"scale": scale, "evidence": self.bundle.sha256(variant)}
        return tuple(row.model_copy(update=update) for row in rows)

    @property
    def timing_context(self) -> dict[str, Setting]:
        """The notes of every timing: the side of the input, the threads, the governor, the discarded rounds."""
        notes: dict[str, Setting | None] = {
            "resolution": self.bundle.manifest.input.shape[3],
            "threads": self.threads,
            "governor": governor(),
            "discarded_rounds": next(iter(self.timings.values())).discarded,
        }
        return {name: value for name, value in notes.items() if value is not None}

    @property
    def _why_not_eager(self) -> str | None:
        """Why torch's eager mode isn't timed here, None if it is."""
        return why_not_eager(self.bundle, self.threads)

    @property
    def contenders(self) -> list[Contender]:
        """All contenders of the run: each model of the bundle in each installed runtime."""
        runtimes = [name for name in get_args(Runtime) if name != "eager" or self._why_not_eager is None]
        contenders = [Contender(name, variant) for variant in self.bundle.manifest.models for name in runtimes]
        if not self._claims:
            return contenders
        return [one for one in contenders if any(needs_timing_of(claim, one) for claim in self._claims)]

    @property
    def timings(self) -> dict[Contender, Timing]:
        """The times of all contenders, from one interleaved run.

        Raises MissingRequirement on an emulated processor, TooNoisyError if the device was throttled in most of the
        rounds, and UserError if a file was changed or a clock jumped.
        """
        require_real_processor()
        if self._noise is not None:
            raise self._noise  # a hot device gets no cooler by being timed again
        if self._timings is None:
            try:
                self._timings = self._time()
            finally:
                self._deployed.clear()  # they hold hundreds of MB
        return self._timings

    def _time(self) -> dict[Contender, Timing]:
        contenders = self.contenders
        eager = any(contender.runtime == "eager" for contender in contenders)
        with torch_threads(self.threads) if eager else nullcontext():
            try:
                timings = self._timer(self.runners(), self._plan)
            except TooNoisyError as noise:
                self._noise = noise
                raise
        for deployed in self._deployed.values():
            deployed.check_unchanged()
        return {contender: timings[str(contender)] for contender in contenders}

    def runners(self) -> dict[str, Callable[[], object]]:
        """Return a callable for each contender, by its name, that runs the model on one image."""
        return {str(contender): self._runner(contender) for contender in self.contenders}

    def timing(self, technique: str, runtime: str, settings: Settings) -> tuple[Contender, Timing]:
        """Return a contender and its times. Raises MissingRequirement if it can't be timed here."""
        require_known("'runtime'", runtime, get_args(Runtime))
        variant = self._variant(technique)
        self._check_settings(variant, settings)
        if runtime == "eager" and self._why_not_eager:
            raise MissingRequirement("torch", self._why_not_eager)
        contender = Contender(cast(Runtime, runtime), variant)
        return contender, self.timings[contender]

    def sha256(self, contender: Contender) -> str | None:
        """Return the sha256 of the file that a contender runs; None in eager mode, which has none."""
        return self.bundle.sha256(contender.variant) if contender.runtime == "onnxruntime" else None

    def correct(self, model: str, technique: str, settings: Settings, init: str | None = None) -> Answer:
        """Return which test images a model gets right, by its seed.

        Raises MissingRequirement if its weights are random, or there are no test images.
        """
        variant = self._variant(technique)
        entry = self._check_settings(variant, settings)
        if entry.origin.sha256 is None:
            raise MissingRequirement(
                "weights",
                f"the bundle's {variant} has random weights; train {model} with `edgeai-repro train`, then bundle "
                "the folder of the run",
            )
        if variant not in self._correct:
            deployed = self._deploy(variant)
            self._correct[variant] = deployed.correct(*self.bundle.test_split())
            deployed.check_unchanged()
        seed = (entry.origin.recipe or {}).get("seed")
        return Answer({int(seed or 0): self._correct[variant]})

    def _variant(self, technique: str) -> BundledModel:
        for variant, known in TECHNIQUE_OF_VARIANT.items():
            if known == technique and variant in self.bundle.manifest.models:
                return variant
        raise MissingRequirement("edge", f"the bundle has no model for {technique}; {NO_BUNDLE}")

    def _check_settings(self, variant: BundledModel, settings: Settings) -> ModelEntry:
        """Return the manifest's entry of a model. Raises MissingRequirement if it has other settings."""
        entry = self.bundle.model(variant)
        for name, value in settings.items():
            if name in entry.settings and entry.settings[name] != value:
                got = entry.settings[name]
                raise MissingRequirement(
                    "edge", f"the claim needs {name} {value}; the bundle's {variant} has {got}"
                )
        return entry

    def _deploy(self, variant: BundledModel) -> Deployed:
        if variant not in self._deployed:
            deployed = Deployed(self.bundle, variant, threads=self.threads)
            deployed.check_outputs()
            self._deployed[variant] = deployed
        return self._deployed[variant]

    def _runner(self, contender: Contender) -> Callable[[], object]:
        if contender.runtime == "eager":
            return eager_runner(self.bundle, contender.variant)
        deployed = self._deploy(contender.variant)
        image = deployed.prepared(self.bundle.probes()[:1])
        return lambda: deployed(image)


def require_real_processor() -> None:
    """Raise MissingRequirement on an emulated processor: nothing is timed there."""
    if environment.emulated():
        raise MissingRequirement("edge", f"{environment.EMULATED}; run it on the device itself")


def _is_full_scale(recipe: dict[str, Setting | None] | None, technique: str, full: FullScale) -> bool:
    """Return whether a model was trained, and pruned while it trained if it is pruned, at the paper's scale."""
    if recipe is None or (technique in ("structured_pruning", "combined") and recipe["structured"] is None):
        return False
    return full.covers(recipe)
