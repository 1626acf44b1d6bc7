"""The counts of other counters, for claims that name one. Torch is imported when a network is counted."""

from __future__ import annotations

import gc
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from edgeai_repro.claims.registry import UNCOMPRESSED
from edgeai_repro.compress.techniques import Variant, apply
from edgeai_repro.errors import MissingRequirement
from edgeai_repro.evidence.measurement import Settings
from edgeai_repro.measure.network_profiles import NetworkProfiles, Subject

if TYPE_CHECKING:
    from torch import nn

    from edgeai_repro.measure.counters.adapters import Count

DEFAULT_COUNTER = "thop"  # the one that papers name most often; profiles have its counts, and it needs no values


class CounterCounts:
    """The counts of all counters that claims name; a network is built once for all of them.

    It is built with values, because some counters need them: all but the default one.
    """

    def __init__(self, profiles: NetworkProfiles) -> None:
        self._profiles = profiles
        self._planned: defaultdict[Variant, list[str]] = defaultdict(list)
        self._counted: defaultdict[Variant, dict[str, Count | Exception]] = defaultdict(dict)

    def plan(self, counter: str, subject: Subject, technique: str, settings: Settings) -> None:
        """Announce that a counter will count a network, before and after a technique."""
        for variant in (Variant.of(subject.key), Variant.of(subject.key, technique, settings)):
            self._planned[variant].append(counter)

    def count(self, counter: str, subject: Subject, technique: str, settings: Settings) -> Count:
        """Return the count of a counter; all that were announced count while the network is at hand.

        Raises MissingRequirement if the counter is not installed, and CounterError if it fails.
        """
        from edgeai_repro.measure.counters.adapters import COUNTERS, CounterError

        variant = Variant.of(subject.key, technique, settings)
        counted = self._counted[variant]
        if counter not in counted:
            model, inputs = self._made(subject, technique, settings)
            for name in dict.fromkeys([*self._planned[variant], counter]):
                try:
                    counted[name] = COUNTERS[name].count(model, inputs)
                except (CounterError, MissingRequirement) as problem:
                    counted[name] = _without_frames(problem)
            del model
            gc.collect()  # counters leave cycles in it
        count = counted[counter]
        if isinstance(count, Exception):
            raise count
        return count

    def missed(self, counter: str, subject: Subject, technique: str, settings: Settings) -> str:
        """Return in words why the MACs of a counter differ from the actual ones."""
        from edgeai_repro.measure.counters.adapters import COUNTERS
        from edgeai_repro.measure.counters.attribution import counted_calls, explain

        profile = self._profiles.profile(subject, technique, settings)
        is_default = counter == DEFAULT_COUNTER
        total = profile.reported.macs if is_default else self.count(counter, subject, technique, settings).macs
        with_values = not is_default or technique != UNCOMPRESSED
        network, inputs = self._made(subject, technique, settings, with_values=with_values)
        return "; ".join(explain(COUNTERS[counter], total, profile.actual.macs, counted_calls(network, inputs)))

    def _made(
        self, subject: Subject, technique: str, settings: Settings, *, with_values: bool = True
    ) -> tuple[nn.Module, tuple[Any, ...]]:
        from edgeai_repro.measure.counting.run import example_inputs

        network = self._profiles.with_values(subject) if with_values else self._profiles.on_meta(subject)
        inputs = network.inputs or example_inputs(network.model, subject.resolution or 0)
        return apply(network.model, technique, settings, inputs=inputs), inputs


def _without_frames(problem: Exception) -> Exception:
    """Return an error without the frames that it came through: they hold the network that it is about."""
    problem.__cause__ = problem.__context__ = None
    return problem.with_traceback(None)
