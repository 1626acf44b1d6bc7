"""Metrics of models as published: what they count, and what keeps them from counting something else."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torchvision.models import get_model

from edgeai_repro.claims.schema import Claim
from edgeai_repro.measure import counts
from edgeai_repro.measure.compressed_models import CompressedModels
from edgeai_repro.networks import convnext
from edgeai_repro.networks.variants import CONVNEXT_VARIANTS, OTHER_NETWORKS, layers
from tests.support.factories import claim

AT_224 = {"resolution": [224], "classes": [1000]}


def published(metric: str, model: str, **fields: object) -> Claim:
    """Return a claim on an uncompressed model."""
    return claim(metric=metric, technique="none", models=[model], settings=AT_224, **fields)


def test_params_are_those_of_the_classes_asked_for() -> None:
    """Millions of parameters, as torchvision's own module of 1000 classes has them."""
    (row,) = CompressedModels().measure(published("params", "convnext_tiny"))

    theirs = sum(p.numel() for p in get_model("convnext_tiny", num_classes=1000).parameters())
    assert row.reported.value == pytest.approx(theirs / 1e6)
    assert row.actual is None


@pytest.mark.parametrize("model", CONVNEXT_VARIANTS)
def test_macs_are_the_closed_forms(model: str) -> None:
    """Billions of products of weights; thop's count has the work of LayerNorm in it, and is larger by under 1 %."""
    (row,) = CompressedModels().measure(published("macs", model))

    on_paper = sum(layer.macs for layer in layers(CONVNEXT_VARIANTS[model], resolution=224, num_classes=1000)) / 1e9
    assert row.actual is not None
    assert row.actual.value == pytest.approx(on_paper)
    assert 1.0 < row.reported.value / on_paper < 1.01


@pytest.mark.parametrize("model", ["convnext_atto", "resnet18", "timm:convnext_tiny_hnf", "vit_b_16"])
def test_skeletons_count_as_models_do(model: str) -> None:
    """What is counted by shapes alone is what a model with values gives: parameters, MACs, and thop's report."""
    skeleton = convnext.build_on_meta(model)
    built = convnext.build(model) if model in CONVNEXT_VARIANTS else convnext.build_from_zoo(model)

    found, expected = counts.actual(skeleton, 224), counts.actual(built, 224)
    assert (found.parameters, found.macs) == (expected.parameters, expected.macs)
    assert counts.reported(skeleton, 224) == counts.reported(built, 224)


@pytest.mark.parametrize("model", OTHER_NETWORKS)
def test_every_other_model_is_published(model: str) -> None:
    """Each name that a claim may give is one of torchvision's or timm's, and has an nn.Linear at least."""
    assert 0 < counts.linear_share(convnext.build_on_meta(model, num_classes=1000)) < 1


def test_linear_share_is_of_the_very_type() -> None:
    """Weights and biases of nn.Linear, each once however often it stands there; attention's projections aren't."""
    shared = nn.Linear(3, 3)
    assert counts.linear_share(nn.Sequential(shared, shared, nn.Conv2d(3, 4, 1, bias=False))) == 12 / 24
    assert counts.linear_share(nn.MultiheadAttention(4, 1)) == 0.0


def test_linear_share_is_what_is_lost_from_view() -> None:
    """The reported drop after dynamic quantization is the share of nn.Linear; each figure is in the row."""
    lab = CompressedModels()
    (row,) = lab.measure(claim(metric="linear_share_params", models=["convnext_atto"]))
    (of_bytes,) = lab.measure(claim(metric="linear_share_bytes", models=["convnext_atto"]))

    dense, quantized = lab.profile("convnext_atto"), lab.profile("convnext_atto", "dynamic_quantization")
    drop = 100 * (1 - quantized.reported.parameters / dense.reported.parameters)
    assert row.params["reported_parameters_saved"] == row.params["share_of_linear"] == round(drop, 2)
    assert row.reported.value == 0.0
    bytes_saved = 100 * (1 - quantized.state_dict_bytes / dense.state_dict_bytes)
    assert of_bytes.reported.value == pytest.approx(abs(bytes_saved - 0.75 * drop))


def test_distance_sees_a_layer_that_is_not_linear(monkeypatch: pytest.MonkeyPatch) -> None:
    """Were another share lost from view than that of nn.Linear, the distance would say so."""
    monkeypatch.setattr(counts, "linear_share", lambda _: 0.5)

    (row,) = CompressedModels().measure(claim(metric="linear_share_params", models=["convnext_atto"]))

    assert row.reported.value > 1


def test_others_are_profiled_as_published() -> None:
    """What isn't a ConvNeXt is counted at 224 pixels with 1000 classes."""
    profile = CompressedModels().profile("mobilenet_v3_large")

    theirs = get_model("mobilenet_v3_large", num_classes=1000)
    assert profile.reported.parameters == sum(p.numel() for p in theirs.parameters())
    with torch.device("meta"):
        assert (
            profile.actual.macs
            == counts.actual(convnext.build_on_meta("mobilenet_v3_large", num_classes=1000), 224).macs
        )
