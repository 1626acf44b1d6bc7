"""Counting: the design's facts, every difference between counters as an equation, and odd networks."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import pytest
import torch
import torchvision
from torch import nn
from torchvision.models.convnext import LayerNorm2d

from edgeai_repro.compress.quantization import quantize
from edgeai_repro.compress.unstructured import prune
from edgeai_repro.measure.counts import actual, by_kind, reported
from edgeai_repro.measure.size import state_dict_bytes
from edgeai_repro.networks.convnext import build, clone_sharing_tensors, random_images
from edgeai_repro.networks.variants import CONVNEXT_VARIANTS, layers
from tests.support.counting import flop_counter_macs, thops_own


@dataclass(frozen=True)
class Fact:
    """A row of DESIGN's table: parameters and thop MACs before and after, percentages, megabytes."""

    name: str
    parameters: int
    parameters_after: int
    parameters_saved: float
    macs: float
    macs_after: float
    macs_saved: float
    megabytes: float
    megabytes_after: float
    saved: float


FACTS = [
    Fact("convnext_tiny", 27_827_818, 1_908_480, 93.14, 91.1, 6.2, 93.24, 111.4, 33.7, 69.70),
    Fact("convnext_small", 49_462_378, 2_274_816, 95.40, 177.5, 7.6, 95.71, 198.0, 56.7, 71.38),
]


def reduction(before: float, after: float) -> float:
    """The reduction in percent, to two digits."""
    return round(100 * (1 - after / before), 2)


@pytest.fixture(scope="module", params=FACTS, ids=lambda fact: fact.name)
def case(request: pytest.FixtureRequest) -> tuple[Fact, nn.Module, nn.Module]:
    """A row of facts, the model and the quantized model."""
    model = build(request.param.name)
    return request.param, model, quantize(model)


def test_reported_is_as_the_design_says(case: tuple[Fact, nn.Module, nn.Module]) -> None:
    """Parameters and thop's MACs, before and after quantization, are those of DESIGN's table."""
    fact, model, quantized = case
    before, after = reported(model), reported(quantized)

    assert (fact.parameters, fact.parameters_after) == (before.parameters, after.parameters)
    assert fact.parameters_saved == reduction(before.parameters, after.parameters)
    assert (fact.macs, fact.macs_after) == (round(before.macs / 1e6, 1), round(after.macs / 1e6, 1))
    assert fact.macs_saved == reduction(before.macs, after.macs)


def test_bytes_are_as_the_design_says(case: tuple[Fact, nn.Module, nn.Module]) -> None:
    """The state_dict's megabytes, before and after quantization, are those of DESIGN's table."""
    fact, model, quantized = case
    before, after = state_dict_bytes(model), state_dict_bytes(quantized)

    assert (fact.megabytes, fact.megabytes_after) == (round(before / 1e6, 1), round(after / 1e6, 1))
    assert fact.saved == reduction(before, after)


def test_quantization_removes_nothing(case: tuple[Fact, nn.Module, nn.Module]) -> None:
    """The actual reductions of parameters and MACs by quantization are 0: it is the work's width that shrinks."""
    fact, model, quantized = case
    before, after = actual(model), actual(quantized)

    assert fact.parameters == before.parameters == after.parameters
    assert before.macs == after.macs
    assert after.bit_operations < before.bit_operations / 8


def test_counters_agree_on_convnext(case: tuple[Fact, nn.Module, nn.Module]) -> None:
    """Ours is torch's FlopCounterMode's half, the closed form's, and thop's less its norms and pooling."""
    fact, model, _ = case
    ours = actual(model)
    on_paper = list(layers(CONVNEXT_VARIANTS[fact.name]))

    assert ours.macs == flop_counter_macs(model, 32)
    assert ours.macs == sum(layer.macs for layer in on_paper)
    assert ours.macs == reported(model).macs - thops_own(model, 32)
    assert ours.parameters == sum(layer.parameters for layer in on_paper)


