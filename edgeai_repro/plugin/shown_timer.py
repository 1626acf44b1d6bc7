"""Says how long a timing of models will take, and shows its progress next to what pytest captures.

PYTEST_DONT_REWRITE: it has no assertions, and the hooks import it before pytest could rewrite them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from functools import partial

import pytest

from edgeai_repro.judge.formatting import duration
from edgeai_repro.measure.latency.interleaved import Plan, Timing, time_interleaved
from edgeai_repro.report import console


class ShownTimer:
    """A timer of models that writes its expected duration, and shows a bar on a terminal."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    def __call__(self, contenders: Mapping[str, Callable[[], object]], plan: Plan) -> dict[str, Timing]:
        """Return the times of all contenders, as `time_interleaved` does."""
        return time_interleaved(contenders, plan, progress=partial(self._progress, len(contenders)))

    @contextmanager
    def _progress(self, contenders: int, seconds: float, rounds: int) -> Iterator[Callable[[], object]]:
        """Show the rounds. A worker of pytest-xdist has no terminal and shows nothing."""
        plugins = self._config.pluginmanager
        if (reporter := plugins.getplugin("terminalreporter")) is None:
            yield lambda: None
            return
        capture = plugins.getplugin("capturemanager")
        with capture.global_and_fixture_disabled() if capture else nullcontext():
            reporter.ensure_newline()
            reporter.write_line(f"timing {contenders} models takes about {duration(seconds)}")
            # A bar that a thread redraws would take a core in the middle of a sample.
            with console.progress("rounds", rounds, stream=reporter._tw._file, redrawn=False) as step:
                yield step
