"""Quantities of one and of two networks: what counters report, how papers counted, and what is there."""

from __future__ import annotations

from typing import Any

import pytest

from edgeai_repro.claims.schema import ClaimCase
from edgeai_repro.errors import UserError
from edgeai_repro.evidence.measurement import Measurement
from edgeai_repro.measure.compressed_models import CompressedModels
from edgeai_repro.measure.size import state_dict_bytes
from edgeai_repro.networks.references import reference
from edgeai_repro.networks.resolve import build
from tests.support.factories import case, claim

AT_224 = {"resolution": 224, "classes": 1000}
AT_32 = {"resolution": 32, "classes": 10}
FULL = [64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 512, 512, 512, "M", 512, 512, 512]
GAP = [32, 32, "M", 64, 64, "M", 128, 128, 128, "M", 256, 256, 256, "M", 512, 512, 512]
HRANK_110 = {
    "family": "resnet_cifar",
    "depth": 110,
    "first": 15,
    "hidden": ["10x18", "20x18", "39x18"],
    "outputs": ["10x18", "20x18", "39x18"],
}
NETWORKS: dict[str, Any] = {
    "gap": {"family": "vgg", "channels": GAP, "head": "global_pooling"},
    "full-gap": {"family": "vgg", "channels": FULL, "head": "global_pooling"},
    "hidden": {**HRANK_110, "cut": "hidden"},
    "scattered": {**HRANK_110, "cut": "blocks"},
    "hrank": {"family": "alternatives", "by": "reading", "of": {"hidden": "hidden", "scattered": "scattered"}},
    "pinned": {"family": "torchvision", "name": "resnet18", "resolution": 64, "classes": 7},
    "hrank-vgg": {
        "family": "vgg_cifar",
        "bias": True,
        "channels": [4, 32, "M", 64, 64, "M", 128, 128, 128, "M", 52, 52, 52, "M", 52, 103, 103],
    },
    "vgg-with-biases": {"family": "vgg_cifar", "bias": True, "channels": FULL},
}


def _case(metric: str, model: str, **fields: Any) -> ClaimCase:
    return case(claim(metric=metric, technique="none", models=[model], **fields), networks=NETWORKS)


def _row(metric: str, model: str, conditions: dict[str, Any], **fields: Any) -> Measurement:
    """Return the only row of a claim on an uncompressed network."""
    (row,) = CompressedModels().measure(_case(metric, model, conditions=conditions, **fields)).rows
    return row


def _values(row: Measurement) -> tuple[float, float | None]:
    return row.reported.value, None if row.actual is None else row.actual.value


# Expected values in closed form: parameters and MACs as published or derived by others.
@pytest.mark.parametrize(
    ("metric", "model", "fields", "expected"),
    [
        ("params_ratio", "squeezenet1_0", {"against": "alexnet"}, 61_100_840 / 1_248_424),
        ("macs_ratio", "squeezenet1_0", {"against": "squeezenet1_1"}, 349_151_936 / 818_924_576),
        ("params_share", "squeezenet1_0", {"against": "alexnet"}, 100 * 1_248_424 / 61_100_840),
        ("params_reduction", "gap", {"against": "vgg16"}, 100 * (1 - 8_322_696 / 138_357_544)),
        ("macs_reduction", "gap", {"against": "vgg16"}, 100 * (1 - 4_668_084_224 / 15_470_264_320)),
    ],
)
def test_two_networks_are_compared(metric: str, model: str, fields: dict[str, Any], expected: float) -> None:
    """A ratio is that of the other network to the model."""
    row = _row(metric, model, AT_224, **fields)

    assert row.actual is not None
    assert row.actual.value == pytest.approx(expected)


def test_size_ratio_is_that_of_the_files() -> None:
    """The file of each has its container."""
    sizes = [state_dict_bytes(build(reference(f"squeezenet1_{n}"), classes=1000).model) for n in (0, 1)]

    assert (
        _row("size_ratio", "squeezenet1_1", AT_224, against="squeezenet1_0").reported.value == sizes[0] / sizes[1]
    )


