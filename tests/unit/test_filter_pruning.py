"""Filters are cut exactly: counts as printed, outputs as if they were masked, and nothing that empties a layer."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from torch import nn

from edgeai_repro.claims.recipe_files import read_plan
from edgeai_repro.compress.filter_pruning import Prunable, prune_filters, sites
from edgeai_repro.compress.techniques import apply
from edgeai_repro.errors import UserError
from edgeai_repro.networks import cifar
from edgeai_repro.networks.convnext import random_images
from edgeai_repro.networks.initial import draw_norms
from edgeai_repro.networks.resnet_cifar import ResNetCifar
from edgeai_repro.networks.vgg_cifar import VggCifar
from tests.support.helpers import assert_same_outputs, assert_same_tensors, difference

FOLDER = Path(__file__).parents[2] / "claims" / "training"
# Parameters and MACs of the paper's networks by closed forms, from the fact sheet; not from this code.
COUNTS = {
    "li2017-vgg16-a": (5_397_034, 206_279_680),
    "li2017-resnet56-a": (773_336, 112_435_840),
    "li2017-resnet56-b": (735_712, 90_907_264),
    "li2017-resnet110-a": (1_688_522, 212_779_648),
    "li2017-resnet110-b": (1_168_424, 155_124_352),
}
UNPRUNED = {"vgg16_cifar": 14_987_722, "resnet56": 853_018, "resnet110": 1_727_962}


def _network(name: str, seed: int = 0) -> Prunable:
    """Return a network whose BatchNorm layers differ from the identity, as after a training."""
    model = cifar.build(name, seed=seed)
    draw_norms(model, seed)
    return model


def _macs(model: nn.Module) -> int:
    """Count multiplications of convolutions and Linear layers by the shapes of their outputs."""
    total = 0

    def count(module: nn.Module, _: object, output: torch.Tensor) -> None:
        nonlocal total
        weight = module.weight
        assert isinstance(weight, nn.Parameter)
        total += output[0].numel() * weight[0].numel()

    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.register_forward_hook(count)
    with torch.inference_mode():
        model(torch.zeros(1, 3, 32, 32))
    return total


def _masked(model: Prunable, rates: Mapping[int, float], *, largest: bool = False) -> nn.Module:
    """Return the full network with the output of each cut filter set to zero, its filters ranked in NumPy."""
    masked = copy.deepcopy(model)
    for number, rate in rates.items():
        site = sites(model)[number]
        norms = abs(model.get_submodule(site.conv).weight.detach().double().numpy()).sum((1, 2, 3))
        order = (norms if largest else -norms).argsort(kind="stable")
        norm = masked.get_submodule(site.norm)
        for cut in order[int(round(len(order) * (1 - rate), 9)) :]:
            norm.weight.data[cut] = norm.bias.data[cut] = 0.0
    return masked


@pytest.mark.parametrize("plan", COUNTS)
def test_a_plan_gives_the_networks_of_the_paper(plan: str) -> None:
    """Parameters and MACs are those of the paper's channel lists, to the last one."""
    found = read_plan(plan, FOLDER)
    pruned = prune_filters(cifar.build(found.network), found.layer_rates())

    assert (sum(p.numel() for p in pruned.parameters()), _macs(pruned)) == COUNTS[plan]


@pytest.mark.parametrize(("name", "parameters"), UNPRUNED.items())
def test_unpruned_networks_have_the_published_parameters(name: str, parameters: int) -> None:
    """Option-A shortcuts have none, and VGG's convolutions have no bias."""
    assert sum(p.numel() for p in cifar.build(name).parameters()) == parameters


@pytest.mark.parametrize("plan", ["li2017-vgg16-a", "li2017-resnet56-b"])
def test_the_pruned_network_is_the_masked_one(plan: str) -> None:
    """The outputs agree to 1e-6 of their size; those of the unpruned network, the control, do not."""
    found = read_plan(plan, FOLDER)
    model, images = _network(found.network), torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    pruned = prune_filters(model, found.layer_rates())
    with torch.inference_mode():
        actual, masked, control = (
            network(images) for network in (pruned, _masked(model, found.layer_rates()), model)
        )

    size = masked.abs().max()
    assert (actual - masked).abs().max() < 1e-6 * size
    assert (control - masked).abs().max() > 1e-3 * size


def test_largest_cuts_the_other_end() -> None:
    """The control of the paper: filters with the largest norm are cut."""
    model, rates = _network("resnet20"), {2: 0.5, 16: 0.25}
    images = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        actual = prune_filters(model, rates, ranking="largest")(images)
        expected = _masked(model, rates, largest=True)(images)
        smallest = prune_filters(model, rates)(images)

    assert torch.allclose(actual, expected, atol=1e-5)
    assert not torch.allclose(actual, smallest, atol=1e-3)


def test_random_depends_on_the_seed_alone() -> None:
    """Two equal seeds keep the same filters, another seed does not."""
    model = _network("resnet20")
    first, again, other = (
        prune_filters(model, {18: 0.5}, ranking="random", seed=seed).state_dict()["layer3.2.conv1.weight"]
        for seed in (0, 0, 1)
    )

    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_the_given_network_stays() -> None:
    """Pruning makes a new network."""
    model = _network("resnet20")
    before = {name: value.clone() for name, value in model.state_dict().items()}

    prune_filters(model, {2: 0.5})

    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_rate_in_binary_keeps_as_many_as_in_decimal() -> None:
    """50 * (1 - 0.9) is 4.999… in binary floating point, and 5."""
    model = cifar.build("resnet20", widths=[50] * 9)

    assert cifar.widths(prune_filters(model, {2: 0.9}))[0] == 5