def test_thops_surplus_in_closed_form() -> None:
    """thop adds 4 an element of each block's norm, and 2 a channel for the last pooling; LayerNorm2d it misses."""
    architecture = CONVNEXT_VARIANTS["convnext_atto"]
    stages = zip(architecture.widths, architecture.depths, (8, 4, 2, 1), strict=True)
    normed = sum(depth * width * side**2 for width, depth, side in stages)
    model = build("convnext_atto")

    assert reported(model).macs - actual(model).macs == 4 * normed + 2 * architecture.widths[-1]


def test_thop_misses_parameters_outside_of_layers_that_it_knows() -> None:
    """thop's own count of parameters lacks layer scale and LayerNorm2d, which ours and parameters() hold."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # distutils
        import thop
    model = build("convnext_atto")
    _, theirs = thop.profile(clone_sharing_tensors(model), (random_images(1),), verbose=False)

    norms = [module for module in model.modules() if isinstance(module, LayerNorm2d)]
    missed = sum(p.numel() for norm in norms for p in norm.parameters())
    missed += sum(p.numel() for name, p in model.named_parameters() if name.endswith("layer_scale"))
    assert missed > 0
    assert actual(model).parameters == theirs + missed


@pytest.mark.parametrize("resolution", [32, 64])
def test_closed_form_agrees_at_each_resolution(resolution: int) -> None:
    """MACs follow the resolution as the closed form says."""
    expected = sum(layer.macs for layer in layers(CONVNEXT_VARIANTS["convnext_atto"], resolution=resolution))

    assert expected == actual(build("convnext_atto"), resolution).macs


def test_closed_form_agrees_on_a_narrowed_model() -> None:
    """Parameters and MACs of given MLP widths are the closed form's."""
    widths = tuple(range(5, 17))
    on_paper = list(layers(CONVNEXT_VARIANTS["convnext_atto"], hidden_widths=widths))
    ours = actual(build("convnext_atto", hidden_widths=widths))

    assert ours.parameters == sum(layer.parameters for layer in on_paper)
    assert ours.macs == sum(layer.macs for layer in on_paper)


def test_pruning_leaves_executed_work_and_cuts_nonzero_work() -> None:
    """At a sparsity of 0.8 layer by layer, all MACs are still executed, a fifth on weights that aren't 0."""
    model = build("convnext_atto")
    before, after = actual(model), actual(prune(model, 0.8, scope="layer"))

    assert (before.parameters, before.macs) == (after.parameters, after.macs)
    assert after.nonzero_macs == pytest.approx(0.2 * before.macs, rel=1e-3)


def test_zeros_of_packed_weights_are_seen() -> None:
    """A quantized weight is zero where its dequantized value is: the pruned ones, and those rounded to 0."""
    quantized = quantize(prune(nn.Sequential(nn.Flatten(), nn.Linear(3 * 64, 5)), 0.5))
    zeros = int((quantized[1].weight().dequantize() == 0).sum())

    counts = actual(quantized, 8)
    assert zeros >= 480
    assert counts.nonzero_macs == 3 * 64 * 5 - zeros


def test_kinds_add_up_to_the_whole() -> None:
    """Each parameter and each MAC is of one kind; a quantized Linear is "linear" still."""
    model = build("convnext_atto")
    kinds, after = by_kind(model), by_kind(quantize(model))

    for kind, of_layers in (("conv", ("conv", "depthwise")), ("linear", ("linear",)), ("other", ("norm", "scale"))):
        chosen = [layer for layer in layers(CONVNEXT_VARIANTS["convnext_atto"]) if layer.kind in of_layers]
        assert sum(layer.parameters for layer in chosen) == kinds[kind].parameters == after[kind].parameters
        assert sum(layer.macs for layer in chosen) == kinds[kind].macs == after[kind].macs
    assert after["linear"].bit_operations == after["linear"].macs * 64
    assert after["conv"].bit_operations == after["conv"].macs * 1024


