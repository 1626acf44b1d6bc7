"""Properties for every network and every setting: sparsity, the bound of int8, and saved models."""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from edgeai_repro.compress.quantization import quantize
from edgeai_repro.compress.saved_models import load, save
from edgeai_repro.compress.unstructured import prunable, prune, sweep
from edgeai_repro.measure.size import state_dict_bytes, stored_tensors
from edgeai_repro.networks.convnext import build, random_images
from tests.support.counting import assert_sparsity, networks
from tests.support.helpers import assert_same_outputs, awaken

SPARSITY = st.floats(0.0, 1.0)


@settings(max_examples=60, deadline=None)
@given(networks(), SPARSITY, st.sampled_from([None, 1.0, 0.05]))
def test_a_pruned_network_has_the_given_sparsity(net: nn.Sequential, sparsity: float, step: float | None) -> None:
    """Exactly, even with many equal weights and many zeros."""
    if step is not None:  # weights on a grid: many are equal, and with a step of 1.0 nearly all are 0
        for weight in prunable(net):
            weight.detach().div_(step).round_().mul_(step)

    assert_sparsity(net, sparsity, prune)


@settings(max_examples=25, deadline=None)
@given(networks(), st.lists(SPARSITY, min_size=1, max_size=5))
def test_sweep_equals_pruning_to_each_sparsity(net: nn.Sequential, sparsities: list[float]) -> None:
    """For any sparsities in any order."""
    swept = list(sweep(net, sparsities))

    assert sparsities == [sparsity for sparsity, _ in swept]
    for sparsity, model in swept:
        single = prune(net, sparsity)
        assert all(map(torch.equal, prunable(single), prunable(model)))


@settings(max_examples=25, deadline=None)
@given(networks(), SPARSITY)
def test_int8_saves_at_most_three_quarters(net: nn.Sequential, sparsity: float) -> None:
    """Of the saved file and of its tensors: four bytes become one, and biases stay in fp32."""
    model = prune(net, sparsity)
    quantized = quantize(model)
    before, after = (
        sum(tensor.numel() * tensor.element_size() for tensor in stored_tensors(network))
        for network in (model, quantized)
    )

    assert after > before / 4
    assert state_dict_bytes(quantized) > state_dict_bytes(model) / 4


@settings(max_examples=10, deadline=None)
@given(
    st.lists(st.integers(1, 24), min_size=12, max_size=12),
    st.sampled_from([1, 2, 4]),
    st.integers(1, 20),
    SPARSITY,
    st.booleans(),
)
def test_outputs_of_saved_and_rebuilt_models_are_equal(
    widths: list[int], stem_stride: int, classes: int, sparsity: float, int8: bool
) -> None:
    """Bit for bit, for any widths, stem, classes and sparsity, quantized or not."""
    model = awaken(build("convnext_atto", num_classes=classes, stem_stride=stem_stride, hidden_widths=widths))
    compressed = quantize(prune(model, sparsity)) if int8 else prune(model, sparsity)
    with tempfile.TemporaryDirectory() as folder:
        rebuilt = load(save(compressed, "convnext_atto", "combined", {"sparsity": sparsity}, root=Path(folder)))

    assert_same_outputs(compressed, rebuilt, random_images(1), tolerance=0.0)
