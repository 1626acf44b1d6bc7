"""Whether a device is slowed down by heat or by a weak power supply, as its kernel tells. No torch.

Read are the firmware's flags of a Raspberry Pi (`get_throttled` in the Raspberry Pi documentation, "vcgencmd"), the
counts of x86 cores and packages (Linux, `thermal_throttle`), and the states of those cooling devices that slow the
CPU. Frequencies are left out: an idle core lowers its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

SYS = Path("/sys")
FLAGS = "devices/platform/soc*/soc*:firmware/get_throttled"  # hexadecimal
NOW, EVER = 0xF, 0xF0000  # of the flags: under voltage, capped, throttled, over the soft limit; and since the boot
COUNTS = "devices/system/cpu/cpu*/thermal_throttle/*_throttle_count"
COOLING = "class/thermal/cooling_device*/type"
SLOWING = ("Processor", "cpufreq-", "thermal-cpufreq-")  # types of those that slow the CPU; a fan is none
GOVERNORS = "devices/system/cpu/cpu*/cpufreq/scaling_governor"


@dataclass(frozen=True)
class Throttling:
    """One reading: `events` only ever grow, `limits` are what slows the device down now, all 0 where nothing does.

    What could not be read is None; both are empty where the device doesn't tell.
    """

    events: tuple[int | None, ...] = ()
    limits: tuple[int | None, ...] = ()

    @property
    def reports_throttling(self) -> bool:
        """Whether the device tells anything."""
        return bool(self.events or self.limits)


def read(sys: Path = SYS) -> Throttling:
    """Return how the device is throttled."""
    flags, counts, cooling = _files(sys)
    flagged = [_number(path, 16) for path in flags]
    return Throttling(
        events=(*(each and each & EVER for each in flagged), *map(_number, counts)),
        limits=(*(each and each & NOW for each in flagged), *map(_number, cooling)),
    )


def throttled(before: Throttling, after: Throttling) -> bool:
    """Tell whether the device was slowed down at one of two readings, or in between."""
    return before.events != after.events or any(before.limits) or any(after.limits)


def governor(sys: Path = SYS) -> str | None:
    """Return what sets the CPU's frequency, as `performance`; None where the kernel doesn't tell."""
    return ", ".join(sorted(set(_texts(sys.glob(GOVERNORS))))) or None


@cache
def _files(sys: Path) -> tuple[list[Path], list[Path], list[Path]]:
    """Return the files of flags, counts and states, looked up once: there may be hundreds."""
    slowing = [path for path in sorted(sys.glob(COOLING)) if any(t.startswith(SLOWING) for t in _texts([path]))]
    return sorted(sys.glob(FLAGS)), sorted(sys.glob(COUNTS)), [path.with_name("cur_state") for path in slowing]


def _number(path: Path, base: int = 10) -> int | None:
    for text in _texts([path]):
        with suppress(ValueError):
            return int(text, base)
    return None


def _texts(paths: Iterable[Path]) -> Iterator[str]:
    """Yield what the files hold; a core that was switched off has none any more, and a driver may refuse."""
    for path in paths:
        with suppress(OSError, UnicodeError):
            yield path.read_text(encoding="ascii").strip()
