"""Marks times that failed their A/A control where pytest-benchmark stores, shows and compares them."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import Any

import pytest

from edgeai_repro.evidence.measurement import AA_BAND, Interval, aa_control_passes
from edgeai_repro.judge.formatting import format_number

CONTROL = "control"  # the key of a benchmark's extra_info
MARK = "~"  # before the name of a benchmark whose times can't be relied on


def control_info(control: Interval) -> dict[str, Any]:
    """Return the A/A control of a timing as extra_info of its benchmark, and whether it passed."""
    return {CONTROL: [control.low, control.high], "reliable": aa_control_passes(control)}


def noise_in(extra_info: Mapping[str, Any]) -> str:
    """Return why the times of a benchmark can't be relied on; empty if they can, or if they have no control."""
    match extra_info.get(CONTROL):
        case [float() as low, float() as high] if not AA_BAND[0] <= low <= high <= AA_BAND[1]:
            ends = f"{format_number(low, '')} … {format_number(high, '')}"
            return f"the ratio of the model to itself is {ends}, not within {AA_BAND[0]} … {AA_BAND[1]}"
    return ""


class NoisyBenchmarks:
    """The plugin that marks such times, and keeps --benchmark-compare-fail from judging them.

    `stored` are the reasons of stored benchmarks whose times can't be relied on, by the ids of their tests.
    """

    def __init__(self, config: pytest.Config, stored: Mapping[str, str]) -> None:
        self._config = config
        self._stored = stored
        self._notices: list[str] = []

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_benchmark_group_stats(self, benchmarks: list[dict[str, Any]]) -> Generator[None, object, object]:
        """Mark the names in the table, and drop the regressions that noise explains."""
        session: Any = self._config.pluginmanager.getplugin("pytest-benchmark")
        now = {one["fullname"]: noise_in(one["extra_info"]) for one in benchmarks if one["path"] is None}
        for benchmark in benchmarks:
            is_stored = benchmark["path"] is not None
            name, shown = benchmark["fullname"], session.name_format(benchmark)
            reason = self._stored.get(name, "") if is_stored else now[name]
            if is_stored and (now.get(name) or self._stored.get(name)):
                left = [one for one in session.performance_regressions if one[0] != shown]
                session.performance_regressions[:] = left
            if reason:
                kept = "stored times are" if is_stored else "times are"
                self._notices.append(f"{MARK} {name}: {kept} too noisy to be compared: {reason}")
                benchmark["name"] = f"{MARK} {benchmark['name']}"
        return (yield)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say which times can't be relied on."""
        for notice in self._notices:
            terminalreporter.write_line(f"benchmarks: {notice}")
