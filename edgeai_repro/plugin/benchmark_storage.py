"""Stores benchmarks by device, and compares them with earlier ones of the same device.

pytest-benchmark stores its results by operating system and Python version, whatever the processor is, and drops
benchmarks without a counterpart from a comparison. In a repository with claims they are stored by the device's
fingerprint. Other software on the same device is reported as a difference, and a missing benchmark fails the run.
Everything else (`--benchmark-compare`, `--benchmark-compare-fail`, …) is pytest-benchmark's own.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any, Literal

import pytest
from pytest_benchmark.utils import get_machine_id

from edgeai_repro.devices.fingerprint import Fingerprint
from edgeai_repro.errors import UserError
from edgeai_repro.files import check_writable, is_file
from edgeai_repro.plugin.noise import noise_in
from edgeai_repro.plugin.stored_benchmarks import KEY, Machine, SoftwareVersions, StoredFile, read_stored


class DeviceBenchmarkStorage:
    """The plugin of one run. It sets pytest-benchmark's options, and checks what is compared."""

    def __init__(self, config: pytest.Config, fingerprint: Fingerprint) -> None:
        """Set the options before pytest-benchmark reads them. Raises UsageError, in one line, for a bad one."""
        self._config = config
        self._fingerprint = fingerprint
        self._collected: set[str] = set()
        self._deselected: set[str] = set()
        self._measured: set[str] = set()
        self._stored: set[str] = set()
        self._missing: list[str] = []
        self._notices: list[str] = []
        self.noisy: dict[str, str] = {}  # why stored times can't be relied on, by the ids of their tests
        _require_one_process(config)
        storage: str = config.option.benchmark_storage
        if "://" in storage and not storage.startswith("file://"):
            return  # Elasticsearch
        self._folder = Path(storage.removeprefix("file://"), fingerprint.key).resolve()
        config.option.benchmark_storage = str(self._folder)
        try:
            if config.option.benchmark_save or config.option.benchmark_autosave:
                self._check_saving()
            if config.option.benchmark_compare:
                self._prepare_comparison(config.option.benchmark_compare)
        except UserError as error:
            raise pytest.UsageError(str(error)) from None

    def _check_saving(self) -> None:
        if self._fingerprint.emulated:
            raise UserError(
                f"--benchmark-save and --benchmark-autosave must store times of a real processor "
                f"(got {self._fingerprint}); leave them out, or run on the device itself"
            )
        check_writable(self._folder / "new.json")

    def _prepare_comparison(self, requested: str | Literal[True]) -> None:
        """Check the files to compare with, and name them to pytest-benchmark; on a first run there are none."""
        option, files = self._config.option, self._find(requested)
        if not files and (history := self._history(requested)):
            path, content = history
            self._keep_noisy(content)
            self._notices.append(f"{path} is compared, which pytest-benchmark stored without naming the device")
            option.benchmark_compare = str(path)
            return
        for path, content in files.items():
            machine = content.machine_info.edgeai
            if machine is None:
                raise UserError(f"{path}: the device is missing (saved without edgeai-repro); save again")
            if machine.fingerprint != self._fingerprint:
                shown = min(str(path), os.path.relpath(path), key=len)
                raise UserError(
                    f"{shown}: must be of this device, {self._fingerprint} (got {machine.fingerprint}); "
                    "times of two devices can't be compared"
                )
            if changes := machine.stack.differences(SoftwareVersions.current()):
                self._notices.append(f"other software than in {path.name}: {', '.join(changes)}")
            self._stored |= {benchmark.fullname for benchmark in content.benchmarks}
            self._keep_noisy(content)
        if len(files) == 1:
            option.benchmark_compare = str(*files)
        elif not files:
            self._notices.append(self._nothing_stored())
            option.benchmark_compare = None
            if requested is True:
                option.benchmark_compare_fail = []  # nothing to be slower than

    def _keep_noisy(self, content: StoredFile) -> None:
        reasons = {benchmark.fullname: noise_in(benchmark.extra_info) for benchmark in content.benchmarks}
        self.noisy |= {name: reason for name, reason in reasons.items() if reason}

    def _history(self, requested: str | Literal[True]) -> tuple[Path, StoredFile] | None:
        """Return the latest file for a value of --benchmark-compare that was stored before there were claims."""
        folder = self._folder.parent / str(get_machine_id())  # type: ignore[no-untyped-call]
        number = "[0-9][0-9][0-9][0-9]_" if requested is True else Path(requested).name
        stored = [(path, read_stored(path)) for path in sorted(folder.glob(f"{number}*.json"))]
        return max(stored, key=lambda one: one[1].datetime, default=None)

    def _find(self, requested: str | Literal[True]) -> dict[Path, StoredFile]:
        """Return the files for a value of --benchmark-compare: a file, a number, or True for the latest.

        All Python versions count; by itself, pytest-benchmark looks only for its own.
        """
        if requested is not True and is_file(Path(requested)):
            return {Path(requested): read_stored(Path(requested))}
        pattern = "[0-9][0-9][0-9][0-9]_" if requested is True else requested.rstrip("*")
        if pattern.count("/") > 1:
            raise UserError(f"--benchmark-compare must be a file or a number (got {requested!r}); check the path")
        if "/" not in pattern:
            self._config.option.benchmark_compare = pattern = f"*/{pattern}"
        folders, name = pattern.split("/")
        paths = [*self._folder.glob(f"{folders}/{name}*.json"), *self._folder.glob(f"{name}*.json")]
        files = {path: read_stored(path) for path in sorted(paths)}
        latest = max(files, key=lambda path: files[path].datetime, default=None)
        return {latest: files[latest]} if latest and requested is True else files

    def _nothing_stored(self) -> str:
        """Return a notice, with the other devices that have stored benchmarks."""
        machines = [read_stored(path).machine_info.edgeai for path in sorted(self._folder.parent.rglob("*.json"))]
        others = sorted({str(machine.fingerprint) for machine in machines if machine})
        of_others = f"; there are some of {'; '.join(others)}, which are not compared" if others else ""
        return f"no benchmark of this device, {self._fingerprint}, is stored{of_others}"

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, items: Sequence[pytest.Item]) -> None:
        """Record the tests before any is deselected."""
        self._collected = {item.nodeid for item in items}

    def pytest_deselected(self, items: Sequence[pytest.Item]) -> None:
        """Record the tests that -k or -m leave out."""
        self._deselected |= {item.nodeid for item in items}

    def pytest_benchmark_update_machine_info(self, machine_info: dict[str, Any]) -> None:
        """Add the device and its software to a stored file."""
        machine = Machine(fingerprint=self._fingerprint, stack=SoftwareVersions.current())
        machine_info[KEY] = machine.model_dump()

    @pytest.hookimpl(tryfirst=True)
    def pytest_benchmark_compare_machine_info(
        self, machine_info: dict[str, Any], compared_benchmark: dict[str, Any]
    ) -> None:
        """Suppress pytest-benchmark's own machine-info warning; we report the relevant differences ourselves."""
        compared_benchmark["machine_info"] = machine_info

    @pytest.hookimpl(wrapper=True)
    def pytest_benchmark_group_stats(self, benchmarks: list[dict[str, Any]]) -> Generator[None, object, object]:
        """Record the benchmarks of this run; those of a stored file have its path."""
        self._measured = {benchmark["fullname"] for benchmark in benchmarks if benchmark["path"] is None}
        return (yield)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Fail the run if a stored benchmark has no counterpart; report the new ones."""
        if not self._stored or session.config.option.collectonly:
            return
        selected = {name for name in self._stored - self._deselected if self._is_selected(name)}
        self._missing = sorted(selected - self._measured)
        new = sorted(self._measured - self._stored)
        self._notices += [f"new, nothing stored to compare with: {name}" for name in new]
        if self._missing and session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def _is_selected(self, name: str) -> bool:
        """Whether the command line selects the test with that id, if it exists."""
        config, file = self._config, name.partition("::")[0]
        collected = any(test.startswith(f"{file}::") for test in self._collected)
        if config.option.markexpr and not collected and (config.rootpath / file).exists():
            return False  # conftest.py may skip whole files under -m
        for argument in config.args:
            path, colons, test = argument.partition("::")
            selected = os.path.relpath(config.invocation_params.dir / path, config.rootpath) + colons + test
            if selected in (".", name) or name.startswith((f"{selected}/", f"{selected}::", f"{selected}[")):
                return True
        return False

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Show what differs from the stored benchmarks."""
        for name in self._missing:
            line = f"stored benchmark {name} must have a counterpart (got none); rename it back, or save again"
            terminalreporter.write_line(f"ERROR: {line}", red=True)
        for notice in self._notices:
            terminalreporter.write_line(f"benchmarks: {notice}")


def _require_one_process(config: pytest.Config) -> None:
    """Raise UsageError if times are to be stored or compared, but workers would disturb each other."""
    options = [f"--benchmark-{name}" for name in ("save", "autosave", "compare", "json")]
    given = [option for option in options if config.getoption(option[2:].replace("-", "_"))]
    if given and config.getoption("dist", "no") != "no":
        raise pytest.UsageError(f"{given[0]} must be given without -n: other workers would run; leave -n out")
