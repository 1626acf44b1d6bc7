"""The audit applies every technique with default settings, and says which."""

from __future__ import annotations

import pytest
from torch import nn

from edgeai_repro.audit.audit import audit
from edgeai_repro.audit.schema import Audit, Row
from edgeai_repro.audit.table import render
from edgeai_repro.networks import cifar

LEFT_OUT = dict.fromkeys(("dynamic_quantization", "unstructured_pruning", "structured_pruning", "combined"), ())


@pytest.fixture(scope="module")
def resnet20() -> Audit:
    """The audit of ResNet-20 at 32 pixels, without the techniques that have their own tests."""
    return audit(cifar.build("resnet20"), resolution=32, latency=False, settings=LEFT_OUT)


def _row(technique: str, result: Audit) -> Row:
    return next(row for row in result.rows if row.technique == technique)


def test_filters_are_cut_at_half_of_each_layer(resnet20: Audit) -> None:
    """The parameters are those of blocks with half of the hidden filters, in closed form."""
    row = _row("filter_pruning", resnet20)

    stem_and_head = 3 * 16 * 9 + 2 * 16 + 64 * 10 + 10
    blocks = [(16, 8, 16)] * 3 + [(16, 16, 32)] + [(32, 16, 32)] * 2 + [(32, 32, 64)] + [(64, 32, 64)] * 2
    expected = stem_and_head + sum(9 * (i * h + h * o) + 2 * (h + o) for i, h, o in blocks)
    assert row.settings == {"rate": 0.5, "ranking": "l1"}
    assert row.parameters is not None
    assert row.parameters.actual == expected


def test_int8_is_counted_and_calibrated_at_the_size_of_the_image(resnet20: Audit) -> None:
    """All MACs remain, in int8; the row says that the images were random, and which layers stayed fp32."""
    dense, row = resnet20.uncompressed, _row("static_quantization", resnet20)

    assert row.settings == {"random_images": 8, "pixels": 32}
    assert row.notes == {"layers_in_fp32": "0 of 20"}
    assert row.macs is not None
    assert dense.macs is not None
    assert row.macs.actual == dense.macs.actual
    assert row.macs.reported == 0
    assert (row.bytes or 0) < 0.3 * (dense.bytes or 0)


def test_a_code_is_noted_next_to_the_file(resnet20: Audit) -> None:
    """The file of the decoded network has the same bytes as before; the code is a fraction of it."""
    dense, row = resnet20.uncompressed, _row("codebook", resnet20)

    assert row.settings == {"density": 0.1, "conv_bits": 8, "linear_bits": 5, "index_bits": 4}
    assert row.bytes == dense.bytes
    assert 10 < (dense.bytes or 0) / int(row.notes["code_bytes"]) < 20
    assert f"code bytes {row.notes['code_bytes']}" in render(resnet20, colour=False, width=200)


def test_techniques_for_other_networks_say_so_in_a_line(resnet20: Audit) -> None:
    """ResNet-20 has no branches to merge."""
    assert _row("reparameterize", resnet20).problem == (
        "'reparameterize' must be applied to a network with branches that timm can merge "
        "(got ResNetCifar, which has none); RepVGG and MobileOne have some"
    )


def test_a_training_graph_is_deployed() -> None:
    """A block of RepVGG becomes one convolution with a bias."""
    from timm.models.byobnet import RepVggBlock

    network = nn.Sequential(RepVggBlock(3, 8, 3)).eval()
    row = _row("reparameterize", audit(network, resolution=8, latency=False, settings=LEFT_OUT))

    assert row.problem is None
    assert row.parameters is not None
    assert row.parameters.actual == 3 * 8 * 9 + 8
