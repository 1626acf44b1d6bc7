"""How a device tells that it is throttled, on made-up trees of /sys."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgeai_repro.measure.latency.throttling import Throttling, governor, read, throttled

PI_4 = "devices/platform/soc/soc:firmware/get_throttled"
PI_5 = "devices/platform/soc@107c000000/soc@107c000000:firmware/get_throttled"
COUNT = "devices/system/cpu/cpu{}/thermal_throttle/{}_throttle_count"
COOLING = "class/thermal/cooling_device{}/{}"
GOVERNOR = "devices/system/cpu/cpu{}/cpufreq/scaling_governor"


def put(sys: Path, name: str, text: object) -> Path:
    """Write a file of /sys, as the kernel shows it."""
    path = sys / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{text}\n", encoding="ascii")
    return path


@pytest.mark.parametrize("name", [PI_4, PI_5])
@pytest.mark.parametrize(
    ("before", "after", "slowed"),
    [
        ("0", "0", False),
        ("0", "4", True),  # throttled now
        ("1", "1", True),  # under voltage all the time
        ("50000", "50000", False),  # it was, since the boot and not now
        ("0", "20000", True),  # capped for a moment in between
    ],
)
def test_raspberry_pi(tmp_path: Path, name: str, before: str, after: str, slowed: bool) -> None:
    """The firmware's flags tell of now and of since the boot."""
    put(tmp_path, name, before)
    first = read(tmp_path)
    put(tmp_path, name, after)

    assert throttled(first, read(tmp_path)) == slowed


@pytest.mark.parametrize("which", ["core", "package"])
def test_x86(tmp_path: Path, which: str) -> None:
    """A count of any core or package that went up tells of something in between; one that is high doesn't."""
    for name in ("core", "package"):
        put(tmp_path, COUNT.format(0, name), 41)
    counted = put(tmp_path, COUNT.format(1, which), 3)
    first, second = read(tmp_path), read(tmp_path)
    counted.write_text("4\n", encoding="ascii")

    assert not throttled(first, second)
    assert throttled(second, read(tmp_path))


@pytest.mark.parametrize(
    ("kind", "slowed"),
    [("cpufreq-cpu0", True), ("thermal-cpufreq-0", True), ("Processor", True), ("pwm-fan", False)],
)
def test_cooling(tmp_path: Path, kind: str, slowed: bool) -> None:
    """A cooling device that slows the CPU tells, where its state isn't 0; a fan that runs doesn't."""
    put(tmp_path, COOLING.format(0, "type"), kind)
    put(tmp_path, COOLING.format(0, "cur_state"), 2)
    found = read(tmp_path)

    assert throttled(found, found) == slowed


def test_told(tmp_path: Path) -> None:
    """A device without any of these doesn't tell, and isn't taken for throttled."""
    found = read(tmp_path)

    assert found == Throttling()
    assert not found.reports_throttling
    assert not throttled(found, found)


def test_unreadable(tmp_path: Path) -> None:
    """A file that goes away, or holds no number, between two readings counts as something that happened."""
    counted = put(tmp_path, COUNT.format(0, "core"), 3)
    first = read(tmp_path)
    counted.unlink()
    gone = read(tmp_path)
    counted.write_text("\n", encoding="ascii")

    assert gone == read(tmp_path) == Throttling(events=(None,))
    assert throttled(first, gone)


def test_governor(tmp_path: Path) -> None:
    """The governors of all cores are named, each once; None where there are none."""
    assert governor(tmp_path) is None

    for core, name in enumerate(["performance", "performance", "ondemand"]):
        put(tmp_path, GOVERNOR.format(core), name)

    assert governor(tmp_path) == "ondemand, performance"


def test_here() -> None:
    """On this machine, whatever it tells, a reading is one."""
    assert isinstance(read(), Throttling)
