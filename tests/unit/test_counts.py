"""Counting compressed and unusual networks: each parameter and each MAC once."""

from __future__ import annotations

import pytest
import torch
import torchvision
from torch import nn
from torchvision.models.convnext import LayerNorm2d

from edgeai_repro.compress.quantization import quantize
from edgeai_repro.compress.unstructured import prunable, prune
from edgeai_repro.measure.counts import actual, by_kind, count, reported
from edgeai_repro.networks.convnext import build
from edgeai_repro.networks.variants import CONVNEXT_VARIANTS, layers
from tests.support.counting import flop_counter_macs


def test_unstructured_pruning_reduces_only_nonzero_macs() -> None:
    """If 80 % of each layer are zero, all MACs are still executed, a fifth of them on weights that are not 0."""
    model = build("convnext_atto")
    before = actual(model)
    for weight in prunable(model):
        values = weight.detach().view(-1)
        values[: round(0.8 * len(values))] = 0.0
    after = actual(model)

    assert (before.parameters, before.macs) == (after.parameters, after.macs)
    assert after.nonzero_macs == pytest.approx(0.2 * before.macs, rel=1e-3)


def test_zeros_of_packed_weights_are_counted() -> None:
    """They are the pruned weights and those that quantization rounds to 0."""
    quantized = quantize(prune(nn.Sequential(nn.Flatten(), nn.Linear(3 * 64, 5)), 0.5))
    zeros = int((quantized[1].weight().dequantize() == 0).sum())

    counts = actual(quantized, 8)
    assert zeros >= 480
    assert counts.nonzero_macs == 3 * 64 * 5 - zeros


def test_each_parameter_and_mac_has_one_kind() -> None:
    """A quantized Linear is still "linear"."""
    model = build("convnext_atto")
    kinds, after = by_kind(model), by_kind(quantize(model))

    for kind, of_layers in (("conv", ("conv", "depthwise")), ("linear", ("linear",)), ("other", ("norm", "scale"))):
        of_kind = [layer for layer in layers(CONVNEXT_VARIANTS["convnext_atto"]) if layer.kind in of_layers]
        assert sum(layer.parameters for layer in of_kind) == kinds[kind].parameters == after[kind].parameters
        assert sum(layer.macs for layer in of_kind) == kinds[kind].macs == after[kind].macs
    assert after["linear"].bit_operations == after["linear"].macs * 64
    assert after["conv"].bit_operations == after["conv"].macs * 1024


def test_counting_does_not_change_the_model() -> None:
    """No buffer and no hook is left, and the mode is the same, even in training mode."""
    model = build("convnext_atto").train()
    names = list(model.state_dict())

    count(model)

    assert names == list(model.state_dict())
    assert model.training
    assert not any(module._forward_hooks for module in model.modules())


def test_a_shared_parameter_counts_once_and_its_macs_twice() -> None:
    """Two layers with one weight."""
    first, second = nn.Conv2d(3, 3, 1, bias=False), nn.Conv2d(3, 3, 1, bias=False)
    second.weight = first.weight
    counts = actual(nn.Sequential(first, second), 4)

    assert (counts.parameters, counts.macs) == (9, 2 * 9 * 16)


def test_macs_of_a_layer_that_is_called_twice_count_twice() -> None:
    """Its parameters count once, quantized or not."""
    for net in (nn.Sequential(nn.Linear(4, 4, bias=False)), quantize(nn.Sequential(nn.Linear(4, 4, bias=False)))):
        counts = actual(nn.Sequential(net[0], net[0]), 4)
        assert (counts.parameters, counts.macs) == (16, 2 * 16 * 12)


def test_other_parameters_count_without_macs() -> None:
    """The parameters of a norm."""
    counts = by_kind(LayerNorm2d(3), 4)

    assert (counts["other"].parameters, counts["other"].nonzero_parameters, counts["other"].macs) == (6, 3, 0)


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("stride", [1, 2])
def test_transposed_convolutions_are_counted_as_by_torch(groups: int, stride: int) -> None:
    """thop uses the pixels of the output instead of the input, so its count is too high by their ratio."""
    net = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ConvTranspose2d(4, 6, 3, stride, groups=groups))
    side = (8 - 1) * stride + 3
    stem, ours = 3 * 4 * 64, actual(net, 8).macs

    assert ours == flop_counter_macs(net, 8) == stem + 64 * 4 * 6 * 9 // groups
    assert (reported(net, 8).macs - stem) * 64 == (ours - stem) * side**2


def test_a_strided_grouped_conv1d_is_counted_as_by_torch() -> None:
    """30 positions, 6 channels, 5 taps."""
    net = nn.Sequential(nn.Flatten(2), nn.Conv1d(3, 6, 5, stride=2, groups=3))

    assert actual(net, 8).macs == flop_counter_macs(net, 8) == 30 * 6 * 5


def test_attention_is_counted_with_its_products_of_activations() -> None:
    """In a vision transformer; the projections are counted as by torch."""
    net = torchvision.models.VisionTransformer(32, 8, 2, 2, 16, 32, num_classes=10).eval()
    kinds = by_kind(net)

    products = 2 * (2 * 17 * 17 * 16)  # in two blocks: queries by keys, and the result by values
    # FlopCounterMode counts these products in torch 2.15, but not in 2.10.
    assert actual(net).macs - flop_counter_macs(net, 32) in (0, products)
    assert kinds["attention"].macs == kinds["attention"].activation_macs == products
    assert actual(net).parameters == sum(parameter.numel() for parameter in net.parameters())


def test_cross_attention_is_counted() -> None:
    """The queries are one row of the image, keys and values all eight."""

    class Cross(nn.Module):
        """A layer with fewer queries than keys."""

        def __init__(self) -> None:
            super().__init__()
            self.attention = nn.MultiheadAttention(8, 2)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            """Attend with the first row only."""
            rows = images[0, 0]
            return self.attention(rows[:1], rows, rows)[0]

    counts = actual(Cross(), 8)
    assert counts.activation_macs == 2 * 8 * 8
    assert counts.macs == counts.activation_macs + (2 * 1 + 2 * 8) * 8 * 8


def test_alexnet_computes_in_convolutions_and_stores_in_linear_layers() -> None:
    """Over 90 % of the MACs and of the parameters, as in figure 1 of the paper."""
    kinds = by_kind(torchvision.models.alexnet(num_classes=10), 224)

    assert kinds["conv"].macs > 0.9 * (kinds["conv"].macs + kinds["linear"].macs)
    assert kinds["linear"].parameters > 0.9 * (kinds["conv"].parameters + kinds["linear"].parameters)


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_weight_in_a_buffer_that_an_operator_repeats_counts_once(device: str) -> None:
    """A product with a transposed input repeats the 8 × 8 matrix for each block of it; 64 values are stored."""

    class Transform(nn.Module):
        """A transform of blocks of 8 × 8 pixels, as in JPEG, whose matrix is no parameter."""

        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("matrix", torch.eye(8, device=device))

        def forward(self, blocks: torch.Tensor) -> torch.Tensor:
            return nn.functional.linear(blocks.transpose(-1, -2), self.matrix)

    counted = actual(Transform(), inputs=(torch.ones(1, 5, 3, 8, 8, device=device),))

    assert (counted.parameters, counted.macs) == (64, 5 * 3 * 8 * 64)
