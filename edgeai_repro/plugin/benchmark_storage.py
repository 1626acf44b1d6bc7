"""Where benchmarks are kept, and with which they are compared: those of the same device.

pytest-benchmark files its results by operating system and Python version, which leaves the processor out, and what
no test answers any more silently drops from its comparison. Here they are filed by the device's fingerprint; other
software on the same device is shown as a difference; and what drops is an error. All else, `--benchmark-compare`,
`--benchmark-compare-fail` and the rest, is pytest-benchmark's own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, Field
from pytest_benchmark.storage.file import FileStorage

from edgeai_repro.devices.fingerprint import Fingerprint
from edgeai_repro.errors import UserError
from edgeai_repro.evidence import environment
from edgeai_repro.files import check_writable, parse_as, read_json

KEY = "edgeai"  # of what we add to pytest-benchmark's machine_info
NUMBERED = "[0-9][0-9][0-9][0-9]_"  # the files that pytest-benchmark writes


class SoftwareVersions(BaseModel):
    """The software that a benchmark was run with."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    python: str
    versions: dict[str, str]

    @classmethod
    def here(cls) -> SoftwareVersions:
        """Return the software of this process."""
        found = environment.describe()
        return cls(python=found.python, versions=found.versions)

    def differences(self, now: SoftwareVersions) -> list[str]:
        """Return in words what is otherwise now."""
        before, after = ({"python": each.python, **each.versions} for each in (self, now))
        return [
            f"{name} {before.get(name, 'none')} → {after.get(name, 'none')}"
            for name in dict.fromkeys([*before, *after])
            if before.get(name) != after.get(name)
        ]


class Machine(BaseModel):
    """What we add to a stored file: the device, and the software."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    fingerprint: Fingerprint
    stack: SoftwareVersions


class MachineInfo(BaseModel):
    """The part of pytest-benchmark's machine_info that is ours; None in a file that was written without us."""

    edgeai: Machine | None = None


class StoredBenchmark(BaseModel):
    """A stored benchmark's name, the id of the test that it comes from, and its statistics."""

    fullname: str
    stats: dict[str, Any]


class StoredFile(BaseModel):
    """A file of pytest-benchmark's, as far as it is read here."""

    machine_info: MachineInfo
    benchmarks: list[StoredBenchmark] = Field(min_length=1)


