"""Builds, compresses and counts networks. Torch is imported when one is built.

One network is worked on after the other, and only a `Profile` of each is kept. So four ConvNeXts with all their
compressed forms need little more memory than the largest of them.
"""

from __future__ import annotations

import gc
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeai_repro.claims.registry import TECHNIQUES, UNCOMPRESSED
from edgeai_repro.compress.techniques import Variant, apply_all, notes_on
from edgeai_repro.evidence.measurement import Settings
from edgeai_repro.measure.shared_store import SharedStore
from edgeai_repro.memory import release_unused
from edgeai_repro.networks.specs import Function, NetworkSpec
from edgeai_repro.networks.variants import IMAGENET_RESOLUTION

if TYPE_CHECKING:
    from torch import nn

    from edgeai_repro.measure.counts import Counts, Reported
    from edgeai_repro.networks.resolve import Device, Network

Plan = Mapping[str, Sequence[Settings]]  # the settings that a network is compressed with, by technique


@dataclass(frozen=True)
class Profile:
    """The numbers of one network: what common tools report, and what is actually stored and computed.

    `state_dict_bytes` is the size of the saved file. `seconds` is the time that compressing and measuring took.
    `notes` are the technique's about the network, `value_bytes` the bytes of its tensors without the file's
    container.
    """

    reported: Reported
    actual: Counts
    state_dict_bytes: int
    deflated_bytes: int | None
    seconds: float
    notes: Settings
    parts: Parts
    value_bytes: int


@dataclass(frozen=True)
class Parts:
    """The parts of a network that some papers don't count.

    `biases` are those of layers that multiply, with their bytes, `batchnorm` the two vectors of each BatchNorm, and
    `linear_macs` the products of Linear layers.
    """

    biases: int
    bias_bytes: int
    batchnorm: int
    linear_macs: int


@dataclass(frozen=True)
class Subject:
    """A network that is measured, with its classes and the side of its image."""

    spec: NetworkSpec
    classes: int | None
    resolution: int | None

    @property
    def key(self) -> str:
        """A text that is equal for equal networks, in whichever paper and under whichever name."""
        return f"{self.spec.key} {self.classes} {self.resolution}"


