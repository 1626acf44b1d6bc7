"""Measures claims on networks that are built, compressed and counted now. Torch is imported when one is built.

One network is worked on after the other, and only a `Profile` of each is kept. So four ConvNeXts with all their
compressed forms need little more memory than the largest of them.
"""

from __future__ import annotations

import gc
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from edgeai_repro.claims.registry import METRICS, TECHNIQUES, UNCOMPRESSED, MetricGroup
from edgeai_repro.claims.schema import Claim, ClaimCase
from edgeai_repro.compress.techniques import Variant, apply, apply_all, notes_on
from edgeai_repro.errors import MissingRequirement, TooNoisyError
from edgeai_repro.evidence.measurement import Measured, Obstacle, Settings
from edgeai_repro.measure.profiles import Profile, Profiles, ProfileStore
from edgeai_repro.networks.variants import CONVNEXT_VARIANTS, IMAGENET_CLASSES, IMAGENET_RESOLUTION

if TYPE_CHECKING:
    from torch import nn

    from edgeai_repro.measure.counts import Counts, Kind, Reported

CIFAR10_CLASSES = 10
Plan = Mapping[str, Sequence[Settings]]  # the settings that a network is compressed with, by technique


class CompressedModels:
    """The source of measurements that need no training: it builds, compresses and counts each network once.

    `claims` are those that will be measured, so that a network is compressed in all the ways that they need while
    it is at hand. `models` restricts the run to some networks. `resolution` is the side of the input, in pixels, of
    the ConvNeXts, which have CIFAR-10's classes; all other networks are as published for ImageNet. `seconds` adds
    up the time of each step. `shared` is a folder for the profiles of all processes of a run, so that each network
    is built by one of them.
    """

    def __init__(
        self,
        claims: Sequence[Claim] = (),
        *,
        models: Sequence[str] | None = None,
        resolution: int = 32,
        shared: Path | None = None,
    ) -> None:
        self.resolution = resolution
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._claims = claims
        self._models = models
        self._store = ProfileStore(shared)
        self._counts: dict[tuple[Variant, int, int], tuple[Reported, Counts]] = {}

    def measure(self, case: ClaimCase) -> Measured:
        """Return the rows of a claim, for each of its models that the run is not restricted from."""
        claim = case.claim
        models = self._selected(claim)
        if not models:
            return Measured(obstacle=models_left_out(claim))
        function = COMPRESSED.functions[claim.metric]
        try:
            rows = {model: tuple(function(self, claim, model)) for model in self._store.free_first(models)}
            return Measured(tuple(row for model in models for row in rows[model]))
        except MissingRequirement as missing:  # a user's metric may need data, or time something
            return Measured(obstacle=Obstacle(missing.requirement, missing.remedy))
        except TooNoisyError as noise:
            return Measured(obstacle=Obstacle("noise", str(noise)))

    def profile(self, model: str, technique: str = UNCOMPRESSED, settings: Settings | None = None) -> Profile:
        """Return the numbers of a network, compressed by a technique under its settings."""
        variant = Variant.of(model, technique, settings)
        profile = self._store.find(variant)
        if profile is None:
            with self._store.of(model) as profiles:
                if variant not in profiles:
                    self._profile_all(model, {technique: [settings or {}]}, profiles)
                profile = profiles[variant]
        return profile

    def counts(
        self, model: str, technique: str, settings: Settings, *, resolution: int, classes: int
    ) -> tuple[Reported, Counts]:
        """Return the reported and actual counts of a network, compressed by a technique under its settings.

        An uncompressed network is counted on the meta device.
        """
        from edgeai_repro.measure import counts

        key = (Variant.of(model, technique, settings), resolution, classes)
        if key not in self._counts:
            if technique == UNCOMPRESSED:
                network = self.build_on_meta(model, classes)
            else:
                network = apply(self._build(model, classes), technique, settings)
            with self._timed("count"):
                self._counts[key] = counts.count(network, resolution)
        return self._counts[key]

    def by_kind(self, model: str) -> dict[Kind, Counts]:
        """Return the actual counts of an uncompressed network by kind of layer."""
        from edgeai_repro.measure import counts

        network = self._build(model)
        with self._timed("count"):
            return counts.by_kind(network, self._resolution(model))

    def build_on_meta(self, model: str, classes: int | None = None) -> nn.Module:
        """Return an uncompressed network on the meta device: all its layers, without memory for their values."""
        from edgeai_repro.networks import convnext

        with self._timed("build"):
            return convnext.build_on_meta(model, num_classes=classes or _classes(model))

    def _resolution(self, model: str) -> int:
        return self.resolution if model in CONVNEXT_VARIANTS else IMAGENET_RESOLUTION

    def _selected(self, claim: Claim) -> list[str]:
        named = [*claim.models, *claim.also_shown]
        return [model for model in named if self._models is None or model in self._models]

    def _profile_all(self, model: str, plan: Plan, profiles: Profiles) -> None:
        """Add the profiles of a network in every way of a plan, and of the claims that will be measured."""
        network = self._build(model)
        if Variant.of(model) not in profiles:
            profiles[Variant.of(model)] = self._measure(Variant.of(model), network)
        plans = [plan] + [
            {claim.technique: [settings for settings, _ in claim.variants_for(model)]}
            for claim in self._claims
            if model in self._selected(claim)
        ]
        missing = {
            technique: [one for one in grid if Variant.of(model, technique, one) not in profiles]
            for technique, grid in _union_with_bases(plans).items()
        }
        start = time.perf_counter()
        for technique, settings, compressed in apply_all(network, missing):
            self.seconds[technique] += time.perf_counter() - start
            variant = Variant.of(model, technique, settings)
            profiles[variant] = self._measure(variant, compressed, start)
            del compressed  # before the next one is made: a compressed Large has 0.8 GB
            start = time.perf_counter()
        del network
        gc.collect()  # only_train_once's graph is cyclic and holds the network that it was traced from

    def _build(self, model: str, classes: int | None = None) -> nn.Module:
        from edgeai_repro.networks import convnext

        with self._timed("build"):
            build = convnext.build if model in CONVNEXT_VARIANTS else convnext.build_from_zoo
            return build(model, num_classes=classes or _classes(model))

    def _measure(self, variant: Variant, network: nn.Module, start: float | None = None) -> Profile:
        """Return the profile of a network; its seconds are those since `start`, or of this call."""
        from edgeai_repro.measure import counts, size

        start = time.perf_counter() if start is None else start
        with self._timed("count"):
            reported, actual = counts.count(network, self._resolution(variant.model))
        with self._timed("save"):
            stored = size.state_dict_bytes(network)
        with self._timed("deflate"):
            deflated = size.deflated_bytes(network) if self._needs_deflated(variant) else None
        notes = notes_on(network, variant.technique)
        seconds = time.perf_counter() - start
        return Profile(reported, actual, stored, deflated, seconds, notes)

    def _needs_deflated(self, variant: Variant) -> bool:
        return any(
            METRICS[claim.metric].deflated
            and claim.technique == variant.technique
            and variant.model in self._selected(claim)
            for claim in self._claims
        )

    @contextmanager
    def _timed(self, step: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.seconds[step] += time.perf_counter() - start


COMPRESSED: MetricGroup[CompressedModels] = MetricGroup("compressed")


def models_left_out(claim: Claim) -> Obstacle:
    """Return the obstacle of a claim whose models the run is restricted from."""
    return Obstacle("models", f"{', '.join(claim.models)} not in --claims-models; add it or drop the option")


def _classes(model: str) -> int:
    return CIFAR10_CLASSES if model in CONVNEXT_VARIANTS else IMAGENET_CLASSES


def _union_with_bases(plans: Sequence[Plan]) -> dict[str, list[Settings]]:
    """Return the union of several plans, and of the techniques that theirs start from, which are made anyway."""
    union: dict[str, list[Settings]] = {}
    for plan in plans:
        for technique, grid in plan.items():
            for name in (technique, *_bases(technique)):
                known = union.setdefault(name, [])
                known += [settings for settings in grid if settings not in known]
    return union


def _bases(technique: str) -> Iterator[str]:
    base = TECHNIQUES[technique].base if technique in TECHNIQUES else UNCOMPRESSED
    if base != UNCOMPRESSED:
        yield base
        yield from _bases(base)
