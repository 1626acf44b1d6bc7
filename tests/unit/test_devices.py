"""Devices as data: the peaks and rates that follow from their figures, and that wrong files are refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgeai_repro.devices.spec import Device, load_devices
from edgeai_repro.errors import UserError
from edgeai_repro.networks.variants import CONVNEXT_VARIANTS, layers

CLAIMS = Path(__file__).parents[2] / "claims"

DEVICES = """\
devices:
  - key: board
    name: A board
    kind: edge
    architecture: aarch64
    cores: 2
    clock: {ghz: 1.5, derivation: data sheet}
    macs:
      fp32: {per_cycle: 4, derivation: one pipe of 4 lanes}
      int8: {per_cycle: 16, derivation: one pipe of 16 lanes}
    caches:
      - {name: L1, bytes: 1000, shared: false, derivation: sheet, bytes_to_core: {per_cycle: 8, derivation: port}}
      - {name: L2, bytes: 5000, shared: true, derivation: sheet, bytes_to_core: {per_cycle: 4, derivation: bus}}
    memory: {gb_per_s: 2.5, derivation: data sheet}
    achieved:
      - {precision: fp32, model: resnet50, resolution: 224, runtime: a runtime, gmac: 4.0, milliseconds: 800,
         derivation: mean of ten, source: https://example.org}
"""


def load(folder: Path, text: str = DEVICES) -> dict[str, Device]:
    """Write a devices.yaml and load it."""
    (folder / "devices.yaml").write_text(text)
    return load_devices(folder)


def test_peaks_and_rates_are_derived_from_the_figures(tmp_path: Path) -> None:
    """Peaks are per cycle × cores × clock, rates are work over time."""
    board = load(tmp_path)["board"]
    rate = board.published_rate("fp32")

    assert (board.peak("fp32"), board.peak("int8")) == (12.0, 48.0)
    assert rate is not None
    assert rate.gmac_per_s == 5.0
    assert board.published_rate("int8") is None


@pytest.mark.parametrize(
    ("size", "level"),
    [
        (1, ("L1", 24.0)),
        (2000, ("L1", 24.0)),  # both cores' L1 together, at 2 cores × 8 bytes × 1.5 GHz
        (2001, ("L2", 12.0)),
        (5000, ("L2", 12.0)),
        (5001, ("memory", 2.5)),
    ],
)
def test_nearest_memory_that_holds_all_bytes_is_chosen(tmp_path: Path, size: int, level: tuple[str, float]) -> None:
    """A level is used up to its last byte."""
    assert load(tmp_path)["board"].memory_level_for(size) == level


@pytest.mark.parametrize(
    ("old", "new", "match"),
    [
        ("cores: 2", "cores: 0", r"devices\[board\]\.cores: must"),
        ("cores: 2", "cores: two", r"devices\[board\]\.cores: must"),
        ("ghz: 1.5", "ghz: .inf", r"devices\[board\]\.clock\.ghz: must"),
        ("ghz: 1.5, derivation: data sheet", "ghz: 1.5", r"devices\[board\]\.clock\.derivation: is missing"),
        ("    memory:", "    colour: red\n    memory:", r"devices\[board\]\.colour: is not a known key"),
        ("aarch64", "sparc", r"devices\[board\]\.architecture: must"),
        ("bytes: 5000", "bytes: 500", r"devices\[board\]: 'caches' must be listed from the smallest"),
        (
            "milliseconds: 800",
            "milliseconds: 300",
            r"must not exceed the peak of 12.0 GMAC/s \(got 13.3 of resnet50",
        ),
        (
            "    name: A board\n",
            "    name: A board\n    name: Another\n",
            "line 4: must be valid YAML .*'name' twice",
        ),
        ("key: board", "key: A Board", r"devices\[A Board\]\.key: must"),
        ("devices:", "boards:", r"devices: is missing; add it\n.*boards: is not a known key"),
    ],
)
def test_wrong_file_is_refused_with_the_place(tmp_path: Path, old: str, new: str, match: str) -> None:
    """Each line names the file, the device and the key."""
    assert old in DEVICES
    with pytest.raises(UserError, match=match) as error:
        load(tmp_path, DEVICES.replace(old, new, 1))

    assert all(line.startswith(str(tmp_path / "devices.yaml")) for line in str(error.value).splitlines())


def test_two_devices_with_one_key_are_refused(tmp_path: Path) -> None:
    """The message has the key."""
    with pytest.raises(UserError, match="device 'key' must be unique \\(got 'board' twice\\)"):
        load(tmp_path, DEVICES + DEVICES.removeprefix("devices:\n"))


def test_two_rates_of_one_precision_are_refused(tmp_path: Path) -> None:
    """Only one of them could be used."""
    rate = DEVICES[DEVICES.index("      - {precision") :]
    with pytest.raises(UserError, match="one rate per precision"):
        load(tmp_path, DEVICES + rate)


def test_missing_file_is_refused_unless_it_may_be_missing(tmp_path: Path) -> None:
    """With `missing_ok` there are no devices."""
    assert load_devices(tmp_path, missing_ok=True) == {}
    with pytest.raises(UserError, match=r"devices\.yaml"):
        load_devices(tmp_path)


def test_peaks_of_the_listed_devices_are_those_worked_out_by_hand() -> None:
    """They are per cycle × cores × GHz."""
    peaks = {key: (device.peak("fp32"), device.peak("int8")) for key, device in load_devices(CLAIMS).items()}

    assert peaks == {
        "raspberry-pi-4": pytest.approx((4 * 4 * 1.8, 8 * 4 * 1.8)),  # 28.8, 57.6
        "raspberry-pi-5": pytest.approx((8 * 4 * 2.4, 32 * 4 * 2.4)),  # 76.8, 307.2
        "jetson-orin-nano": pytest.approx((8 * 6 * 1.7, 32 * 6 * 1.7)),  # 81.6, 326.4
        "cloud-x86-2core": pytest.approx((32 * 2 * 4.2, 128 * 2 * 4.2)),  # 268.8, 1075.2
    }


def test_published_rates_of_the_raspberry_pi_5() -> None:
    """ConvNeXt-Base ran at 35 GMAC/s in fp32 and 56 in int8 on a Raspberry Pi 5."""
    pi = load_devices(CLAIMS)["raspberry-pi-5"]

    assert [round(rate.gmac_per_s) for rate in pi.achieved] == [35, 56]


def test_work_of_published_rates_is_that_of_the_closed_form() -> None:
    """It is compared for ConvNeXts, with ImageNet's 1,000 classes."""
    rates = [
        rate
        for device in load_devices(CLAIMS).values()
        for rate in device.achieved
        if rate.model in CONVNEXT_VARIANTS
    ]
    counted = [
        sum(
            layer.macs
            for layer in layers(CONVNEXT_VARIANTS[rate.model], resolution=rate.resolution, num_classes=1000)
        )
        for rate in rates
    ]

    assert rates, "a rate of a ConvNeXt must be listed"
    assert [rate.gmac for rate in rates] == [pytest.approx(macs / 1e9, abs=5e-4) for macs in counted]
