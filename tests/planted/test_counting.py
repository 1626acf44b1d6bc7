"""The checks of counters and pruners pass the right ones and notice planted wrong ones."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest
import torch
from torch import nn

from edgeai_repro.compress.quantization import quantize
from edgeai_repro.compress.unstructured import prunable, prune
from edgeai_repro.measure.counts import Counts, Reported, actual, reported
from edgeai_repro.networks.convnext import clone_sharing_tensors
from tests.support.counting import assert_counters_agree, assert_sparsity, run_by_layer

Counter = Callable[[nn.Module, int], Counts]


@pytest.fixture
def net() -> nn.Sequential:
    """Strided, grouped, dilated and depthwise convolutions, a norm and a Linear; half of the weights are 0."""
    torch.manual_seed(0)
    layers = [
        nn.Conv2d(3, 4, 3, stride=2, padding=1),
        nn.Conv2d(4, 6, 2, groups=2, dilation=2, bias=False),
        nn.BatchNorm2d(6),
        nn.Conv2d(6, 6, 3, groups=6, padding=1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(6, 5),
    ]
    return prune(nn.Sequential(*layers).eval(), 0.5)  # type: ignore[return-value]


def recount(macs: Callable[[nn.Module, torch.Tensor, torch.Tensor], float]) -> Counter:
    """Return a counter with another rule for the MACs of a layer, given its input and its output."""

    def counter(model: nn.Module, resolution: int) -> Counts:
        total = sum(
            int(macs(layer, features, output))
            for layer, features, output in run_by_layer(model, resolution)
            if isinstance(layer, nn.Conv2d | nn.Linear)
        )
        return dataclasses.replace(actual(model, resolution), macs=total, bit_operations=1024 * total)

    return counter


def change(**changes: Callable[[Counts], int]) -> Counter:
    """Return a counter in which single quantities are wrong."""

    def counter(model: nn.Module, resolution: int) -> Counts:
        counts = actual(model, resolution)
        return dataclasses.replace(counts, **{field: value(counts) for field, value in changes.items()})

    return counter


def spatial(tensor: torch.Tensor) -> int:
    """Return the pixels of an activation (N, C, H, W), or 1 for (N, C)."""
    return tensor[0, 0].numel()


WRONG_COUNTERS = {
    "groups ignored": recount(
        lambda layer, _, output: spatial(output) * layer.weight.numel() * getattr(layer, "groups", 1)
    ),
    "stride ignored": recount(lambda layer, features, _: spatial(features) * layer.weight.numel()),
    "kernel and channels ignored": recount(lambda layer, _, output: output.numel()),
    "bias counted": recount(
        lambda layer, _, output: spatial(output) * layer.weight.numel() + (layer.bias is not None) * output.numel()
    ),
    "Linear left out": recount(
        lambda layer, _, output: isinstance(layer, nn.Conv2d) * spatial(output) * layer.weight.numel()
    ),
    "zeros counted as nonzero MACs": change(nonzero_macs=lambda counts: counts.macs),
    "one sparsity for all layers": change(
        nonzero_macs=lambda counts: round(counts.macs * counts.nonzero_parameters / counts.parameters)
    ),
    "zeros counted as parameters": change(nonzero_parameters=lambda counts: counts.parameters),
    "one parameter too few": change(parameters=lambda counts: counts.parameters - 1),
    "8 bits for 32": change(bit_operations=lambda counts: 64 * counts.macs),
}


def test_the_right_counters_pass(net: nn.Sequential) -> None:
    """Control: our own counters pass the check on the network of these tests."""
    assert_counters_agree(net, actual, reported)


@pytest.mark.parametrize("mistake", WRONG_COUNTERS)
def test_a_wrong_counter_is_caught(mistake: str, net: nn.Sequential) -> None:
    """The error has the wrong and the right value."""
    with pytest.raises(AssertionError, match=r"=|not "):
        assert_counters_agree(net, WRONG_COUNTERS[mistake], reported)


def one_mac_too_many(model: nn.Module, resolution: int) -> Reported:
    """Return reported counts with one more MAC."""
    return dataclasses.replace(reported(model, resolution), macs=reported(model, resolution).macs + 1)


def profile_in_place(model: nn.Module, resolution: int) -> Reported:
    """Return the reported counts, but leave a buffer of thop in the given model."""
    counts = reported(model, resolution)
    model[0].register_buffer("total_ops", torch.zeros(1))
    return counts


@pytest.mark.parametrize("tools", [one_mac_too_many, profile_in_place])
def test_a_wrong_profile_is_caught(tools: Callable[[nn.Module, int], Reported], net: nn.Sequential) -> None:
    """The check fails if the count is wrong and if the given model has changed."""
    with pytest.raises(AssertionError, match="should be"):
        assert_counters_agree(net, actual, tools)


def with_weights(rule: Callable[[torch.Tensor, float], torch.Tensor]) -> Callable[..., nn.Module]:
    """Return a pruner that computes each new weight from the weight and the sparsity."""

    def pruner(model: nn.Module, sparsity: float) -> nn.Module:
        pruned = clone_sharing_tensors(model)
        for weight in prunable(pruned):
            weight.data = rule(weight.detach(), sparsity)
        return pruned

    return pruner


def in_place(model: nn.Module, sparsity: float) -> nn.Module:
    """Prune the given model itself."""
    pruned = prune(model, sparsity)
    for given, weight in zip(prunable(model), prunable(pruned), strict=True):
        given.detach().copy_(weight.detach())
    return pruned


def layer_by_layer(model: nn.Module, sparsity: float) -> nn.Module:
    """Prune each layer to the sparsity, instead of all layers together."""
    pruned = clone_sharing_tensors(model)
    for name, layer in model.named_modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            pruned.set_submodule(name, prune(layer, sparsity))
    return pruned


def at_random(model: nn.Module, sparsity: float) -> nn.Module:
    """Prune the right number of weights, drawn at random."""
    sizes = [weight.numel() for weight in prunable(model)]
    mask = torch.ones(sum(sizes))
    mask[torch.randperm(len(mask), generator=torch.Generator().manual_seed(0))[: round(sparsity * len(mask))]] = 0.0
    pruned = clone_sharing_tensors(model)
    for weight, part in zip(prunable(pruned), torch.split(mask, sizes), strict=True):
        weight.data = weight.detach() * part.view(weight.shape)
    return pruned


WRONG_PRUNERS = {
    "nothing pruned": lambda model, sparsity: clone_sharing_tensors(model),
    "one too few": lambda model, sparsity: prune(model, sparsity - 1 / 300),
    "each layer by itself": layer_by_layer,
    "random weights": at_random,
    "the largest": with_weights(
        lambda weight, s: weight * (weight.abs() <= weight.abs().flatten().quantile(1 - s))
    ),
    "all of several equal weights": with_weights(lambda weight, _: weight * (weight.abs() > 0.5)),
    "other weights scaled up": lambda model, s: with_weights(lambda weight, _: weight / (1 - s))(
        prune(model, s), s
    ),
    "in place": in_place,
}


@pytest.fixture
def uneven() -> nn.Sequential:
    """Two layers of different spread, the second with many weights of 0.5."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(24, 8))
    net[2].weight.detach()[:4] = 0.5
    return net


def test_the_right_pruner_passes(uneven: nn.Sequential) -> None:
    """Control: our own pruner passes the check on the network of these tests."""
    assert_sparsity(uneven, 0.55, prune)


@pytest.mark.parametrize("mistake", WRONG_PRUNERS)
def test_a_wrong_pruner_is_caught(mistake: str, uneven: nn.Sequential) -> None:
    """The error states the right value."""
    with pytest.raises(AssertionError, match="should be"):
        assert_sparsity(uneven, 0.55, WRONG_PRUNERS[mistake])


def test_a_counter_that_uses_parameters_would_be_caught(net: nn.Sequential) -> None:
    """After quantization, parameters() lacks the packed weights, which the actual counter counts."""
    quantized = quantize(net)
    without_packed = sum(parameter.numel() for parameter in quantized.parameters())

    assert actual(quantized, 12).parameters == actual(net, 12).parameters
    assert without_packed != actual(net, 12).parameters
