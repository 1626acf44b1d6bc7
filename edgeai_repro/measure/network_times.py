"""The times of many networks, measured in one interleaved run, next to what could predict them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from edgeai_repro.errors import MissingRequirement, TooNoisyError
from edgeai_repro.evidence import environment
from edgeai_repro.measure.latency.threads import torch_threads, usable_cores, why_eager_is_not_timed
from edgeai_repro.measure.network_profiles import NetworkProfiles, Subject, as_arguments

if TYPE_CHECKING:
    from edgeai_repro.measure.latency.interleaved import Plan, Timer, Timing
    from edgeai_repro.networks.resolve import Network

ANY_CPU, ARM, GPU = DEVICES = ("any CPU", "ARM", "GPU")  # the condition `device`: what a claim is about
Call = Callable[[], object]


class Run(NamedTuple):
    """How networks are timed: torch's threads, and the images in a batch."""

    threads: int
    batch: int

    @classmethod
    def of(cls, conditions: Mapping[str, Any]) -> Run:
        """Return the run that the conditions of a claim ask for."""
        return cls(int(conditions["threads"]), int(conditions["batch"]))


@dataclass(frozen=True)
class Timed:
    """A network's time, and what could predict it: counts of one image.

    `activations` are the values that its operators write, `bytes` what they read and write.
    """

    timing: Timing
    macs: int
    activations: int
    bytes: int
    operators: int


class NetworkTimes:
    """The networks that the claims of a run rank by their time. Each is timed once, all of them interleaved.

    `timer` times callables against each other; without one, `time_interleaved` does.
    """

    def __init__(self, profiles: NetworkProfiles, timer: Timer | None = None) -> None:
        self._profiles = profiles
        self._timer = timer
        self._planned: defaultdict[Run, dict[str, Subject]] = defaultdict(dict)
        self._timed: defaultdict[Run, dict[str, Timed]] = defaultdict(dict)

    def plan(self, subjects: Sequence[Subject], run: Run) -> None:
        """Announce networks that a claim ranks, so that they are timed together with those of the other claims."""
        self._planned[run].update({subject.key: subject for subject in subjects})

    def time(self, calls: Mapping[str, Call], plan: Plan) -> Mapping[str, Timing]:
        """Return the times of some callables, by their names, from one interleaved run."""
        if self._timer is not None:
            return self._timer(calls, plan)
        from edgeai_repro.measure.latency.interleaved import time_interleaved

        return time_interleaved(calls, plan)

    def of(self, subjects: Sequence[Subject], run: Run) -> list[Timed]:
        """Return the times of some networks, in their order.

        Raises TooNoisyError if they can't be timed fairly here, and UserError for a network that does not run.
        """
        timed = self._timed[run]
        if any(subject.key not in timed for subject in subjects):
            self.plan(subjects, run)
            timed.update(self._time_all(self._planned[run], run))
        return [timed[subject.key] for subject in subjects]

    def _time_all(self, subjects: Mapping[str, Subject], run: Run) -> dict[str, Timed]:
        from edgeai_repro.measure import counts
        from edgeai_repro.measure.counting.run import example_inputs
        from edgeai_repro.measure.latency.interleaved import Plan
        from edgeai_repro.measure.traffic import traffic

        refuse_unfair(run)
        # A rank needs less than a ratio: two rounds, and a single image per block after one that is not timed.
        plan = Plan(rounds=2, samples=1, untimed=1, seconds=0.0, untimed_seconds=0.0)
        calls, work = {}, {}
        with torch_threads(run.threads):
            for key, subject in subjects.items():
                network = self._profiles.with_values(subject)
                side = subject.resolution or 0
                macs = counts.actual(network.model, side, **as_arguments(network.inputs)).macs
                moved = traffic(network.model, network.inputs or example_inputs(network.model, side))
                work[key] = (macs, moved.activations, moved.bytes, moved.operators)
                calls[key] = call(network, side, run.batch)
            timings = self.time(calls, plan)
        return {key: Timed(timings[key], *work[key]) for key in subjects}


def refuse_unfair(run: Run, device: str = ANY_CPU) -> None:
    """Raise MissingRequirement if this machine is not of the kind that a claim is about, or has too few cores.

    Raises TooNoisyError on an emulated processor, and if so many threads can't be timed fairly in eager mode.
    """
    if device == GPU:
        raise MissingRequirement(
            "device", "it is about a GPU, and only CPUs are timed; time it there by other means"
        )
    if device == ARM and not environment.is_arm():
        raise MissingRequirement("device", "it is about an ARM processor, which this is not; judge it on one")
    if run.threads > usable_cores():
        cores = f"it takes {run.threads} threads, and this machine has {usable_cores()} cores"
        raise MissingRequirement("device", f"{cores}; judge it on a larger one")
    if reason := environment.EMULATED if environment.emulated() else why_eager_is_not_timed(run.threads):
        raise TooNoisyError(reason)


def call(network: Network, resolution: int, batch: int) -> Call:
    """Return a callable that runs a network on its inputs, or on random images; run it once first."""
    import torch

    from edgeai_repro.networks.convnext import random_images

    model = network.model
    given = network.inputs
    inputs = [random_images(batch, resolution)] if given is None else [torch.cat([one] * batch) for one in given]

    @torch.inference_mode()
    def run() -> object:
        return model(*inputs)

    run()
    return run