class DeviceBenchmarkStorage:
    """The plugin, of one run on one device; `asked` is the value of --benchmark-compare, True or a name."""

    def __init__(self, config: pytest.Config, fingerprint: Fingerprint) -> None:
        self._config = config
        self._fingerprint = fingerprint
        # pytest-benchmark would load what to compare with before it could be told where.
        self._asked: bool | str | None = config.option.benchmark_compare
        config.option.benchmark_compare = None
        self._collected: set[str] = set()
        self._deselected: set[str] = set()
        self._notices: list[str] = []
        self._lost: list[str] = []

    @property
    def _session(self) -> Any:
        return self._config._benchmarksession  # type: ignore[attr-defined]

    def pytest_sessionstart(self) -> None:
        """File by device, and load what to compare with. Raises UsageError, in one line, where that can't be."""
        session = self._session
        found = True
        if isinstance(session.storage, FileStorage):  # it knows of Elasticsearch, too
            session.machine_id = session.storage.default_machine_id = self._fingerprint.key
            try:
                if session.save or session.autosave:
                    self._check_real()
                    check_writable(session.storage.path / self._fingerprint.key / "new.json")
                found = self._check_stored(session.storage) if self._asked else False
            except UserError as error:
                raise pytest.UsageError(str(error)) from None
        session.compare = self._asked
        if found:
            session.handle_loading()
        elif self._asked is True:
            session.compare_fail = []  # a device's first run has nothing to be worse than, which is noted

    def _check_real(self) -> None:
        """Raise UserError on an emulated processor: what was timed on it mustn't be filed as a device's."""
        if self._fingerprint.emulated:
            raise UserError(
                f"--benchmark-save and --benchmark-autosave must file times of a real processor "
                f"(got {self._fingerprint}); leave them out, or run on the device itself"
            )

    def _check_stored(self, storage: Any) -> bool:
        """Check every file that will be compared with; note it, and return False, where there is none."""
        paths: list[Path] = storage.query(NUMBERED if self._asked is True else self._asked)
        for path in paths:
            stored = read_stored(path)
            machine = stored.machine_info.edgeai
            if machine is None:
                raise UserError(f"{path}: must tell its device (got none); it was written without edgeai-repro")
            if machine.fingerprint != self._fingerprint:
                raise UserError(
                    f"{path}: must be of this device, {self._fingerprint} (got {machine.fingerprint}); "
                    "a comparison across devices tells nothing"
                )
            compared = self._asked is not True or path == paths[-1]
            if compared and (changes := machine.stack.differences(SoftwareVersions.here())):
                self._notices.append(f"other software than in {path.name}: {', '.join(changes)}")
        if not paths:
            others = sorted({str(machine.fingerprint) for machine in _machines(storage.path)})
            of_others = f"; there are some of {'; '.join(others)}, which are not compared" if others else ""
            self._notices.append(f"no benchmark of this device, {self._fingerprint}, is stored{of_others}")
        return bool(paths)

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, items: Sequence[pytest.Item]) -> None:
        """Note which tests there are, before any is deselected."""
        self._collected = {item.nodeid for item in items}

    def pytest_deselected(self, items: Sequence[pytest.Item]) -> None:
        """Note which tests were left out on purpose."""
        self._deselected |= {item.nodeid for item in items}

    def pytest_benchmark_update_machine_info(self, machine_info: dict[str, Any]) -> None:
        """Add the device and the software to what is stored."""
        machine = Machine(fingerprint=self._fingerprint, stack=SoftwareVersions.here())
        machine_info[KEY] = machine.model_dump()

    @pytest.hookimpl(tryfirst=True)
    def pytest_benchmark_compare_machine_info(
        self, machine_info: dict[str, Any], compared_benchmark: dict[str, Any]
    ) -> None:
        """Keep pytest-benchmark from warning of all differences, the momentary clock's included: ours were told."""
        compared_benchmark["machine_info"] = machine_info

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Fail the run where a stored benchmark has no counterpart; note what is new."""
        mapping: Mapping[Path, Mapping[str, Any]] = self._session.compared_mapping or {}
        stored = {name for benchmarks in mapping.values() for name in benchmarks}
        if not stored or session.config.option.collectonly:
            return
        answered = {each.fullname for each in self._session.benchmarks if each and not each.has_error}
        left_out = {name for name in stored if not self._asked_for(name)}
        self._lost = sorted(stored - answered - self._deselected - left_out)
        self._notices += [f"new, nothing stored to compare with: {name}" for name in sorted(answered - stored)]
        if self._lost and session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def _asked_for(self, name: str) -> bool:
        """Tell whether a test of that id would have been among those that the command line asks for."""
        file = self._config.rootpath / name.partition("::")[0]
        if (
            self._config.option.markexpr
            and file.exists()
            and not any(each.partition("::")[0] == name.partition("::")[0] for each in self._collected)
        ):
            return False  # a file that wasn't even looked into, as `conftest.py` may do for some marks
        for argument in self._config.args:
            given, _, part = argument.partition("::")
            path = (self._config.invocation_params.dir / given).resolve()
            rest = name.partition("::")[2]
            if part and file == path and (rest == part or rest.startswith((f"{part}[", f"{part}::"))):
                return True
            if not part and (file == path or path in file.parents):
                return True
        return False

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Show what differs from what is stored."""
        for name in self._lost:
            line = f"stored benchmark {name} must have a counterpart (got none); rename it back, or save anew"
            terminalreporter.write_line(f"ERROR: {line}", red=True)
        for notice in self._notices:
            terminalreporter.write_line(f"benchmarks: {notice}")


def read_stored(path: Path) -> StoredFile:
    """Read a file of pytest-benchmark's. Raises UserError, in one line, where it isn't one."""
    return parse_as(StoredFile, read_json(path), path)


def _machines(folder: Path) -> Iterator[Machine]:
    for path in sorted(folder.glob("*/*.json")):
        machine = read_stored(path).machine_info.edgeai
        if machine is not None:
            yield machine
