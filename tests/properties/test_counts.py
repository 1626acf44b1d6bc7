"""The counters agree with each other and with plain computing, on random networks."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from edgeai_repro.compress.quantization import quantize
from edgeai_repro.compress.unstructured import prune
from edgeai_repro.measure.counts import actual, reported
from tests.support.counting import SIDE, assert_counters_agree, networks

EXAMPLES = settings(max_examples=25, deadline=None)


@EXAMPLES
@given(networks(), st.sampled_from([0.0, 0.3, 0.9]))
def test_counters_agree(net: nn.Sequential, sparsity: float) -> None:
    """For groups, strides, dilation and depthwise convolutions, dense and pruned."""
    assert_counters_agree(prune(net, sparsity), actual, reported)


@EXAMPLES
@given(networks())
def test_quantization_changes_only_bit_operations(net: nn.Sequential) -> None:
    """Actual parameters and MACs stay the same; the bit operations of Linear become a sixteenth."""
    before, after = actual(net, SIDE), actual(quantize(net), SIDE)

    assert (before.parameters, before.macs) == (after.parameters, after.macs)
    assert before.bit_operations - after.bit_operations == net[-1].weight.numel() * (32 * 32 - 8 * 8)


@EXAMPLES
@given(networks())
def test_reported_counts_miss_exactly_the_quantized_layer(net: nn.Sequential) -> None:
    """Its weights, its bias and its MACs."""
    before, after = reported(net, SIDE), reported(quantize(net), SIDE)

    linear = net[-1]
    assert before.parameters - after.parameters == linear.weight.numel() + linear.bias.numel()
    assert before.macs - after.macs == linear.weight.numel()


@st.composite
def layers(draw: st.DrawFn) -> tuple[nn.Module, torch.Tensor]:
    """Draw a convolution of 1 to 3 dimensions, transposed or not, or a linear layer, and an input, on meta."""
    batch, dims = draw(st.integers(1, 3)), draw(st.integers(0, 3))
    if dims == 0:
        shape = [batch, *draw(st.lists(st.integers(1, 5), max_size=2)), draw(st.integers(1, 9))]
        return nn.Linear(shape[-1], draw(st.integers(1, 9)), device="meta"), torch.empty(shape, device="meta")
    groups, kernel, stride = draw(st.integers(1, 3)), draw(st.integers(1, 3)), draw(st.integers(1, 3))
    channels, width = groups * draw(st.integers(1, 3)), groups * draw(st.integers(1, 3))
    name = f"Conv{'Transpose' if draw(st.booleans()) else ''}{dims}d"
    layer = getattr(nn, name)(channels, width, kernel, stride, groups=groups, device="meta")
    return layer, torch.empty(
        [batch, channels, *draw(st.lists(st.integers(3, 6), min_size=dims, max_size=dims))], device="meta"
    )


@settings(max_examples=60, deadline=None)
@given(layers())
def test_layers_of_any_shape_are_counted_as_by_torch(drawn: tuple[nn.Module, torch.Tensor]) -> None:
    """Half of FlopCounterMode's operations, and the sum of numel."""
    layer, features = drawn
    with FlopCounterMode(display=False) as counter:
        layer(features)
    counts = actual(layer, inputs=(features,))

    assert counts.macs == counter.get_total_flops() / 2
    assert counts.parameters == sum(parameter.numel() for parameter in layer.parameters())
    assert counts.bit_operations == 1024 * counts.macs
