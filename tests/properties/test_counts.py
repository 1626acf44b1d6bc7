"""The counters agree with each other and with plain computing, on random networks."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

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
