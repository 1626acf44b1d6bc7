"""The devices as data: what their figures give, and what the reader refuses."""

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


def _load(folder: Path, text: str = DEVICES) -> dict[str, Device]:
    (folder / "devices.yaml").write_text(text)
    return load_devices(folder)


def test_derived_figures(tmp_path: Path) -> None:
    """Peaks are per cycle × cores × clock, rates are work over time."""
    board = _load(tmp_path)["board"]
    rate = board.rate("fp32")

    assert (board.peak("fp32"), board.peak("int8")) == (12.0, 48.0)
    assert rate is not None
    assert rate.gmac_per_s == 5.0
    assert board.rate("int8") is None


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
def test_level(tmp_path: Path, size: int, level: tuple[str, float]) -> None:
    """The nearest level that holds the bytes counts, to its last byte."""
    assert _load(tmp_path)["board"].level(size) == level


@pytest.mark.parametrize(
    ("old", "new", "match"),
    [
        ("cores: 2", "cores: 0", r"devices\[board\]\.cores: must"),
        ("cores: 2", "cores: two", r"devices\[board\]\.cores: must"),
        ("ghz: 1.5", "ghz: .inf", r"devices\[board\]\.clock\.ghz: must"),
        ("ghz: 1.5, derivation: data sheet", "ghz: 1.5", r"devices\[board\]\.clock\.derivation: is missing"),
        ("    memory:", "    colour: red\n    memory:", r"devices\[board\]\.colour: is not a known key"),
        ("aarch64", "sparc", r"devices\[board\]\.architecture: must"),
        ("bytes: 5000", "bytes: 500", r"devices\[board\]: 'caches' must grow from the core outwards"),
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
def test_refused(tmp_path: Path, old: str, new: str, match: str) -> None:
    """A wrong file is refused in one line: which device, which key, the rule, what came."""
    assert old in DEVICES
    with pytest.raises(UserError, match=match) as error:
        _load(tmp_path, DEVICES.replace(old, new, 1))

    assert all(line.startswith(str(tmp_path / "devices.yaml")) for line in str(error.value).splitlines())


def test_repeated_key_refused(tmp_path: Path) -> None:
    """Two devices of one key are refused."""
    with pytest.raises(UserError, match="device 'key' must be unique \\(got 'board' twice\\)"):
        _load(tmp_path, DEVICES + DEVICES.removeprefix("devices:\n"))


def test_second_rate_refused(tmp_path: Path) -> None:
    """Two published rates of one precision are refused: which is meant?"""
    rate = DEVICES[DEVICES.index("      - {precision") :]
    with pytest.raises(UserError, match="one rate for a precision"):
        _load(tmp_path, DEVICES + rate)


def test_missing_file(tmp_path: Path) -> None:
    """A folder without the file is refused."""
    with pytest.raises(UserError, match=r"devices\.yaml"):
        load_devices(tmp_path)


def test_published_figures() -> None:
    """The peaks of the listed devices, by hand: per cycle × cores × GHz."""
    peaks = {key: (device.peak("fp32"), device.peak("int8")) for key, device in load_devices(CLAIMS).items()}

    assert peaks == {
        "raspberry-pi-4": pytest.approx((4 * 4 * 1.8, 8 * 4 * 1.8)),  # 28.8, 57.6
        "raspberry-pi-5": pytest.approx((8 * 4 * 2.4, 32 * 4 * 2.4)),  # 76.8, 307.2
        "jetson-orin-nano": pytest.approx((8 * 6 * 1.7, 32 * 6 * 1.7)),  # 81.6, 326.4
        "cloud-x86-2core": pytest.approx((32 * 2 * 4.2, 128 * 2 * 4.2)),  # 268.8, 1075.2
    }


def test_published_rates() -> None:
    """ConvNeXt-Base ran at 35 GMAC/s in fp32 and 56 in int8 on a Raspberry Pi 5."""
    pi = load_devices(CLAIMS)["raspberry-pi-5"]

    assert [round(rate.gmac_per_s) for rate in pi.achieved] == [35, 56]


def test_rates_of_known_models() -> None:
    """A rate's work is what the closed form counts, for the models that it knows, with ImageNet's 1,000 classes."""
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

    assert rates, "no rate of a ConvNeXt is listed"
    assert [rate.gmac for rate in rates] == [pytest.approx(macs / 1e9, abs=5e-4) for macs in counted]
