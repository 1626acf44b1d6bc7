"""The roofline, compared with figures worked out by hand in the comments."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgeai_repro.devices.roofline import VARIANTS, Estimate, estimate, estimates, pruned_widths, work
from edgeai_repro.devices.spec import Device, load_devices
from edgeai_repro.networks.variants import CONVNEXT_VARIANTS, Architecture, layers

SMALL = CONVNEXT_VARIANTS["convnext_small"]
TARGET = 0.8
BOARD = Device.model_validate(
    {
        "key": "board",
        "name": "A board",
        "kind": "edge",
        "architecture": "aarch64",
        "cores": 1,
        "clock": {"ghz": 1.0, "derivation": "given"},
        "macs": {"fp32": {"per_cycle": 1, "derivation": "given"}, "int8": {"per_cycle": 10, "derivation": "given"}},
        "caches": [
            {
                "name": "L1",
                "bytes": 20_000_000,
                "shared": True,
                "derivation": "given",
                "bytes_to_core": {"per_cycle": 2, "derivation": "given"},
            }
        ],
        "memory": {"gb_per_s": 0.5, "derivation": "given"},
    }
)


@pytest.fixture(scope="module")
def devices() -> dict[str, Device]:
    """The listed devices."""
    return load_devices(Path(__file__).parents[2] / "claims")


def test_fp32_work_is_four_bytes_per_parameter_and_all_macs() -> None:
    """ConvNeXt-Small has 49,462,378 parameters."""
    counted = work(SMALL, 32, "fp32", target=TARGET)

    assert counted.bytes == 4 * 49_462_378
    assert (counted.fp32_macs, counted.int8_macs) == (177_210_624, 0)


def test_int8_saves_three_bytes_of_each_linear_weight() -> None:
    """The MACs of Linear layers become int8 MACs; all other weights and MACs stay fp32."""
    # Linear weights, 8 c² per block and 7680 in the head: 8 · (3 · 96² + 3 · 192² + 27 · 384² + 3 · 768²) + 7680
    linear = 8 * (3 * 9216 + 3 * 36_864 + 27 * 147_456 + 3 * 589_824) + 7680
    # their MACs: 64, 16, 4, 1 positions at 32 pixels
    macs = 8 * (64 * 3 * 9216 + 16 * 3 * 36_864 + 4 * 27 * 147_456 + 3 * 589_824) + 7680
    counted = work(SMALL, 32, "int8", target=TARGET)

    assert counted.bytes == 4 * 49_462_378 - 3 * linear
    assert (counted.fp32_macs, counted.int8_macs) == (177_210_624 - macs, macs)


def test_pruning_four_of_five_channels_leaves_a_fifth_of_the_int8_macs() -> None:
    """The MACs of the head aren't pruned."""
    # 4 · 96 · 0.2 = 76.8 → 77, 153.6 → 154, 307.2 → 307, 614.4 → 614 channels; 2 · c · hidden weights per block
    macs = 64 * 3 * 2 * 96 * 77 + 16 * 3 * 2 * 192 * 154 + 4 * 27 * 2 * 384 * 307 + 3 * 2 * 768 * 614 + 7680
    counted = work(SMALL, 32, "pruned + int8", target=TARGET)

    assert counted.int8_macs == macs
    assert counted.fp32_macs == work(SMALL, 32, "int8", target=TARGET).fp32_macs


@pytest.mark.parametrize("resolution", [32, 64, 224])
@pytest.mark.parametrize("variant", VARIANTS)
def test_macs_of_both_precisions_add_up_to_the_networks(resolution: int, variant: str) -> None:
    """Pruned and unpruned."""
    hidden = pruned_widths(SMALL, TARGET) if variant == "pruned + int8" else None
    counted = work(SMALL, resolution, variant, target=TARGET)  # type: ignore[arg-type]

    total = sum(layer.macs for layer in layers(SMALL, resolution=resolution, hidden_widths=hidden))
    assert counted.fp32_macs + counted.int8_macs == total


@pytest.mark.parametrize("target", [-0.1, 1.0, 1.5])
def test_target_outside_its_range_is_refused(target: float) -> None:
    """The range is [0, 1)."""
    with pytest.raises(ValueError, match="'target' must be in"):
        pruned_widths(SMALL, target)


@pytest.mark.parametrize(
    ("variant", "resolution", "level", "limit", "bound"),
    [
        # 197.85 MB over 0.5 GB/s = 395.7 ms; 177.21 M MACs at 1 GMAC/s = 177.2 ms
        ("fp32", 32, "memory", "reading", 395.70),
        # 8,682.95 M MACs at 1 GMAC/s
        ("fp32", 224, "memory", "computing", 8682.95),
        # 7.334 M at 1 GMAC/s + 169.877 M at 10 = 7.334 + 16.988; 56.49 MB over 0.5 GB/s = 113.0 ms
        ("int8", 32, "memory", "reading", 112.98),
        # 359.35 M at 1 GMAC/s + 8,323.60 M at 10
        ("int8", 224, "memory", "computing", 1191.71),
        # 18.62 MB fit the cache: 9.3 ms at 2 GB/s; 7.334 + 33.978 / 10 = 10.73 ms
        ("pruned + int8", 32, "L1", "computing", 10.73),
    ],
)
def test_bound_is_the_longer_of_reading_and_computing(
    variant: str, resolution: int, level: str, limit: str, bound: float
) -> None:
    """Weights are read from the level that holds them; the times of both precisions are added."""
    row = estimate(BOARD, SMALL, resolution, variant, target=TARGET)  # type: ignore[arg-type]

    assert (row.level, row.limit) == (level, limit)
    assert row.bound_ms == pytest.approx(bound, rel=1e-3)