@pytest.mark.parametrize(
    ("rates", "message"),
    [
        ({2: 0.95}, r"the rate of layer 2 must leave one of its 16 filters \(got 0.95\)"),
        ({2: 1.0}, r"the rate of layer 2 must be a share in \[0, 1\) \(got 1.0\)"),
        ({3: 0.5}, r"'rates' must name layers that can be pruned \(got 3\); choose among 2, 4, 6"),
    ],
)
def test_a_rate_that_cannot_be_is_one_line(rates: dict[int, float], message: str) -> None:
    """The layer and the rule are named."""
    with pytest.raises(UserError, match=message):
        prune_filters(cifar.build("resnet20"), rates)


def test_weights_that_are_not_finite_are_not_ranked() -> None:
    """A diverged network is refused."""
    model = cifar.build("resnet20")
    model.layer1[0].conv1.weight.data[0, 0, 0, 0] = float("nan")

    with pytest.raises(UserError, match="the weights must be finite to be ranked"):
        prune_filters(model, {2: 0.5})


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: cifar.build("resnet20", widths=[16] * 8), "'hidden_widths' must be 9 positive numbers"),
        (lambda: cifar.build("vgg16_cifar", widths=[16] * 8), "'widths' must be 13, one per convolution"),
        (lambda: read_plan("li2017-resnet56-c", FOLDER), "did you mean 'li2017-resnet56-"),
    ],
)
def test_wrong_widths_and_plans_are_one_line(call: object, message: str) -> None:
    """The rule and the remedy are named."""
    assert callable(call)
    with pytest.raises(UserError, match=message):
        call()


def test_widths_give_a_network_of_a_list() -> None:
    """The filters of Li's plan for VGG-16 give the same network as the plan, and so do the weights."""
    network = _network("vgg16_cifar")
    widths = [32, 64, 128, 128, 256, 256, 256, *[256] * 6]

    by_widths = apply(network, "filter_pruning", {"widths": " ".join(map(str, widths))})

    by_plan = apply(network, "filter_pruning", {"plan": "li2017-vgg16-a", "ranking": "l1"})
    assert sum(parameter.numel() for parameter in by_widths.parameters()) == COUNTS["li2017-vgg16-a"][0]
    assert_same_tensors(by_widths.state_dict(), by_plan.state_dict())


def test_a_rate_cuts_every_layer() -> None:
    """Half of the hidden filters of each block."""
    pruned = apply(cifar.build("resnet20"), "filter_pruning", {"rate": 0.5})

    assert cifar.widths(pruned) == (8, 8, 8, 16, 16, 16, 32, 32, 32)


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({}, r"must be given one of plan, widths, rate \(got none\)"),
        ({"rate": 0.5, "widths": "1"}, r"must be given one of plan, widths, rate \(got widths, rate\)"),
        ({"widths": "8 8"}, r"'widths' must be 9, one per layer that can be pruned \(got 2\); .*layers 2, 4, "),
        ({"widths": "8 8 8 16 16 16 32 32 65"}, r"the width of layer 18 must be from 1 to 64 \(got 65\)"),
        ({"widths": "8 8 8 16 eight"}, r"'widths' must be whole numbers \(got 'eight' in place 5\)"),
    ],
)
def test_settings_that_do_not_fit_the_network_are_refused(settings: dict[str, str], complaint: str) -> None:
    """The error names the entry or the layer."""
    with pytest.raises(UserError, match=complaint):
        apply(cifar.build("resnet20"), "filter_pruning", settings)


def test_other_networks_are_refused() -> None:
    """One line says which networks can be cut."""
    with pytest.raises(UserError, match=r"^'filter_pruning' must be applied to a CIFAR network \(got Conv2d\)$"):
        apply(nn.Conv2d(3, 4, 3), "filter_pruning", {"rate": 0.5})


@pytest.mark.parametrize("variant", ["biases", "outputs cut"])
def test_variants_of_the_networks_are_cut_too(variant: str) -> None:
    """A VGG with biases, and a ResNet whose blocks add fewer channels than their shortcuts have."""
    network = VggCifar([8, "M", 16, 16], 10, bias=True) if variant == "biases" else _thin_resnet()
    draw_norms(network)
    network.eval()
    rates = dict.fromkeys(sites(network), 0.5)

    pruned = prune_filters(network, rates)

    images = random_images(2)
    assert [parameter.shape for parameter in pruned.parameters()] != [p.shape for p in network.parameters()]
    assert_same_outputs(pruned, _masked(network, rates), images)
    assert difference(pruned, network, images) > 1e-3  # the control


def _thin_resnet() -> ResNetCifar:
    """Return a ResNet-8 of which every block adds half of its channels, and whose first layer has 12."""
    return ResNetCifar([16, 32, 64], 10, added=[8, 16, 32], first=12)
