"""The lab: builds each model once, compresses it in every way that the claims ask for, and keeps the numbers.

Models are worked on one after another and let go: what stays is a `Profile` of each. So four ConvNeXts with all
their compressed forms need little more memory than the largest of them.
"""

from __future__ import annotations

import gc
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgeai_repro.claims.registry import METRICS, TECHNIQUES, UNCOMPRESSED, Settings
from edgeai_repro.claims.schema import Claim
from edgeai_repro.errors import MissingRequirement
from edgeai_repro.evidence.measurement import Measurement
from edgeai_repro.networks.variants import CONVNEXT_VARIANTS, IMAGENET_CLASSES, IMAGENET_RESOLUTION

if TYPE_CHECKING:
    from torch import nn

    from edgeai_repro.measure.counts import Counts, Kind, Reported

CLASSES = 10  # CIFAR-10's
Plan = Mapping[str, Sequence[Settings]]


@dataclass(frozen=True)
class Profile:
    """The numbers of one model: as common tools report them, and as they are.

    `state_dict_bytes` is the size of the saved file; `seconds` is what compressing and measuring took.
    """

    reported: Reported
    actual: Counts
    state_dict_bytes: int
    deflated_bytes: int | None
    seconds: float


class CompressedModels:
    """Measures claims. `claims` are those that will be asked for, so that each model is worked on just once.

    `models` restricts the run to some models; `resolution` is the input's side in pixels, of the ConvNeXts with
    CIFAR-10's classes; all others are as published, for ImageNet. `seconds` adds up where the time goes, by step.
    """

    def __init__(
        self, claims: Sequence[Claim] = (), *, models: Sequence[str] | None = None, resolution: int = 32
    ) -> None:
        self.resolution = resolution
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._claims = [claim for claim in claims if not claim.needs]  # others are told of trained models
        self._models = models
        self._profiles: dict[tuple[str, str, tuple[tuple[str, object], ...]], Profile] = {}

    def measure(self, claim: Claim) -> list[Measurement]:
        """Return the rows of a claim, of each of its models that this run admits.

        Raises ConditionMissing, with the way to supply it, where something that the claim needs isn't here.
        """
        models = self._selected(claim)
        if not models:
            raise MissingRequirement("models", f"{', '.join(claim.models)} left out; run without --claims-models")
        return [row for model in models for row in METRICS[claim.metric].measure(self, claim, model)]

    def profile(self, model: str, technique: str = UNCOMPRESSED, settings: Settings | None = None) -> Profile:
        """Return the numbers of a model, compressed by a technique under its settings."""
        key = _key(model, technique, settings or {})
        if key not in self._profiles:
            self._profile_all(model, {technique: [settings or {}]})
        return self._profiles[key]

    def by_kind(self, model: str) -> dict[Kind, Counts]:
        """Return the actual counts of an uncompressed model by kind of layer."""
        from edgeai_repro.measure import counts

        network = self._build(model)
        with self._timed("count"):
            return counts.by_kind(network, self._resolution(model))

    def build_on_meta(self, model: str, classes: int | None = None) -> nn.Module:
        """Return an uncompressed model on the meta device: all its layers, and no memory for their values."""
        from edgeai_repro.networks import convnext

        with self._timed("build"):
            return convnext.build_on_meta(model, num_classes=classes or _classes(model))

    def _resolution(self, model: str) -> int:
        return self.resolution if model in CONVNEXT_VARIANTS else IMAGENET_RESOLUTION

    def _selected(self, claim: Claim) -> list[str]:
        named = [*claim.models, *claim.also_shown]
        return [model for model in named if self._models is None or model in self._models]

    def _profile_all(self, model: str, asked: Plan) -> None:
        network = self._build(model)
        if _key(model, UNCOMPRESSED, {}) not in self._profiles:
            self._store_profile(model, UNCOMPRESSED, {}, network)
        planned = [
            {claim.technique: claim.settings_for(model)} for claim in self._claims if model in self._selected(claim)
        ]
        wanted = {
            technique: [settings for settings in grid if _key(model, technique, settings) not in self._profiles]
            for technique, grid in _union([asked, *planned]).items()
        }
        self._apply_techniques(model, network, UNCOMPRESSED, wanted)
        del network
        gc.collect()  # only_train_once's graph is cyclic and holds the model that it was traced from

    def _build(self, model: str) -> nn.Module:
        from edgeai_repro.networks import convnext

        with self._timed("build"):
            build = convnext.build if model in CONVNEXT_VARIANTS else convnext.build_from_zoo
            return build(model, num_classes=_classes(model))

    def _apply_techniques(self, model: str, network: nn.Module, base: str, wanted: Plan) -> None:
        """Apply to a network every technique that starts from `base`, and to what comes out those that follow."""
        for name, technique in TECHNIQUES.items():
            if technique.base != base or not (grid := _settings_incl_dependents(name, wanted)):
                continue
            compressed = technique.apply(network, grid)
            for settings in grid:
                start = time.perf_counter()
                with self._timed(name):
                    result = next(compressed)
                self._store_profile(model, name, settings, result, start)
                self._apply_techniques(
                    model, result, name, {t: [s for s in wanted[t] if s == settings] for t in wanted}
                )
                del result  # before the next is made: a compressed Large is 0.8 GB

    def _store_profile(
        self, model: str, technique: str, settings: Settings, network: nn.Module, start: float | None = None
    ) -> None:
        from edgeai_repro.measure import counts, size

        start = time.perf_counter() if start is None else start
        with self._timed("count"):
            reported = counts.reported(network, self._resolution(model))
            actual = counts.actual(network, self._resolution(model))
        with self._timed("save"):
            stored = size.state_dict_bytes(network)
        with self._timed("deflate"):
            deflated = size.deflated_bytes(network) if self._wants_deflated(model, technique) else None
        seconds = time.perf_counter() - start
        profile = Profile(reported, actual, stored, deflated, seconds)
        self._profiles[_key(model, technique, settings)] = profile

    def _wants_deflated(self, model: str, technique: str) -> bool:
        return any(
            METRICS[claim.metric].deflated and claim.technique == technique and model in self._selected(claim)
            for claim in self._claims
        )

    @contextmanager
    def _timed(self, step: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.seconds[step] += time.perf_counter() - start


def _classes(model: str) -> int:
    return CLASSES if model in CONVNEXT_VARIANTS else IMAGENET_CLASSES


def _key(model: str, technique: str, settings: Settings) -> tuple[str, str, tuple[tuple[str, object], ...]]:
    return model, technique, tuple(sorted(settings.items()))


def _union(plans: Sequence[Plan]) -> dict[str, list[Settings]]:
    union: dict[str, list[Settings]] = {}
    for plan in plans:
        for technique, grid in plan.items():
            known = union.setdefault(technique, [])
            known += [settings for settings in grid if settings not in known]
    return union


def _settings_incl_dependents(technique: str, wanted: Plan) -> list[Settings]:
    """Return the settings that a technique is wanted under, itself or for those that start from its result."""
    followers = [name for name, other in TECHNIQUES.items() if other.base == technique]
    return _union(
        [{"": wanted.get(technique, [])}, *({"": _settings_incl_dependents(name, wanted)} for name in followers)]
    )[""]
