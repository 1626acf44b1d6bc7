"""Detects that heat or a weak power supply slows the device down, from files of the Linux kernel. No torch.

The sources are the firmware flags of a Raspberry Pi (`get_throttled`, see "vcgencmd" in its documentation), the
throttle counts of x86 cores and packages (`thermal_throttle`), and the states of the cooling devices that slow the
CPU. CPU frequencies are not used, because an idle core lowers its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

SYS = Path("/sys")
FLAGS = "devices/platform/soc*/soc*:firmware/get_throttled"  # hexadecimal
# Flags: under-voltage, frequency capped, throttled, soft temperature limit. Current ones, and those since boot.
NOW, SINCE_BOOT = 0xF, 0xF0000
COUNTS = "devices/system/cpu/cpu*/thermal_throttle/*_throttle_count"
COOLING = "class/thermal/cooling_device*/type"
SLOWING = ("Processor", "cpufreq-", "thermal-cpufreq-")  # types of cooling devices that slow the CPU, unlike a fan
GOVERNORS = "devices/system/cpu/cpu*/cpufreq/scaling_governor"


@dataclass(frozen=True)
class Throttling:
    """One reading of the kernel's files.

    `events` are counts and flags since boot, which only grow. `limits` are what slows the device down now; all are
    0 if nothing does. A file that can't be read gives None. Both are empty if the device reports nothing.
    """

    events: tuple[int | None, ...] = ()
    limits: tuple[int | None, ...] = ()

    @property
    def reports_throttling(self) -> bool:
        """Whether the device reports throttling at all."""
        return bool(self.events or self.limits)


def read(sys: Path = SYS) -> Throttling:
    """Return the current reading."""
    flag_files, count_files, state_files = _files(sys)
    flags = [_number(path, 16) for path in flag_files]
    return Throttling(
        events=(*(flag and flag & SINCE_BOOT for flag in flags), *map(_number, count_files)),
        limits=(*(flag and flag & NOW for flag in flags), *map(_number, state_files)),
    )


def throttled(before: Throttling, after: Throttling) -> bool:
    """Return whether the device was slowed down at one of two readings, or between them."""
    return before.events != after.events or any(before.limits) or any(after.limits)


def governor(sys: Path = SYS) -> str | None:
    """Return the frequency governor of the CPU, such as `performance`; None if unknown."""
    return ", ".join(sorted(set(_texts(sys.glob(GOVERNORS))))) or None


@cache
def _files(sys: Path) -> tuple[list[Path], list[Path], list[Path]]:
    """Return the files of flags, counts and states. Cached, because there may be hundreds."""
    slowing = [
        path for path in sorted(sys.glob(COOLING)) if any(kind.startswith(SLOWING) for kind in _texts([path]))
    ]
    return sorted(sys.glob(FLAGS)), sorted(sys.glob(COUNTS)), [path.with_name("cur_state") for path in slowing]


def _number(path: Path, base: int = 10) -> int | None:
    for text in _texts([path]):
        with suppress(ValueError):
            return int(text, base)
    return None


def _texts(paths: Iterable[Path]) -> Iterator[str]:
    """Yield the text of each readable file. A core that is off has none, and a driver may refuse."""
    for path in paths:
        with suppress(OSError, UnicodeError):
            yield path.read_text(encoding="ascii").strip()
