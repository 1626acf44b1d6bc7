"""This machine: the device that EDGEAI_DEVICE names, and a fingerprint that tells machines apart."""

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
ALIASES = {"arm64": "aarch64", "amd64": "x86_64"}  # the names on macOS and Windows


class Fingerprint(Frozen):
    """The properties of a machine that two timings must share to be comparable. Software isn't one of them.

    Times on an `emulated` processor aren't comparable with any others.
    """

    cpu: str
    architecture: str
    cores: PositiveInt
    threads: PositiveInt
    emulated: bool = False

    @property
    def key(self) -> str:
        """A readable name for a folder. It ends with a digest because the readable part may not be unique."""
        words = re.sub(r"[^a-z0-9]+", "-", self.cpu.lower()).strip("-")[:40]
        digest = hashlib.sha256(self.model_dump_json(exclude_defaults=True).encode()).hexdigest()[:8]
        return f"{self.architecture}-{words}-{self.cores}c-{self.threads}t-{digest}"

    def __str__(self) -> str:
        """Return the fingerprint in words."""
        emulated = ", emulated" if self.emulated else ""
        return f"{self.cpu}, {self.architecture}, {self.cores} cores, {self.threads} threads{emulated}"


def architecture() -> str:
    """Return this machine's architecture by its name in devices.yaml."""
    machine = platform.machine().lower()
    return ALIASES.get(machine, machine)


def fingerprint(threads: int) -> Fingerprint:
    """Return the fingerprint of this machine, used with this number of threads."""
    machine = environment.describe()
    return Fingerprint(
        cpu=machine.cpu,
        architecture=architecture(),
        cores=machine.cores,
        threads=threads,
        emulated=machine.emulated,
    )


def named_device(devices: Mapping[str, Device]) -> Device | None:
    """Return the device that EDGEAI_DEVICE names, None if it is unset.

    Raises UserError if the device is unknown or has another architecture than this machine.
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
