"""Detection of throttling, on invented trees of /sys."""

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
    """Write a file of /sys in the format of the kernel."""
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
        ("1", "1", True),  # under-voltage all the time
        ("50000", "50000", False),  # earlier, since boot
        ("0", "20000", True),  # capped for a moment between the readings
    ],
)
def test_flags_of_a_raspberry_pi(tmp_path: Path, name: str, before: str, after: str, slowed: bool) -> None:
    """Current flags count, and flags since boot that are new."""
    put(tmp_path, name, before)
    first = read(tmp_path)
    put(tmp_path, name, after)

    assert throttled(first, read(tmp_path)) == slowed


@pytest.mark.parametrize("which", ["core", "package"])
def test_a_growing_throttle_count_of_x86(tmp_path: Path, which: str) -> None:
    """A count of a core or package that grows is throttling; one that is merely high is not."""
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
def test_an_active_cooling_device_that_slows_the_cpu(tmp_path: Path, kind: str, slowed: bool) -> None:
    """It counts if its state is not 0; a running fan does not count."""
    put(tmp_path, COOLING.format(0, "type"), kind)
    put(tmp_path, COOLING.format(0, "cur_state"), 2)
    reading = read(tmp_path)

    assert throttled(reading, reading) == slowed


def test_a_device_without_these_files_reports_nothing(tmp_path: Path) -> None:
    """It does not count as throttled."""
    reading = read(tmp_path)

    assert reading == Throttling()
    assert not reading.reports_throttling
    assert not throttled(reading, reading)


def test_a_file_that_becomes_unreadable_counts_as_an_event(tmp_path: Path) -> None:
    """A file that disappears or has no number any more."""
    counted = put(tmp_path, COUNT.format(0, "core"), 3)
    first = read(tmp_path)
    counted.unlink()
    missing = read(tmp_path)
    counted.write_text("\n", encoding="ascii")

    assert missing == read(tmp_path) == Throttling(events=(None,))
    assert throttled(first, missing)


def test_governor_names_those_of_all_cores(tmp_path: Path) -> None:
    """Each once, in alphabetical order; None without any."""
    assert governor(tmp_path) is None

    for core, name in enumerate(["performance", "performance", "ondemand"]):
        put(tmp_path, GOVERNOR.format(core), name)

    assert governor(tmp_path) == "ondemand, performance"


def test_this_machine_can_be_read() -> None:
    """A reading of this machine has counts, flags and states, or none."""
    reading = read()

    assert all(value is None or value >= 0 for value in reading.events + reading.limits)
