"""Metrics of networks count their parameters, MACs and shares of layers, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest
import torch
from torch import nn
from torchvision.models import get_model

from edgeai_repro.claims import registry
from edgeai_repro.claims.entries import Technique
from edgeai_repro.claims.schema import Claim
from edgeai_repro.evidence.measurement import Measurement, Settings
from edgeai_repro.measure import counts
from edgeai_repro.measure.compressed_models import CompressedModels
from edgeai_repro.networks.references import reference
from edgeai_repro.networks.resolve import build
from edgeai_repro.networks.variants import CONVNEXT_VARIANTS, OTHER_NETWORKS, layers
from tests.support.factories import case, claim
from tests.support.unusual import Apply

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
    """They are in millions, with 1000 classes. As many are stored."""
    row = _row(_published("params", "convnext_tiny"))

    network = get_model("convnext_tiny", num_classes=1000)
    assert row.reported.value == pytest.approx(sum(p.numel() for p in network.parameters()) / 1e6)
    assert row.actual == row.reported
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


@pytest.mark.parametrize("metric", ["params", "macs"])
def test_counts_are_those_of_the_network_that_the_technique_leaves(metric: str) -> None:
    """A quantized layer's weights are stored and multiplied, though common counters report neither."""
    models, conditions = CompressedModels(), {"resolution": 32, "classes": 5}
    dense = _row(claim(metric=metric, technique="none", models=["convnext_atto"], conditions=conditions), models)
    quantized = _row(claim(metric=metric, models=["convnext_atto"], conditions=conditions), models)

    assert quantized.actual == dense.actual
    assert quantized.reported.value < 0.2 * dense.reported.value


def test_each_setting_of_the_technique_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A row has the settings that the network was compressed with, and the parameters that are left."""

    def narrowed(network: nn.Module, settings: Sequence[Settings]) -> Iterator[nn.Module]:
        return (nn.Conv2d(3, int(setting["width"]), 1, bias=False) for setting in settings)

    monkeypatch.setitem(registry.TECHNIQUES, "narrowed", Technique("narrowed", "none", ("width",), narrowed, ""))
    given = {"settings": {"width": [2, 4]}}

    rows = CompressedModels().measure(case(claim(metric="params", technique="narrowed", **given))).rows

    assert [(row.settings["width"], row.reported.value) for row in rows] == [(2, 6e-6), (4, 12e-6)]


@pytest.mark.parametrize(("metric", "named"), [("macs", True), ("macs_reduction", True), ("params", False)])
def test_rows_name_the_operators_that_macs_leave_out(
    metric: str, named: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Fourier transform has no rule. Parameters do not depend on it."""

    def transformed(network: nn.Module, settings: Sequence[Settings]) -> Iterator[nn.Module]:
        yield Apply(lambda self, images: torch.fft.rfft(self.inner(images)), inner=network)

    monkeypatch.setitem(registry.TECHNIQUES, "fourier", Technique("fourier", "none", (), transformed, ""))
    row = _row(claim(metric=metric, technique="fourier", models=["convnext_atto"]))

    assert row.uncounted == (("aten::_fft_r2c",) if named else ())


@pytest.mark.parametrize("model", ["convnext_atto", "resnet18", "timm:convnext_tiny_hnf", "vit_b_16"])
def test_network_on_meta_counts_as_one_with_values(model: str) -> None:
    """Parameters and MACs are equal, and so is thop's report."""
    on_meta = build(reference(model), classes=10, device="meta").model
    built = build(reference(model), classes=10).model

    actual, expected = counts.actual(on_meta, 224), counts.actual(built, 224)
    assert (actual.parameters, actual.macs) == (expected.parameters, expected.macs)
    assert counts.reported(on_meta, 224) == counts.reported(built, 224)


@pytest.mark.parametrize("model", OTHER_NETWORKS)
def test_every_other_network_can_be_built_and_has_a_linear_layer(model: str) -> None:
    """Its name is one of torchvision's or timm's."""
    assert 0 < counts.linear_share(build(reference(model), classes=1000, device="meta").model) < 1


def test_linear_share_counts_a_shared_layer_once() -> None:
    """3 × 3 weights and 3 biases are in the layer, 12 weights in the convolution."""
    shared = nn.Linear(3, 3)

    assert counts.linear_share(nn.Sequential(shared, shared, nn.Conv2d(3, 4, 1, bias=False))) == 12 / 24


def test_linear_share_leaves_subclasses_out() -> None:
    """The projections of attention are a subclass of nn.Linear, which dynamic quantization does not replace."""
    assert counts.linear_share(nn.MultiheadAttention(4, 1)) == 0.0


def test_reported_drop_is_the_share_of_linear_layers() -> None:
    """Both figures are notes of the row."""
    models, claim = CompressedModels(), _quantized("linear_share_params")
    row = _row(claim, models)

    networks = models.networks(case(claim))
    dense, quantized = networks.profile("convnext_atto"), networks.profile("convnext_atto", claim.technique)
    drop = 100 * (1 - quantized.reported.parameters / dense.reported.parameters)
    assert row.notes["reported_parameters_saved"] == row.notes["share_of_linear"] == round(drop, 2)
    assert row.reported.value == 0.0


def test_bytes_saved_are_compared_with_three_quarters_of_the_share() -> None:
    """int8 saves three of four bytes."""
    models, claim = CompressedModels(), _quantized("linear_share_bytes")
    row = _row(claim, models)

    networks = models.networks(case(claim))
    dense, quantized = networks.profile("convnext_atto"), networks.profile("convnext_atto", claim.technique)
    share = 100 * (1 - quantized.reported.parameters / dense.reported.parameters)
    bytes_saved = 100 * (1 - quantized.state_dict_bytes / dense.state_dict_bytes)
    assert row.reported.value == pytest.approx(abs(bytes_saved - 0.75 * share))


def test_distance_to_a_wrong_share_is_not_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    """This is the control of the tests above: the metric sees that another share than nn.Linear's is lost."""
    monkeypatch.setattr(counts, "linear_share", lambda _: 0.5)

    assert _row(_quantized("linear_share_params")).reported.value > 1


@pytest.mark.parametrize(("resolution", "classes"), [(224, 1000), (64, 7)])
def test_network_has_the_image_and_the_classes_of_the_claim(resolution: int, classes: int) -> None:
    """Its name implies neither."""
    counted = claim(metric="macs", models=["resnet18"], conditions={"resolution": resolution, "classes": classes})

    profile = CompressedModels().networks(case(counted)).profile("resnet18")

    network = get_model("resnet18", num_classes=classes)
    assert profile.actual.parameters == sum(p.numel() for p in network.parameters())
    assert profile.actual.macs == counts.actual(network, resolution).macs
