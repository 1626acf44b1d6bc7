"""The devices that a network might run on, as data: `claims/devices.yaml`, every figure with its derivation.

Peaks follow from what one core does in one cycle; they are computed here, so that they can't contradict their
derivation. Units: GHz, GB/s (1e9 bytes), GMAC/s (1e9 multiply-accumulates), bytes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, PositiveInt, model_validator

from edgeai_repro.evidence.measurement import Frozen
from edgeai_repro.files import parse_as, read_yaml

Precision = Literal["fp32", "int8"]
Figure = Annotated[float, Field(gt=0, allow_inf_nan=False)]
FILE = "devices.yaml"


class PerCycle(Frozen):
    """What one core does in one clock cycle, and how that is known."""

    per_cycle: Figure
    derivation: str = Field(min_length=1)


class Clock(Frozen):
    """The highest clock of the device as it is sold, in GHz."""

    ghz: Figure
    derivation: str = Field(min_length=1)


class Memory(Frozen):
    """The bandwidth from memory to all cores, in GB/s."""

    gb_per_s: Figure
    derivation: str = Field(min_length=1)


class Cache(Frozen):
    """A level of cache: `bytes` of each core, or of all where it is shared, and what it delivers to one core."""

    name: str
    bytes: PositiveInt
    shared: bool
    bytes_to_core: PerCycle
    derivation: str = Field(min_length=1, description="where the size comes from")


class Peaks(Frozen):
    """Multiply-accumulates of one core in one cycle, at either precision."""

    fp32: PerCycle
    int8: PerCycle


class Achieved(Frozen):
    """A published measurement: a whole network on the whole device, one image at a time."""

    precision: Precision
    model: str
    resolution: PositiveInt
    runtime: str
    gmac: Figure = Field(description="multiply-accumulates of one image, in 1e9")
    milliseconds: Figure
    derivation: str = Field(min_length=1)
    source: str = Field(min_length=1)

    @property
    def gmac_per_s(self) -> float:
        """The rate that was achieved."""
        return 1000 * self.gmac / self.milliseconds


class Device(Frozen):
    """A processor with its memory. `kind` says whether it is an edge device or stands here for comparison."""

    key: str = Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")
    name: str
    kind: Literal["edge", "cloud"]
    architecture: Literal["aarch64", "x86_64"]
    cores: PositiveInt
    clock: Clock
    macs: Peaks
    caches: list[Cache] = Field(min_length=1, description="the nearest to the core first")
    memory: Memory
    achieved: list[Achieved] = Field([], description="at most one for each precision: the nearest to ConvNeXt")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        sizes = [self.capacity(cache) for cache in self.caches]
        if sizes != sorted(sizes):
            raise ValueError(f"'caches' must grow from the core outwards (got {sizes} bytes in all)")
        precisions = [rate.precision for rate in self.achieved]
        if len(precisions) != len(set(precisions)):
            raise ValueError(f"'achieved' must have one rate for a precision (got {', '.join(precisions)})")
        for rate in self.achieved:
            if rate.gmac_per_s > self.peak(rate.precision):
                raise ValueError(
                    f"'achieved' must not exceed the peak of {self.peak(rate.precision):.1f} GMAC/s "
                    f"(got {rate.gmac_per_s:.1f} of {rate.model}, {rate.precision})"
                )
        return self

    def peak(self, precision: Precision) -> float:
        """Return the GMAC/s that all cores together can't exceed."""
        per_cycle = self.macs.fp32.per_cycle if precision == "fp32" else self.macs.int8.per_cycle
        return per_cycle * self.cores * self.clock.ghz

    def capacity(self, cache: Cache) -> int:
        """Return the bytes that a level of cache holds for all cores together."""
        return cache.bytes if cache.shared else cache.bytes * self.cores

    def level(self, size: float) -> tuple[str, float]:
        """Return the name and the GB/s, to all cores, of the nearest level that holds `size` bytes."""
        for cache in self.caches:
            if size <= self.capacity(cache):
                return cache.name, cache.bytes_to_core.per_cycle * self.cores * self.clock.ghz
        return "memory", self.memory.gb_per_s

    def rate(self, precision: Precision) -> Achieved | None:
        """Return the published measurement at a precision, or None."""
        return next((rate for rate in self.achieved if rate.precision == precision), None)


class DevicesFile(Frozen):
    """The document `devices.yaml`."""

    devices: list[Device] = Field(min_length=1)

    @model_validator(mode="after")
    def _unique(self) -> Self:
        keys = [device.key for device in self.devices]
        for repeated in sorted({key for key in keys if keys.count(key) > 1}):
            raise ValueError(f"device 'key' must be unique (got {repeated!r} twice)")
        return self


def load_devices(folder: Path, *, missing_ok: bool = False) -> dict[str, Device]:
    """Read `devices.yaml` of a claims folder and return its devices by key.

    With `missing_ok`, a folder without the file has no devices. Raises UserError, in one line.
    """
    path = folder / FILE
    if missing_ok and not path.exists():
        return {}
    return {device.key: device for device in parse_as(DevicesFile, read_yaml(path), path).devices}
