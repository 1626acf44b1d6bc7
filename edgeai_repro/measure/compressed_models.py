"""Measures claims on networks that are built, compressed and counted now. Torch is imported when one is built."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from edgeai_repro.claims.entries import MetricGroup
from edgeai_repro.claims.registry import METRICS, TECHNIQUES, UNCOMPRESSED
from edgeai_repro.claims.schema import Claim, ClaimCase
from edgeai_repro.compress.techniques import apply
from edgeai_repro.errors import MissingRequirement, TooNoisyError, UserError
from edgeai_repro.evidence.measurement import Measured, Obstacle, Settings
from edgeai_repro.measure.counter_counts import DEFAULT_COUNTER, CounterCounts
from edgeai_repro.measure.network_profiles import NetworkProfiles, Profile, Subject, as_arguments
from edgeai_repro.measure.network_times import NetworkTimes, Run, Timed
from edgeai_repro.networks.specs import ResNetCifar

if TYPE_CHECKING:
    from edgeai_repro.measure.counts import Counts, Kind, Reported
    from edgeai_repro.measure.latency.interleaved import Timer
    from edgeai_repro.networks.resolve import Network


class CompressedModels:
    """The source of measurements that need no training.

    `cases` are the claims that will be measured, so that a network is compressed in all the ways that they need
    while it is at hand. `models` restricts the run to some networks, by name. `shared` is a folder that all
    processes of a run share, if there are several. `timer` times networks against each other.
    """

    def __init__(
        self,
        cases: Sequence[ClaimCase] = (),
        *,
        models: Sequence[str] | None = None,
        shared: Path | None = None,
        timer: Timer | None = None,
    ) -> None:
        self._models = models
        self._profiles = NetworkProfiles(shared)
        self._counters = CounterCounts(self._profiles)
        self._times = NetworkTimes(self._profiles, timer)
        for case in cases:
            self._add_to_plan(case)

    @property
    def seconds(self) -> defaultdict[str, float]:
        """The time of each step."""
        return self._profiles.seconds

    def networks(self, case: ClaimCase) -> ClaimNetworks:
        """Return the networks of a claim."""
        return ClaimNetworks(self._profiles, self._counters, self._times, case)

    def measure(self, case: ClaimCase) -> Measured:
        """Return the rows of a claim, for each of its models that the run is not restricted from."""
        claim = case.claim
        models = self._selected(claim)
        if not models:
            return Measured(obstacle=models_left_out(claim))
        networks, function = self.networks(case), COMPRESSED.functions[claim.metric]
        try:
            # Papers name the smallest first. The largest takes longest and most memory, so it begins.
            ranks = METRICS[claim.metric].ranks
            single = {} if ranks else {model: networks.subject(model) for model in reversed(models)}
            in_turn = self._profiles.free_first(single) if single else models
            rows = {model: tuple(function(networks, claim, model)) for model in in_turn}
            return Measured(tuple(row for model in models for row in rows[model]))
        except MissingRequirement as missing:  # a user's metric may need data, or time something
            return Measured(obstacle=Obstacle(missing.requirement, missing.remedy))
        except TooNoisyError as noise:
            return Measured(obstacle=Obstacle("noise", str(noise)))

    def _selected(self, claim: Claim) -> list[str]:
        named = [*claim.models, *claim.also_shown]
        return [model for model in named if self._models is None or model in self._models]

    def _add_to_plan(self, case: ClaimCase) -> None:
        claim, networks = case.claim, self.networks(case)
        if claim.technique in TECHNIQUES and not TECHNIQUES[claim.technique].installed:
            return  # it must not keep other claims from being measured
        for model in self._selected(claim):
            for settings, conditions in claim.variants_for(model):
                if METRICS[claim.metric].ranks:
                    self._times.plan(networks.members(model, conditions), Run.of(conditions))
                    continue
                subject = networks.subject(model, conditions)
                self._profiles.plan(subject, claim.technique, settings, deflated=METRICS[claim.metric].deflated)
                if counter := conditions.get("counter"):
                    self._counters.plan(str(counter), subject, claim.technique, settings)


@dataclass(frozen=True)
class ClaimNetworks:
    """The networks of one claim, by the names and under the conditions that it gives them."""

    profiles: NetworkProfiles
    counters: CounterCounts
    times: NetworkTimes
    case: ClaimCase

    def profile(
        self,
        model: str,
        technique: str = UNCOMPRESSED,
        settings: Settings | None = None,
        conditions: Settings | None = None,
    ) -> Profile:
        """Return the numbers of a network, compressed by a technique under its settings.

        Without `conditions`, the first value of each of the claim's conditions is taken. If they name a counter,
        the reported MACs are its.
        """
        with self._naming(model):
            subject = self.subject(model, conditions)
            profile = self.profiles.profile(subject, technique, settings or {})
            if counter := (conditions or {}).get("counter"):
                count = self.counters.count(str(counter), subject, technique, settings or {})
                return replace(profile, reported=replace(profile.reported, macs=count.macs))
            return profile

    def missed(self, model: str, technique: str, settings: Settings, conditions: Settings) -> str:
        """Return in words why the reported MACs of a network differ from the actual ones."""
        counter = str(conditions.get("counter", DEFAULT_COUNTER))
        with self._naming(model):
            return self.counters.missed(counter, self.subject(model, conditions), technique, settings)

    def on_meta(self, model: str, conditions: Settings | None = None) -> Network:
        """Return an uncompressed network on the meta device: all its layers, without memory for their values."""
        with self._naming(model):
            return self.profiles.on_meta(self.subject(model, conditions))

    def with_values(
        self,
        model: str,
        technique: str = UNCOMPRESSED,
        settings: Settings | None = None,
        conditions: Settings | None = None,
    ) -> Network:
        """Return a network with random weights on the CPU, compressed by a technique. It is not kept."""
        with self._naming(model):
            network = self.profiles.with_values(self.subject(model, conditions))
            return replace(network, model=apply(network.model, technique, settings, inputs=network.inputs))

    def by_kind(self, model: str, conditions: Settings | None = None) -> dict[Kind, Counts]:
        """Return the actual counts of an uncompressed network by kind of layer."""
        from edgeai_repro.measure import counts

        network, subject = self.on_meta(model, conditions), self.subject(model, conditions)
        return counts.by_kind(network.model, subject.resolution or 0, **as_arguments(network.inputs))

    def by_convention(self, model: str, conditions: Settings) -> tuple[Reported, Reported] | None:
        """Return what a paper's own way to count gives for `against` and the model, None for a common counter."""
        convention, claim = str(conditions.get("convention", "counter")), self.case.claim
        if convention == "counter":
            return None
        from edgeai_repro.measure.conventions import CONVENTIONS

        if claim.against is None:
            raise UserError(
                f"{self.case.id}: 'against' is missing: convention {convention!r} counts from it; add it"
            )
        subject = self.subject(model, conditions)
        if isinstance(subject.spec, ResNetCifar):
            subject = replace(subject, spec=subject.spec.model_copy(update={"cut": "all"}))
        dense = self.on_meta(claim.against, conditions).model
        cut = self.profiles.on_meta(subject).model
        return CONVENTIONS[convention](dense, cut, subject.resolution or 0, conditions)

    def timed(self, model: str, conditions: Settings) -> list[Timed]:
        """Return the times of the networks of a set, from one run for all claims on sets."""
        with self._naming(model):
            return self.times.of(self.members(model, conditions), Run.of(conditions))

    def members(self, model: str, conditions: Settings) -> list[Subject]:
        """Return the networks of a set."""
        return [self.subject(member, conditions) for member in self.case.paper.members(model)]

    def subject(self, model: str, conditions: Settings | None = None) -> Subject:
        """Return the network that a name stands for under some conditions."""
        if conditions is None:
            conditions = {name: values[0] for name, values in self.case.claim.conditions.items()}
        spec = self.case.paper.network(model, conditions)
        classes = spec.classes or conditions.get("classes")
        resolution = spec.resolution or conditions.get("resolution")
        return Subject(
            spec, None if classes is None else int(classes), None if resolution is None else int(resolution)
        )

    def own_conditions(self, model: str, conditions: Settings) -> Settings:
        """Return the classes and the resolution of a network that has its own, instead of the claim's, as words."""
        spec = self.case.paper.network(model, conditions)
        own = {"resolution": spec.resolution, "classes": spec.classes}
        return {name: str(value) for name, value in own.items() if value and value != conditions.get(name, value)}

    @contextmanager
    def _naming(self, model: str) -> Iterator[None]:
        """Name the claims file, the claim and its key in the error of a network that can't be built."""
        try:
            yield
        except UserError as error:
            claim = self.case.claim
            others = {"against": claim.against, "without": claim.without}
            shown = "also_shown" if model in claim.also_shown else "models"
            key = next((key for key, name in others.items() if model == name), shown)
            file = self.case.paper.file or self.case.paper.paper.id
            raise UserError(f"{file}: claims[{claim.id}].{key}: {error}") from error


COMPRESSED: MetricGroup[ClaimNetworks] = MetricGroup("compressed", conditions=("resolution", "classes"))


def models_left_out(claim: Claim) -> Obstacle:
    """Return the obstacle of a claim whose models the run is restricted from."""
    return Obstacle("models", f"{', '.join(claim.models)} not in --claims-models; add it or drop the option")
