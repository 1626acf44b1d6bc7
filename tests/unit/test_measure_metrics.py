"""Metrics of networks count their parameters, MACs and shares of layers, and nothing else."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torchvision.models import get_model

from edgeai_repro.claims.schema import Claim
from edgeai_repro.evidence.measurement import Measurement
from edgeai_repro.measure import counts
from edgeai_repro.measure.compressed_models import CompressedModels
from edgeai_repro.networks import convnext
from edgeai_repro.networks.variants import CONVNEXT_VARIANTS, OTHER_NETWORKS, layers
from tests.support.factories import case, claim

AT_224 = {"resolution": [224], "classes": [1000]}


def _published(metric: str, model: str) -> Claim:
    """Return a claim on an uncompressed network with ImageNet's images and classes."""
    return claim(metric=metric, technique="none", models=[model], conditions=AT_224)


def _quantized(metric: str) -> Claim:
    """Return a claim on dynamic quantization of convnext_atto."""
    return claim(metric=metric, models=["convnext_atto"])


def _row(claim: Claim, models: CompressedModels | None = None) -> Measurement:
    """Return the only row of a claim."""
    (row,) = (models or CompressedModels()).measure(case(claim)).rows
    return row


def test_params_are_those_of_torchvisions_network() -> None:
    """They are in millions, with 1000 classes. There is no other actual quantity."""
    row = _row(_published("params", "convnext_tiny"))

    network = get_model("convnext_tiny", num_classes=1000)
    assert row.reported.value == pytest.approx(sum(p.numel() for p in network.parameters()) / 1e6)
    assert row.actual is None
    assert row.conditions == {"resolution": 224, "classes": 1000}


@pytest.mark.parametrize("model", CONVNEXT_VARIANTS)
def test_macs_are_those_of_the_closed_form(model: str) -> None:
    """They are in billions. thop adds the operations of LayerNorm and so reports less than 1 % more."""
    row = _row(_published("macs", model))

    by_layer = layers(CONVNEXT_VARIANTS[model], resolution=224, num_classes=1000)
    closed_form = sum(layer.macs for layer in by_layer) / 1e9
    assert row.actual is not None
    assert row.actual.value == pytest.approx(closed_form)
    assert 1.0 < row.reported.value / closed_form < 1.01


@pytest.mark.parametrize("model", ["convnext_atto", "resnet18", "timm:convnext_tiny_hnf", "vit_b_16"])
def test_network_on_meta_counts_as_one_with_values(model: str) -> None:
    """Parameters and MACs are equal, and so is thop's report."""
    on_meta = convnext.build_on_meta(model)
    built = convnext.build(model) if model in CONVNEXT_VARIANTS else convnext.build_from_zoo(model)

    actual, expected = counts.actual(on_meta, 224), counts.actual(built, 224)
    assert (actual.parameters, actual.macs) == (expected.parameters, expected.macs)
    assert counts.reported(on_meta, 224) == counts.reported(built, 224)


@pytest.mark.parametrize("model", OTHER_NETWORKS)
def test_every_other_network_can_be_built_and_has_a_linear_layer(model: str) -> None:
    """Its name is one of torchvision's or timm's."""
    assert 0 < counts.linear_share(convnext.build_on_meta(model, num_classes=1000)) < 1


def test_linear_share_counts_a_shared_layer_once() -> None:
    """3 × 3 weights and 3 biases are in the layer, 12 weights in the convolution."""
    shared = nn.Linear(3, 3)

    assert counts.linear_share(nn.Sequential(shared, shared, nn.Conv2d(3, 4, 1, bias=False))) == 12 / 24


def test_linear_share_leaves_subclasses_out() -> None:
    """The projections of attention are a subclass of nn.Linear, which dynamic quantization does not replace."""
    assert counts.linear_share(nn.MultiheadAttention(4, 1)) == 0.0


def test_reported_drop_is_the_share_of_linear_layers() -> None:
    """Both figures are notes of the row."""
    models = CompressedModels()
    row = _row(_quantized("linear_share_params"), models)

    dense, quantized = models.profile("convnext_atto"), models.profile("convnext_atto", "dynamic_quantization")
    drop = 100 * (1 - quantized.reported.parameters / dense.reported.parameters)
    assert row.notes["reported_parameters_saved"] == row.notes["share_of_linear"] == round(drop, 2)
    assert row.reported.value == 0.0


def test_bytes_saved_are_compared_with_three_quarters_of_the_share() -> None:
    """int8 saves three of four bytes."""
    models = CompressedModels()
    row = _row(_quantized("linear_share_bytes"), models)

    dense, quantized = models.profile("convnext_atto"), models.profile("convnext_atto", "dynamic_quantization")
    share = 100 * (1 - quantized.reported.parameters / dense.reported.parameters)
    bytes_saved = 100 * (1 - quantized.state_dict_bytes / dense.state_dict_bytes)
    assert row.reported.value == pytest.approx(abs(bytes_saved - 0.75 * share))


def test_distance_to_a_wrong_share_is_not_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    """This is the control of the tests above: the metric sees that another share than nn.Linear's is lost."""
    monkeypatch.setattr(counts, "linear_share", lambda _: 0.5)

    assert _row(_quantized("linear_share_params")).reported.value > 1


def test_other_networks_are_profiled_at_224_pixels_with_1000_classes() -> None:
    """ConvNeXts have CIFAR-10's images and classes instead."""
    profile = CompressedModels().profile("mobilenet_v3_large")

    network = get_model("mobilenet_v3_large", num_classes=1000)
    assert profile.reported.parameters == sum(p.numel() for p in network.parameters())
    with torch.device("meta"):
        on_meta = convnext.build_on_meta("mobilenet_v3_large", num_classes=1000)
        assert profile.actual.macs == counts.actual(on_meta, 224).macs
