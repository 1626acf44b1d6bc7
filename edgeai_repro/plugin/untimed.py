"""Writes the file of --benchmark-json if nothing was timed: then pytest-benchmark writes none, and warns."""

from __future__ import annotations

import json
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from edgeai_repro.errors import UserError
from edgeai_repro.files import check_writable, write_text

OPTIONS = {"--benchmark-json": "json", "--benchmark-save": "save", "--benchmark-autosave": "autosave"}


class UntimedRun:
    """The plugin of a run that may time nothing, as most runs of claims do."""

    def __init__(self, config: pytest.Config) -> None:
        """Raise UsageError early if the file of --benchmark-json can't be written."""
        self._config = config
        self._notice = ""
        try:
            if config.option.benchmark_json is not None:
                check_writable(Path(config.option.benchmark_json))
        except UserError as error:
            raise pytest.UsageError(str(error)) from None

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(self) -> Generator[None, object, object]:
        """Write a file without benchmarks, and keep pytest-benchmark from its warning, which may be an error."""
        benchmarks: Any = self._config.pluginmanager.getplugin("pytest-benchmark")
        given = [option for option, name in OPTIONS.items() if getattr(benchmarks, name, None)]
        if given and not benchmarks.benchmarks and not self._config.option.collectonly:
            if benchmarks.json:
                self._write(Path(benchmarks.json), benchmarks.get_machine_info())
            for option in given:
                setattr(benchmarks, OPTIONS[option], None)
            stored = "its list is empty" if given == ["--benchmark-json"] else "nothing is stored"
            self._notice = f"{', '.join(given)}: no test timed anything, so {stored}"
        return (yield)

    def _write(self, path: Path, machine: dict[str, Any]) -> None:
        hook = self._config.hook
        commit = hook.pytest_benchmark_generate_commit_info(config=self._config)
        document = hook.pytest_benchmark_generate_json(
            config=self._config, benchmarks=[], include_data=True, machine_info=machine, commit_info=commit
        )
        write_text(path, json.dumps(document, indent=4, default=str) + "\n")

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say that nothing was timed, if times were to be stored."""
        if self._notice:
            terminalreporter.write_line(f"benchmarks: {self._notice}")
