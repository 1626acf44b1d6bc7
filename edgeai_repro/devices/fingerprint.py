"""Which device this is: what EDGEAI_DEVICE says, held against the machine, and a fingerprint of the machine."""

from __future__ import annotations

import hashlib
import os
import platform
import re
from collections.abc import Mapping

from pydantic import PositiveInt

from edgeai_repro.devices.spec import Device
from edgeai_repro.errors import UserError, did_you_mean
from edgeai_repro.evidence import environment
from edgeai_repro.evidence.measurement import Frozen

VARIABLE = "EDGEAI_DEVICE"
ALIASES = {"arm64": "aarch64", "amd64": "x86_64"}  # as macOS and Windows call them


class Fingerprint(Frozen):
    """What must be equal for two timings to be comparable; software is not part of it.

    Times of an `emulated` processor are comparable with none.
    """

    cpu: str
    architecture: str
    cores: PositiveInt
    threads: PositiveInt
    emulated: bool = False

    @property
    def key(self) -> str:
        """A folder's name: readable, and with a digest, for two CPUs' names may read alike."""
        words = re.sub(r"[^a-z0-9]+", "-", self.cpu.lower()).strip("-")[:40]
        said = self.model_dump_json(exclude_defaults=True)
        digest = hashlib.sha256(said.encode()).hexdigest()[:8]
        return f"{self.architecture}-{words}-{self.cores}c-{self.threads}t-{digest}"

    def __str__(self) -> str:
        """Return it in words."""
        emulated = ", emulated" if self.emulated else ""
        return f"{self.cpu}, {self.architecture}, {self.cores} cores, {self.threads} threads{emulated}"


def architecture() -> str:
    """Return this machine's architecture, as devices.yaml calls it."""
    machine = platform.machine().lower()
    return ALIASES.get(machine, machine)


def fingerprint(threads: int) -> Fingerprint:
    """Return the fingerprint of this machine where `threads` are used."""
    here = environment.describe()
    return Fingerprint(
        cpu=here.cpu, architecture=architecture(), cores=here.cores, threads=threads, emulated=here.emulated
    )


def named_device(devices: Mapping[str, Device]) -> Device | None:
    """Return the device that EDGEAI_DEVICE names; None where it is unset.

    Raises UserError where there is none such, or its architecture isn't this machine's.
    """
    key = os.environ.get(VARIABLE)
    if not key:
        return None
    if key not in devices:
        hint = did_you_mean(key, devices) if devices else "there is no devices.yaml in the claims folder"
        raise UserError(f"{VARIABLE} must name a device of devices.yaml (got {key!r}); {hint}")
    device = devices[key]
    if device.architecture != architecture():
        raise UserError(
            f"{VARIABLE} must name a device of this machine's architecture, {architecture()} "
            f"(got {key!r}, {device.architecture}); unset it, or run on that device"
        )
    return device
