"""The files in which pytest-benchmark stores benchmarks, and what we add to them: the device and its software."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field

from edgeai_repro.devices.fingerprint import Fingerprint
from edgeai_repro.evidence import environment
from edgeai_repro.evidence.measurement import Frozen
from edgeai_repro.files import read_json
from edgeai_repro.validation import parse_as

KEY = "edgeai"  # our key in pytest-benchmark's machine_info


class SoftwareVersions(Frozen):
    """The software that a benchmark was run with."""

    python: str
    versions: dict[str, str]

    @classmethod
    def current(cls) -> SoftwareVersions:
        """Return the software of this process."""
        described = environment.describe()
        return cls(python=described.python, versions=described.versions)

    def differences(self, later: SoftwareVersions) -> list[str]:
        """Return a text for each package with another version in `later`: "numpy 1.26.0 → 2.4.1"."""
        before, after = ({"python": software.python, **software.versions} for software in (self, later))
        return environment.version_changes(before, after)


class Machine(Frozen):
    """What we add to a stored file: the device and its software."""

    fingerprint: Fingerprint
    stack: SoftwareVersions


class MachineInfo(BaseModel):
    """Our part of pytest-benchmark's machine_info; None in a file that was written without this plugin."""

    edgeai: Machine | None = None


class StoredBenchmark(BaseModel):
    """A benchmark in a stored file; `fullname` is the id of its test."""

    fullname: str
    stats: dict[str, Any]
    extra_info: dict[str, Any] = {}


class StoredFile(BaseModel):
    """The part of a pytest-benchmark file that we read."""

    machine_info: MachineInfo
    benchmarks: list[StoredBenchmark] = Field(min_length=1)
    datetime: datetime


def read_stored(path: Path) -> StoredFile:
    """Read a file of pytest-benchmark. Raises UserError, in one line, if it isn't one."""
    return parse_as(StoredFile, read_json(path), path)