def test_counting_leaves_the_model_as_it_was() -> None:
    """No buffer, hook or mode is left behind by either counter, in training mode too."""
    model = build("convnext_atto").train()
    names = list(model.state_dict())

    reported(model)
    actual(model)

    assert names == list(model.state_dict())
    assert model.training
    assert not any(module._forward_hooks for module in model.modules())


def test_a_shared_parameter_counts_once_and_works_twice() -> None:
    """Of two layers with one weight the parameters count once, the MACs of both."""
    first, second = nn.Conv2d(3, 3, 1, bias=False), nn.Conv2d(3, 3, 1, bias=False)
    second.weight = first.weight
    counts = actual(nn.Sequential(first, second), 4)

    assert (counts.parameters, counts.macs) == (9, 2 * 9 * 16)


def test_a_layer_called_twice_works_twice() -> None:
    """One layer at two places holds its weights once and uses them twice, quantized too."""
    for net in (nn.Sequential(nn.Linear(4, 4, bias=False)), quantize(nn.Sequential(nn.Linear(4, 4, bias=False)))):
        counts = actual(nn.Sequential(net[0], net[0]), 4)
        assert (counts.parameters, counts.macs) == (16, 2 * 16 * 12)


def test_bare_parameters_count_and_do_no_work() -> None:
    """A parameter outside of all layers that multiply counts, and takes no MACs."""
    counts = by_kind(LayerNorm2d(3), 4)

    assert (counts["other"].parameters, counts["other"].nonzero_parameters, counts["other"].macs) == (6, 3, 0)


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("stride", [1, 2])
def test_transposed_convolutions(groups: int, stride: int) -> None:
    """Ours is torch's count; thop takes the output's pixels for the input's, and so too many by their ratio."""
    net = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ConvTranspose2d(4, 6, 3, stride, groups=groups))
    side = (8 - 1) * stride + 3
    stem, ours = 3 * 4 * 64, actual(net, 8).macs

    assert ours == flop_counter_macs(net, 8) == stem + 64 * 4 * 6 * 9 // groups
    assert (reported(net, 8).macs - stem) * 64 == (ours - stem) * side**2


def test_convolutions_in_one_dimension() -> None:
    """A Conv1d, strided and grouped, counts as torch counts it."""
    net = nn.Sequential(nn.Flatten(2), nn.Conv1d(3, 6, 5, stride=2, groups=3))

    assert actual(net, 8).macs == flop_counter_macs(net, 8) == 30 * 6 * 5


def test_attention_is_counted() -> None:
    """In a vision transformer the projections are counted as torch counts them, and the products of activations."""
    net = torchvision.models.VisionTransformer(32, 8, 2, 2, 16, 32, num_classes=10).eval()
    kinds = by_kind(net)

    products = 2 * (2 * 17 * 17 * 16)  # in two blocks: queries by keys, and the result by values
    # FlopCounterMode sees these products in torch 2.15, and not in 2.10.
    assert actual(net).macs - flop_counter_macs(net, 32) in (0, products)
    assert kinds["attention"].macs == 2 * (17 * 3 * 16 * 16) + products
    assert actual(net).parameters == sum(parameter.numel() for parameter in net.parameters())


def test_cross_attention_is_refused() -> None:
    """Where queries and keys differ in number the counter says so instead of guessing."""

    class Cross(nn.Module):
        """Few queries on many keys."""

        def __init__(self) -> None:
            super().__init__()
            self.attention = nn.MultiheadAttention(8, 2)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            """Attend with the first row."""
            rows = images[0, 0]
            return self.attention(rows[:1], rows, rows)[0]

    with pytest.raises(NotImplementedError, match="only self-attention"):
        actual(Cross(), 8)


def test_figure_one_of_the_paper_on_alexnet() -> None:
    """In AlexNet the convolutions hold the work and the fully connected layers the parameters."""
    kinds = by_kind(torchvision.models.alexnet(num_classes=10), 224)

    assert kinds["conv"].macs > 0.9 * (kinds["conv"].macs + kinds["linear"].macs)
    assert kinds["linear"].parameters > 0.9 * (kinds["conv"].parameters + kinds["linear"].parameters)
