"""What holds for every network and every setting: sparsity, int8's bound, and models that come back."""

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
METHODS, SCOPES = st.sampled_from(["magnitude", "random"]), st.sampled_from(["global", "layer"])


@settings(max_examples=60, deadline=None)
@given(networks(), SPARSITY, METHODS, SCOPES, st.sampled_from([None, 1.0, 0.05]))
def test_the_sparsity_asked_is_the_sparsity_got(
    net: nn.Sequential, sparsity: float, method: str, scope: str, step: float | None
) -> None:
    """By every method and scope exactly the zeros asked are there, with many ties and zeros too."""
    if step is not None:  # weights on a grid: ties, and at 1.0 nearly all of them are 0 before
        for weight in prunable(net):
            weight.detach().div_(step).round_().mul_(step)

    assert_sparsity(net, sparsity, prune, method=method, scope=scope)


@settings(max_examples=25, deadline=None)
@given(networks(), st.lists(SPARSITY, min_size=1, max_size=5), METHODS, SCOPES)
def test_a_sweep_is_as_many_prunings(net: nn.Sequential, sparsities: list[float], method: str, scope: str) -> None:
    """Each model of a sweep is the one that pruning to its sparsity gives."""
    swept = list(sweep(net, sparsities, method=method, scope=scope))

    assert sparsities == [sparsity for sparsity, _ in swept]
    for sparsity, model in swept:
        single = prune(net, sparsity, method=method, scope=scope)
        assert all(map(torch.equal, prunable(single), prunable(model)))


@settings(max_examples=25, deadline=None)
@given(networks(), SPARSITY)
def test_int8_saves_at_most_three_quarters(net: nn.Sequential, sparsity: float) -> None:
    """Neither the saved file nor its tensors lose more than 75 %: four bytes become one, and the biases stay."""
    model = prune(net, sparsity)
    quantized = quantize(model)
    before, after = (
        sum(tensor.numel() * tensor.element_size() for tensor in stored_tensors(each))
        for each in (model, quantized)
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
def test_saved_and_rebuilt_models_answer_alike(
    widths: list[int], stem_stride: int, classes: int, sparsity: float, int8: bool
) -> None:
    """Of any widths, stem and classes, pruned and quantized or not: the outputs are the same to the bit."""
    model = awaken(build("convnext_atto", num_classes=classes, stem_stride=stem_stride, hidden_widths=widths))
    compressed = quantize(prune(model, sparsity)) if int8 else prune(model, sparsity)
    with tempfile.TemporaryDirectory() as folder:
        rebuilt = load(save(compressed, "convnext_atto", "combined", {"sparsity": sparsity}, root=Path(folder)))

    assert_same_outputs(compressed, rebuilt, random_images(1), tolerance=0.0)