class NetworkProfiles:
    """The profiles of all networks of a run; each network is built once, whatever asks for it and in which order.

    `seconds` adds up the time of each step. `shared` is a folder that all processes of a run share: then each
    network is built by one of them.
    """

    def __init__(self, shared: Path | None = None) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._store = SharedStore[Profile](shared)
        self._on_meta: dict[str, Network] = {}
        self._plans: defaultdict[str, list[Plan]] = defaultdict(list)
        self._deflated: set[tuple[str, str]] = set()  # key and technique

    def plan(self, subject: Subject, technique: str, settings: Settings, *, deflated: bool) -> None:
        """Announce a profile, so that it is made while the network is at hand, perhaps with its deflated bytes."""
        self._plans[subject.key].append({technique: [settings]})
        if deflated:
            self._deflated.add((subject.key, technique))

    def profile(self, subject: Subject, technique: str, settings: Settings) -> Profile:
        """Return the numbers of a network, compressed by a technique under its settings."""
        variant = Variant.of(subject.key, technique, settings)
        profile = self._store.find(variant)
        if profile is None:
            with self._store.of(subject.key) as profiles:
                if variant not in profiles:
                    self._profile_all(subject, {technique: [settings]}, profiles)
                profile = profiles[variant]
        return profile

    def free_first(self, subjects: Mapping[str, Subject]) -> Iterator[str]:
        """Yield the names of all networks, each time one that no other process is building, if there is one."""
        return self._store.free_first({name: subject.key for name, subject in subjects.items()})

    def with_values(self, subject: Subject) -> Network:
        """Return an uncompressed network with random weights on the CPU. It is not kept."""
        return self._build(subject, "cpu")

    def on_meta(self, subject: Subject) -> Network:
        """Return an uncompressed network on the meta device: all its layers, without memory for their values."""
        if subject.key not in self._on_meta:
            self._on_meta[subject.key] = self._build(subject, "meta")
        return self._on_meta[subject.key]

    def _profile_all(self, subject: Subject, plan: Plan, profiles: dict[Variant, Profile]) -> None:
        """Add the profiles of a network in every way of a plan, and of the claims that will be measured.

        It gets memory and random weights only if a technique reads their values, or if it is deflated.
        """
        from edgeai_repro.measure.counting.run import example_inputs
        from edgeai_repro.measure.outputs import check_classes

        key = subject.key
        if isinstance(subject.spec, Function) and subject.classes is not None:
            check_classes(subject.spec, self.on_meta(subject), subject.classes, subject.resolution or 0)
        union = _union_with_bases([plan, *self._plans[key]])
        missing = {
            technique: [one for one in grid if Variant.of(key, technique, one) not in profiles]
            for technique, grid in union.items()
        }
        deflated = any((key, technique) in self._deflated for technique in union)
        needs_values = deflated or any(
            TECHNIQUES[technique].needs_values for technique in union if technique in TECHNIQUES
        )
        if needs_values:
            release_unused()
        network = self._build(subject, "cpu") if needs_values else self.on_meta(subject)
        if Variant.of(key) not in profiles:
            profiles[Variant.of(key)] = self._measure(subject, UNCOMPRESSED, network.model, network.inputs)
        start = time.perf_counter()
        inputs = network.inputs or example_inputs(network.model, subject.resolution or IMAGENET_RESOLUTION)
        for technique, settings, compressed in apply_all(network.model, missing, inputs=inputs):
            self.seconds[technique] += time.perf_counter() - start
            variant = Variant.of(key, technique, settings)
            profiles[variant] = self._measure(subject, technique, compressed, network.inputs, start)
            del compressed  # before the next one is made: a compressed Large has 0.8 GB
            start = time.perf_counter()
        del network
        if needs_values:
            gc.collect()  # only_train_once's graph is cyclic and holds the network that it was traced from

    def _build(self, subject: Subject, device: Device) -> Network:
        from edgeai_repro.networks import resolve

        with self._timed("build"):
            return resolve.build(
                subject.spec, classes=subject.classes, resolution=subject.resolution, device=device
            )

    def _measure(
        self,
        subject: Subject,
        technique: str,
        network: nn.Module,
        inputs: tuple[Any, ...] | None,
        start: float | None = None,
    ) -> Profile:
        """Return the profile of a network; its seconds are those since `start`, or of this call."""
        from edgeai_repro.measure import counts, size

        start = time.perf_counter() if start is None else start
        with self._timed("count"):
            arguments = as_arguments(inputs)
            reported, kinds = counts.reported_and_by_kind(network, subject.resolution or 0, **arguments)
            actual = sum(kinds.values(), counts.Counts())
        with self._timed("save"):
            stored = size.state_dict_bytes(network)
        with self._timed("deflate"):
            wanted = (subject.key, technique) in self._deflated
            deflated = size.deflated_bytes(network) if wanted else None
        notes = notes_on(network, technique)
        seconds = time.perf_counter() - start
        parts = _parts(network, kinds["linear"].macs)
        values = size.value_bytes(network)
        return Profile(reported, actual, stored, deflated, seconds, notes, parts, values)

    @contextmanager
    def _timed(self, step: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.seconds[step] += time.perf_counter() - start


def _parts(network: nn.Module, linear_macs: int) -> Parts:
    from torch import nn

    norms, biases, batchnorm = (nn.LayerNorm, nn.GroupNorm), [], 0
    for module in network.modules():
        own = dict(module.named_parameters(recurse=False))
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            batchnorm += sum(parameter.numel() for parameter in own.values())
        elif not isinstance(module, norms):
            biases += [parameter for name, parameter in own.items() if name.endswith("bias")]
    numbers = sum(bias.numel() for bias in biases)
    return Parts(numbers, sum(bias.nbytes for bias in biases), batchnorm, linear_macs)


def as_arguments(inputs: tuple[Any, ...] | None) -> dict[str, Any]:
    """Return the inputs of a network as arguments of the functions of `measure/counts.py`, none for an image."""
    return {} if inputs is None else {"inputs": inputs}


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
