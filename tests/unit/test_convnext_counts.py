"""ConvNeXt is counted as published, and every difference between counters is an equation."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import pytest
from torch import nn
from torchvision.models.convnext import LayerNorm2d

from edgeai_repro.compress.quantization import quantize
from edgeai_repro.measure.counts import actual, count, reported
from edgeai_repro.measure.size import state_dict_bytes
from edgeai_repro.networks.convnext import build, clone_sharing_tensors, random_images
from edgeai_repro.networks.variants import CONVNEXT_VARIANTS, layers
from tests.support.counting import flop_counter_macs, thop_extra_operations


@dataclass(frozen=True)
class Fact:
    """Known figures of a ConvNeXt: parameters, thop's MACs in millions, megabytes, savings in %."""

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
def quantized_fact(request: pytest.FixtureRequest) -> tuple[Fact, nn.Module, nn.Module]:
    """The known figures, the model and the quantized model."""
    model = build(request.param.name)
    return request.param, model, quantize(model)


def test_reported_counts_are_the_known_figures(quantized_fact: tuple[Fact, nn.Module, nn.Module]) -> None:
    """Parameters and thop's MACs, before and after quantization."""
    fact, model, quantized = quantized_fact
    before, after = reported(model), reported(quantized)

    assert (fact.parameters, fact.parameters_after) == (before.parameters, after.parameters)
    assert fact.parameters_saved == reduction(before.parameters, after.parameters)
    assert (fact.macs, fact.macs_after) == (round(before.macs / 1e6, 1), round(after.macs / 1e6, 1))
    assert fact.macs_saved == reduction(before.macs, after.macs)


def test_bytes_are_the_known_figures(quantized_fact: tuple[Fact, nn.Module, nn.Module]) -> None:
    """Megabytes of the state_dict, before and after quantization."""
    fact, model, quantized = quantized_fact
    before, after = state_dict_bytes(model), state_dict_bytes(quantized)

    assert (fact.megabytes, fact.megabytes_after) == (round(before / 1e6, 1), round(after / 1e6, 1))
    assert fact.saved == reduction(before, after)


def test_quantization_removes_no_parameter_and_no_mac(quantized_fact: tuple[Fact, nn.Module, nn.Module]) -> None:
    """Only the bits of an operation become fewer."""
    fact, model, quantized = quantized_fact
    before, after = actual(model), actual(quantized)

    assert fact.parameters == before.parameters == after.parameters
    assert before.macs == after.macs
    assert after.bit_operations < before.bit_operations / 8


def test_count_returns_what_both_counters_return(quantized_fact: tuple[Fact, nn.Module, nn.Module]) -> None:
    """For the uncompressed and for the quantized model."""
    _, *models = quantized_fact

    for model in models:
        assert count(model) == (reported(model), actual(model))


def test_counters_agree_on_convnext(quantized_fact: tuple[Fact, nn.Module, nn.Module]) -> None:
    """Our count equals half of FlopCounterMode's, the closed form, and thop's without norms and pooling."""
    fact, model, _ = quantized_fact
    ours = actual(model)
    closed_form = list(layers(CONVNEXT_VARIANTS[fact.name]))

    assert ours.macs == flop_counter_macs(model, 32)
    assert ours.macs == sum(layer.macs for layer in closed_form)
    assert ours.macs == reported(model).macs - thop_extra_operations(model, 32)
    assert ours.parameters == sum(layer.parameters for layer in closed_form)


def test_extra_operations_of_thop_have_a_closed_form() -> None:
    """thop adds 4 per element of a block's norm and 2 per channel of the last pooling; it misses LayerNorm2d."""
    architecture = CONVNEXT_VARIANTS["convnext_atto"]
    stages = zip(architecture.dims, architecture.depths, (8, 4, 2, 1), strict=True)
    normed = sum(depth * dim * side**2 for dim, depth, side in stages)
    model = build("convnext_atto")

    assert reported(model).macs - actual(model).macs == 4 * normed + 2 * architecture.dims[-1]


def test_thop_misses_parameters_of_unknown_layers() -> None:
    """Its own count of parameters lacks layer scale and LayerNorm2d."""
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
def test_macs_equal_the_closed_form_at_each_resolution(resolution: int) -> None:
    """At 32 and at 64 pixels."""
    expected = sum(layer.macs for layer in layers(CONVNEXT_VARIANTS["convnext_atto"], resolution=resolution))

    assert expected == actual(build("convnext_atto"), resolution).macs


def test_counts_of_a_pruned_model_equal_the_closed_form() -> None:
    """For given MLP widths."""
    widths = tuple(range(5, 17))
    closed_form = list(layers(CONVNEXT_VARIANTS["convnext_atto"], hidden_widths=widths))
    ours = actual(build("convnext_atto", hidden_widths=widths))

    assert ours.parameters == sum(layer.parameters for layer in closed_form)
    assert ours.macs == sum(layer.macs for layer in closed_form)