def test_share_of_a_cause_is_beside_the_whole_change() -> None:
    """ThiNet-GAP is 16.63 times smaller, of which pruning its filters is 1.83 times."""
    row = _row("params_ratio", "gap", {**AT_224, "biases": "left out"}, against="vgg16", without="full-gap")

    assert _values(row) == pytest.approx((138_344_128 / 8_318_816, 15_222_464 / 8_318_816), rel=1e-9)


@pytest.mark.parametrize(
    ("metric", "model", "conditions", "expected"),
    [
        ("params", "gap", {"biases": "left out"}, (8.322696, 8.318816)),
        ("params", "mobilenet_v2", {"batchnorm": "left out"}, (3.504872, 3.470760)),
        ("params", "mobilenet_v2", {"batchnorm": "folded"}, (3.504872, 3.487816)),
        ("macs", "vgg16", {"linear_layers": "left out"}, (15.470314496, 15.346630656)),
        ("macs", "gap", {"operations_per_mac": 2}, (9.336370176, 9.336168448)),
    ],
)
def test_parts_that_a_paper_may_not_count_are_left_out_of_the_actual_value(
    metric: str, model: str, conditions: dict[str, Any], expected: tuple[float, float]
) -> None:
    """The reported value is the counter's in any case."""
    assert _values(_row(metric, model, {**AT_224, **conditions})) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("unit", "bytes_per_unit"), [("MB", 1e6), ("MiB", 2**20)])
def test_size_is_in_the_unit_of_the_claim(unit: str, bytes_per_unit: float) -> None:
    """The reported size has the file's container, the actual one only values."""
    row = _row("size", "squeezenet1_0", {**AT_224, "unit": unit})

    assert row.actual is not None
    assert row.actual.value == 4 * 1_248_424 / bytes_per_unit
    assert 0 < row.reported.value - row.actual.value < 20_000 / bytes_per_unit


@pytest.mark.parametrize("reading", ["hidden", "scattered"])
def test_hrank_counts_outputs_only(reading: str) -> None:
    """Its script prints 1,054,847 of 1,719,866 and 156,884,618 of 252,887,690, whatever network is built."""
    conditions = {**AT_32, "reading": reading, "convention": "hrank"}
    parameters, macs = (
        _row(metric, "hrank", conditions, against="resnet110").reported.value
        for metric in ("params_reduction", "macs_reduction")
    )

    assert parameters == 100 * (1_719_866 - 1_054_847) / 1_719_866
    assert macs == 100 * (252_887_690 - 156_884_618) / 252_887_690


def test_hrank_counts_the_biases_of_a_vgg() -> None:
    """Its script of April 2020 prints 2,923,064 and 109,090,314."""
    conditions = {**AT_32, "convention": "hrank"}

    assert _row("params", "hrank-vgg", conditions, against="vgg-with-biases").reported.value == 2.923064
    assert _row("macs", "hrank-vgg", conditions, against="vgg-with-biases").reported.value == 0.109090314


@pytest.mark.parametrize(
    ("network", "dense", "cut"),
    [
        ("resnet20", 40_550_400, 18_667_930),
        ("resnet56", 125_485_056, 59_436_564),
        ("resnet110", 252_887_040, 120_589_517),
    ],
)
def test_fpgm_counts_real_numbers_of_filters(network: str, dense: int, cut: int) -> None:
    """The numbers are those that its script prints."""
    conditions = {**AT_32, "convention": "fpgm", "kept": 0.6}
    row = _row("macs_reduction", network, conditions, against=network)

    assert row.reported.value == pytest.approx(100 * (dense - cut) / dense, abs=1e-5)


def test_convention_without_the_unpruned_network_is_refused() -> None:
    """The message names the key."""
    with pytest.raises(UserError, match="'against' is missing: convention 'hrank' counts from it"):
        _row("params", "hidden", {**AT_32, "convention": "hrank"})


def test_network_may_have_its_own_image_and_classes() -> None:
    """They are notes of the row, because its conditions are the claim's."""
    pinned = CompressedModels().networks(_case("macs", "pinned", conditions=AT_224)).profile("pinned")
    row = _row("macs", "pinned", AT_224)
    own = CompressedModels().networks(_case("macs", "resnet18", conditions={"resolution": 64, "classes": 7}))

    assert pinned.actual == own.profile("resnet18").actual
    assert row.notes == {"resolution": "64", "classes": "7"}
