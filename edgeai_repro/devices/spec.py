"""Devices as data: the schema of `claims/devices.yaml`, in which every figure has a derivation.

Peaks are computed from the figures of one core and one cycle, so that they can't contradict these. Units: GHz, GB/s
(1e9 bytes), GMAC/s (1e9 multiply-accumulates), bytes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, PositiveInt, model_validator

from edgeai_repro.evidence.measurement import Frozen
from edgeai_repro.files import read_yaml
from edgeai_repro.validation import parse_as

Precision = Literal["fp32", "int8"]
Figure = Annotated[float, Field(gt=0, allow_inf_nan=False)]
FILE = "devices.yaml"


class PerCycle(Frozen):
    """A figure per core and clock cycle, with its derivation."""

    per_cycle: Figure
    derivation: str = Field(min_length=1)


class Clock(Frozen):
    """The highest clock of the device as sold, in GHz."""

    ghz: Figure
    derivation: str = Field(min_length=1)


class Memory(Frozen):
    """The bandwidth from memory to all cores, in GB/s."""

    gb_per_s: Figure
    derivation: str = Field(min_length=1)


class Cache(Frozen):
    """A level of cache. `bytes` is its size: in total if it is shared, else per core.

    `bytes_to_core` are the bytes that it delivers to one core per cycle.
    """

    name: str
    bytes: PositiveInt
    shared: bool
    bytes_to_core: PerCycle
    derivation: str = Field(min_length=1, description="source of the size")


class Peaks(Frozen):
    """Multiply-accumulates per core and cycle, at either precision."""

    fp32: PerCycle
    int8: PerCycle


class Achieved(Frozen):
    """A published measurement: a whole network on the whole device, one image at a time."""

    precision: Precision
    model: str
    resolution: PositiveInt
    runtime: str
    gmac: Figure = Field(description="multiply-accumulates per image, in 1e9")
    milliseconds: Figure
    derivation: str = Field(min_length=1)
    source: str = Field(min_length=1)

    @property
    def gmac_per_s(self) -> float:
        """The measured rate, in GMAC/s."""
        return 1000 * self.gmac / self.milliseconds


class Device(Frozen):
    """A processor with its memory. `kind` is edge, or cloud for a device that is listed for comparison."""

    key: str = Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")
    name: str
    kind: Literal["edge", "cloud"]
    architecture: Literal["aarch64", "x86_64"]
    cores: PositiveInt
    clock: Clock
    macs: Peaks
    caches: list[Cache] = Field(min_length=1, description="the nearest to the core first")
    memory: Memory
    achieved: list[Achieved] = Field([], description="at most one per precision, of the network most like ConvNeXt")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        sizes = [self.capacity(cache) for cache in self.caches]
        if sizes != sorted(sizes):
            raise ValueError(f"'caches' must be listed from the smallest to the largest (got {sizes} bytes)")
        precisions = [rate.precision for rate in self.achieved]
        if len(precisions) != len(set(precisions)):
            raise ValueError(f"'achieved' must have one rate per precision (got {', '.join(precisions)})")
        for rate in self.achieved:
            if rate.gmac_per_s > self.peak(rate.precision):
                raise ValueError(
                    f"'achieved' must not exceed the peak of {self.peak(rate.precision):.1f} GMAC/s "
                    f"(got {rate.gmac_per_s:.1f} of {rate.model}, {rate.precision})"
                )
        return self

    def peak(self, precision: Precision) -> float:
        """Return the highest possible GMAC/s of all cores together."""
        per_cycle = self.macs.fp32.per_cycle if precision == "fp32" else self.macs.int8.per_cycle
        return per_cycle * self.cores * self.clock.ghz

    def capacity(self, cache: Cache) -> int:
        """Return the size of a level of cache in bytes, for all cores together."""
        return cache.bytes if cache.shared else cache.bytes * self.cores

    def memory_level_for(self, size: float) -> tuple[str, float]:
        """Return the nearest level of memory that holds `size` bytes: its name, and its GB/s to all cores."""
        for cache in self.caches:
            if size <= self.capacity(cache):
                return cache.name, cache.bytes_to_core.per_cycle * self.cores * self.clock.ghz
        return "memory", self.memory.gb_per_s

    def published_rate(self, precision: Precision) -> Achieved | None:
        """Return the published measurement at a precision, None if there is none."""
        return next((rate for rate in self.achieved if rate.precision == precision), None)


class DevicesFile(Frozen):
    """The content of `devices.yaml`."""

    devices: list[Device] = Field(min_length=1)

    @model_validator(mode="after")
    def _unique(self) -> Self:
        keys = [device.key for device in self.devices]
        for repeated in sorted({key for key in keys if keys.count(key) > 1}):
            raise ValueError(f"device 'key' must be unique (got {repeated!r} twice)")
        return self


def load_devices(folder: Path, *, missing_ok: bool = False) -> dict[str, Device]:
    """Read `devices.yaml` of a claims folder and return its devices by key.

    With `missing_ok`, a folder without the file gives no devices. Raises UserError if the file is invalid.
    """
    path = folder / FILE
    if missing_ok and not path.exists():
        return {}
    return {device.key: device for device in parse_as(DevicesFile, read_yaml(path), path).devices}
