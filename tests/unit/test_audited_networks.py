"""Audits of well-known networks have complete rows."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from edgeai_repro.audit.audit import audit, techniques_of
from edgeai_repro.audit.schema import Audit, Row
from tests.support.audits import row_of

pytestmark = pytest.mark.usefixtures("few_rounds")
# By network: the smallest side in pixels that it accepts, and the percentage of its parameters in nn.Linear.
OTHERS = {
    "resnet18": (32, 4.39),
    "resnet50": (32, 8.02),
    "mobilenet_v3_large": (32, 45.80),
    "efficientnet_b0": (32, 24.22),
    "timm:convnext_tiny_hnf": (32, 2.69),
    "alexnet": (64, 95.96),
    "vit_b_16": (224, 66.35),
    "vgg16": (32, 89.36),
}
CONVNEXTS = {"convnext_tiny": 93.32, "convnext_small": 95.47, "convnext_base": 95.80, "convnext_large": 96.13}
# Each has a test of its own (test_audit_techniques.py) and would take seconds for every network here.
OTHER_TECHNIQUES = ("filter_pruning", "static_quantization", "codebook", "reparameterize")
# Its int8 product takes seconds per image on a CPU without instructions for it.
WITHOUT_KERNEL = "torchao_int8_dynamic"
QUICK = ("resnet18", "resnet50", "mobilenet_v3_large", "efficientnet_b0")


def assert_quantized_as_expected(result: Audit, share: float) -> None:
    """Compare the row of dynamic quantization with the share of nn.Linear, in percent of the parameters."""
    __tracebackhide__ = True
    dense, quantized = result.uncompressed, row_of("dynamic_quantization", result)
    assert dense.parameters is not None
    assert quantized.parameters is not None
    assert 100 * result.shares["linear"] == pytest.approx(share, abs=0.005)
    assert quantized.parameters.actual == dense.parameters.actual
    assert quantized.parameters.reported == round((dense.parameters.actual or 0) * (1 - result.shares["linear"]))
    saved = 100 * (1 - (quantized.bytes or 0) / (dense.bytes or 1))
    assert saved == pytest.approx(0.75 * share, abs=0.5)


def assert_complete(rows: Sequence[Row]) -> None:
    """Fail if a row has a problem or lacks a number."""
    __tracebackhide__ = True
    for row in rows:
        assert row.problem is None, row.technique
        numbers = (row.parameters, row.nonzero_parameters, row.macs, row.bit_operations, row.bytes)
        assert None not in numbers, row.technique


@pytest.mark.usefixtures("undeflated")
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in QUICK else [pytest.mark.slow]) for name in OTHERS]
)
def test_other_networks_are_audited(name: str) -> None:
    """Their rows are complete; structured pruning has tests of its own (test_channel_pruning.py)."""
    side, share = OTHERS[name]
    left_out = [*OTHER_TECHNIQUES, "structured_pruning", "combined"]
    if name not in QUICK:
        left_out.append(WITHOUT_KERNEL)
    result = audit(name, resolution=side, latency=False, settings=dict.fromkeys(left_out, ()))

    assert {row.technique for row in result.rows} == {"none", *techniques_of()} - {*left_out}
    assert_complete(result.rows)
    assert_quantized_as_expected(result, share)
    assert any("dynamic quantization replaces only nn.Linear" in text for text in result.warnings) == (share < 50)


@pytest.mark.slow
@pytest.mark.usefixtures("undeflated")
@pytest.mark.parametrize("name", CONVNEXTS)
def test_convnexts_are_audited(name: str) -> None:
    """torchvision's ConvNeXts have complete rows; only the smallest is pruned, in the least time."""
    left_out = list(OTHER_TECHNIQUES)
    if name != "convnext_tiny":
        left_out += ["unstructured_pruning", "structured_pruning", "combined", WITHOUT_KERNEL]
    result = audit(name, resolution=32, latency=False, settings={technique: [] for technique in left_out})

    assert [row.technique for row in result.rows] == [
        "none",
        *(name for name in techniques_of() if name not in left_out),
    ]
    assert_complete(result.rows)
    assert_quantized_as_expected(result, CONVNEXTS[name])
