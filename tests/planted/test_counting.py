"""The checks of counters and compressors notice a wrong one: each is shown planted ones, and a true one."""

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
    """A strided, a grouped and dilated, and a depthwise convolution, a norm, a Linear; every second weight is 0."""
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
    """A counter with another rule for the MACs of a layer, of its input and its output."""

    def counter(model: nn.Module, resolution: int) -> Counts:
        total = sum(
            int(macs(layer, features, output))
            for layer, features, output in run_by_layer(model, resolution)
            if isinstance(layer, nn.Conv2d | nn.Linear)
        )
        return dataclasses.replace(actual(model, resolution), macs=total, bit_operations=1024 * total)

    return counter


def change(**changes: Callable[[Counts], int]) -> Counter:
    """A counter that gets single quantities wrong."""

    def counter(model: nn.Module, resolution: int) -> Counts:
        counts = actual(model, resolution)
        return dataclasses.replace(counts, **{field: value(counts) for field, value in changes.items()})

    return counter


def spatial(tensor: torch.Tensor) -> int:
    """The pixels of an activation (N, C, H, W), or 1 for (N, C)."""
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
    "zeros taken for weights": change(nonzero_macs=lambda counts: counts.macs),
    "the mean sparsity for each layer's": change(
        nonzero_macs=lambda counts: round(counts.macs * counts.nonzero_parameters / counts.parameters)
    ),
    "zeros counted as parameters": change(nonzero_parameters=lambda counts: counts.parameters),
    "one parameter too few": change(parameters=lambda counts: counts.parameters - 1),
    "8 bits for 32": change(bit_operations=lambda counts: 64 * counts.macs),
}


def test_the_true_counters_pass(net: nn.Sequential) -> None:
    """Control: on the network of these tests, the project's own counters pass the check."""
    assert_counters_agree(net, actual, reported)


@pytest.mark.parametrize("mistake", WRONG_COUNTERS)
def test_a_wrong_counter_is_caught(mistake: str, net: nn.Sequential) -> None:
    """The check fails, and says what the counter got and should have."""
    with pytest.raises(AssertionError, match=r"=|not "):
        assert_counters_agree(net, WRONG_COUNTERS[mistake], reported)


def tools_of_another_net(model: nn.Module, resolution: int) -> Reported:
    """What the tools would report for one MAC more."""
    return dataclasses.replace(reported(model, resolution), macs=reported(model, resolution).macs + 1)


def profile_in_place(model: nn.Module, resolution: int) -> Reported:
    """A profile that leaves thop's buffers in the model that it was given."""
    counts = reported(model, resolution)
    model[0].register_buffer("total_ops", torch.zeros(1))
    return counts


@pytest.mark.parametrize("tools", [tools_of_another_net, profile_in_place])
def test_a_wrong_profile_is_caught(tools: Callable[[nn.Module, int], Reported], net: nn.Sequential) -> None:
    """The check fails where thop's figure is off, or where the given model was changed."""
    with pytest.raises(AssertionError, match="should be"):
        assert_counters_agree(net, actual, tools)


def rewritten(rule: Callable[[torch.Tensor, float], torch.Tensor]) -> Callable[..., nn.Module]:
    """A pruner that writes each weight anew by a rule of the weight and the sparsity."""

    def pruner(model: nn.Module, sparsity: float, **_: object) -> nn.Module:
        pruned = clone_sharing_tensors(model)
        for weight in prunable(pruned):
            weight.data = rule(weight.detach(), sparsity)
        return pruned

    return pruner


def in_place(model: nn.Module, sparsity: float, **settings: object) -> nn.Module:
    """A pruner that writes into the tensors that both models share."""
    pruned = prune(model, sparsity, **settings)  # type: ignore[arg-type]
    for given, weight in zip(prunable(model), prunable(pruned), strict=True):
        given.detach().copy_(weight.detach())
    return pruned


WRONG_PRUNERS = {
    "nothing pruned": lambda model, sparsity, **_: clone_sharing_tensors(model),
    "one too few": lambda model, sparsity, **_: prune(model, sparsity - 1 / 300),
    "each layer for all": lambda model, sparsity, **settings: prune(model, sparsity, scope="layer"),
    "random for magnitude": lambda model, sparsity, **_: prune(model, sparsity, method="random"),
    "the largest": rewritten(lambda weight, s: weight * (weight.abs() <= weight.abs().flatten().quantile(1 - s))),
    "all of equal ones": rewritten(lambda weight, _: weight * (weight.abs() > 0.5)),
    "the rest scaled up": lambda model, s, **_: rewritten(lambda weight, _: weight / (1 - s))(prune(model, s), s),
    "in place": in_place,
}


@pytest.fixture
def uneven() -> nn.Sequential:
    """Two layers of different spread, the second with weights of 0.5 in plenty."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(24, 8))
    net[2].weight.detach()[:4] = 0.5
    return net


def test_the_true_pruner_passes(uneven: nn.Sequential) -> None:
    """Control: on the network of these tests, the project's own pruner passes the check."""
    assert_sparsity(uneven, 0.55, prune, scope="global")


@pytest.mark.parametrize("mistake", WRONG_PRUNERS)
def test_a_wrong_pruner_is_caught(mistake: str, uneven: nn.Sequential) -> None:
    """The check fails, and says what should be."""
    with pytest.raises(AssertionError, match="should be"):
        assert_sparsity(uneven, 0.55, WRONG_PRUNERS[mistake], scope="global")


def test_what_the_tools_report_after_quantization_would_be_caught(net: nn.Sequential) -> None:
    """A actual counter that asks parameters() is told apart from one that sees packed weights."""
    quantized = quantize(net)
    blind = sum(parameter.numel() for parameter in quantized.parameters())

    assert actual(quantized, 12).parameters == actual(net, 12).parameters
    assert blind != actual(net, 12).parameters