def test_without_published_rates_no_time_is_expected() -> None:
    """The bound is given all the same."""
    rows = list(estimates([BOARD], SMALL, target=TARGET))

    assert [(row.expected_ms, row.basis) for row in rows] == [(None, None)] * 9


def test_rate_for_fp32_gives_an_expected_time_for_fp32_only() -> None:
    """The expected time isn't below the bound."""
    rate = {"precision": "fp32", "model": "resnet50", "resolution": 224, "runtime": "one", "gmac": 1.0}
    rate |= {"milliseconds": 2000, "derivation": "given", "source": "given"}
    board = Device.model_validate(BOARD.model_dump() | {"achieved": [rate]})
    rows = {(row.variant, row.resolution): row for row in estimates([board], SMALL, target=TARGET)}

    assert rows["fp32", 224].expected_ms == pytest.approx(2 * 8682.95, rel=1e-3)
    assert rows["fp32", 32].expected_ms == rows["fp32", 32].bound_ms  # 354 ms of computing hide behind reading
    assert rows["fp32", 32].basis == "resnet50"
    assert rows["int8", 32].expected_ms is None


@pytest.mark.parametrize(
    ("key", "resolution", "variant", "bound", "expected"),
    [
        # 197.85 MB / 17.1 GB/s = 11.57 ms; 0.1772 / 76.8 = 2.3 ms; 0.1772 / 34.64 = 5.1 ms
        ("raspberry-pi-5", 32, "fp32", 11.57, 11.57),
        # 359.35 M / 76.8 + 8,323.6 M / 307.2 = 4.68 + 27.10; 359.35 / 34.64 + 8,323.6 / 55.83 = 10.37 + 149.08
        ("raspberry-pi-5", 224, "int8", 31.77, 159.45),
        # 359.35 M / 76.8 + 1,664.5 M / 307.2 = 4.68 + 5.42; 10.37 + 1,664.5 / 55.83 = 10.37 + 29.81
        ("raspberry-pi-5", 224, "pruned + int8", 10.10, 40.19),
        # 359.35 M / 28.8 + 1,664.5 M / 57.6 = 12.48 + 28.90; 359.35 / 14.68 + 1,664.5 / 19.62 = 24.48 + 84.85
        ("raspberry-pi-4", 224, "pruned + int8", 41.38, 109.33),
        # 8,682.95 M / 81.6
        ("jetson-orin-nano", 224, "fp32", 106.41, None),
        # 18.62 MB from the L3 at 32 · 2 · 4.2 = 268.8 GB/s
        ("cloud-x86-2core", 32, "pruned + int8", 0.0693, None),
    ],
)
def test_times_of_the_listed_devices_are_those_worked_out_by_hand(
    devices: dict[str, Device], key: str, resolution: int, variant: str, bound: float, expected: float | None
) -> None:
    """The network is ConvNeXt-Small."""
    row = estimate(devices[key], SMALL, resolution, variant, target=TARGET)  # type: ignore[arg-type]

    assert row.bound_ms == pytest.approx(bound, rel=1e-3)
    assert row.expected_ms == (expected and pytest.approx(expected, rel=1e-3))


def test_expected_time_is_never_below_the_bound(devices: dict[str, Device]) -> None:
    """Neither on any device, nor for any resolution, variant or network."""
    rows: list[Estimate] = [
        row
        for architecture in CONVNEXT_VARIANTS.values()
        for row in estimates(devices.values(), architecture, target=TARGET)
    ]

    assert [row for row in rows if row.expected_ms is not None and row.expected_ms < row.bound_ms] == []


def test_neither_int8_nor_pruning_raises_the_bound(devices: dict[str, Device]) -> None:
    """Bounds are sorted on each device at each resolution."""
    for device in devices.values():
        for resolution in (32, 64, 224):
            bounds = [estimate(device, SMALL, resolution, variant, target=TARGET).bound_ms for variant in VARIANTS]
            assert bounds == sorted(bounds, reverse=True), f"{device.key} at {resolution}: {bounds}"


def test_bytes_of_a_tiny_network_are_those_worked_out_by_hand() -> None:
    """It has one block of one channel per stage."""
    tiny = Architecture((1, 1, 1, 1), (1, 1, 1, 1), 0.0)
    # stem 48 + 1 and norm 2; 3 downsamplings of norm 2 and 4 + 1; 4 blocks of depthwise 49 + 1, norm 2,
    # expand 4 + 4, reduce 4 + 1, scale 1; head norm 2 and 10 + 10: 51 + 21 + 264 + 22 + … = 51 + 21 + 4 · 66 + 22
    assert work(tiny, 32, "fp32", target=TARGET).bytes == 4 * (51 + 21 + 4 * 66 + 22)
    assert work(tiny, 32, "int8", target=TARGET).bytes == 4 * (51 + 21 + 4 * 66 + 22) - 3 * (4 * 8 + 10)
