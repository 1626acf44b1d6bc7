"""Unstructured pruning: the weights that become zero, their number, and all that must not change."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.nn.utils import prune as torch_prune

from edgeai_repro.compress.unstructured import prunable, prune, prune_layers, sweep
from edgeai_repro.errors import UserError
from edgeai_repro.networks.convnext import build, random_images
from tests.support.helpers import assert_same_tensors, snapshot

SPARSITIES = [0.1, 0.5, 0.5, 0.9, 0.0, 1.0]


@pytest.fixture
def net() -> nn.Sequential:
    """A convolution, a norm and two Linear layers of different sizes and spreads."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Flatten(), nn.Linear(32, 20), nn.Linear(20, 7))
    net[3].weight.detach().mul_(10)
    return net.eval()


def weights(model: nn.Module) -> torch.Tensor:
    """Return all prunable weights, in order."""
    return torch.cat([weight.detach().flatten() for weight in prunable(model)])


def zeros(tensor: torch.Tensor) -> int:
    """Return the number of elements that are 0."""
    return int((tensor == 0).sum())


def one_layer(*values: float) -> nn.Linear:
    """Return a Linear of one output with these weights."""
    layer = nn.Linear(len(values), 1)
    layer.weight.detach().copy_(torch.tensor([values]))
    return layer


def test_the_smallest_weights_of_all_layers_become_zero(net: nn.Sequential) -> None:
    """No weight that becomes zero is larger than one that stays, in any layer."""
    before, after = weights(net), weights(prune(net, 0.6))
    pruned = after == 0

    assert before[pruned].abs().max() <= before[~pruned].abs().min()
    assert torch.equal(before[~pruned], after[~pruned])


@pytest.mark.parametrize("sparsity", [0.1, 0.37, 0.9])
def test_the_mask_is_that_of_torchs_global_unstructured(net: nn.Sequential, sparsity: float) -> None:
    """torch.nn.utils.prune, the tool of most practitioners, zeroes the same weights."""
    theirs = copy.deepcopy(net)
    layers = [(theirs[index], "weight") for index in (0, 3, 4)]
    torch_prune.global_unstructured(layers, torch_prune.L1Unstructured, amount=sparsity)
    for layer, name in layers:
        torch_prune.remove(layer, name)

    assert torch.equal(weights(theirs), weights(prune(net, sparsity)))


def test_layers_are_ranked_together(net: nn.Sequential) -> None:
    """At half of all weights, a layer of 640 large weights loses fewer than a quarter."""
    assert zeros(prune(net, 0.5)[3].weight) < 160


def test_first_of_equal_weights_become_zero() -> None:
    """If weights are equal, exactly as many as needed become zero, in their order."""
    assert prune(one_layer(2, -2, 1, 2, -2), 0.6).weight.tolist() == [[0, 0, 0, 2, -2]]


def test_equal_weights_of_several_layers_are_counted_together() -> None:
    """If all weights of all layers are equal, those of the first layers become zero."""
    net = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    for weight in prunable(net):
        weight.detach().fill_(-3.0)

    assert [zeros(weight) for weight in prunable(prune(net, 0.75))] == [16, 8]


def test_zeros_are_positive() -> None:
    """A negative weight becomes +0.0, whose bytes are all zero, so that deflate can shrink it."""
    assert not torch.signbit(prune(one_layer(-1, -2), 1.0).weight).any()


def test_earlier_zeros_count() -> None:
    """Weights that are zero already are counted, so that no more weights are lost than needed."""
    model = prune(one_layer(0, 5, 0, 7, 0, 9, 1, 2, 3, 4), 0.5)

    assert zeros(model.weight) == 5


def test_a_sparser_model_does_not_change() -> None:
    """A model with more zeros than needed keeps its weights."""
    assert prune(one_layer(0, 0, 0, 7), 0.25).weight.tolist() == [[0, 0, 0, 7]]


def test_sweep_yields_the_models_of_prune(net: nn.Sequential) -> None:
    """The sparsities may come in any order and several times."""
    swept = list(sweep(net, SPARSITIES))

    assert [sparsity for sparsity, _ in swept] == SPARSITIES
    for sparsity, model in swept:
        assert torch.equal(weights(model), weights(prune(net, sparsity)))


def test_zeros_at_a_sparsity_are_zeros_at_a_higher_one(net: nn.Sequential) -> None:
    """The zeros at 0.8 include those at 0.5."""
    (_, half), (_, most) = sweep(net, [0.5, 0.8])

    assert not weights(most)[weights(half) == 0].any()


def test_the_given_model_does_not_change(net: nn.Sequential) -> None:
    """It keeps its weights, even if those of the pruned model change later."""
    before = copy.deepcopy(net.state_dict())
    pruned = prune(net, 0.9)
    pruned[3].weight.detach().fill_(1.0)

    assert all(torch.equal(tensor, net.state_dict()[name]) for name, tensor in before.items())


def test_only_weights_are_pruned(net: nn.Sequential) -> None:
    """At sparsity 1 all Conv2d and Linear weights are 0; biases, norms and buffers are shared with the model."""
    pruned = prune(net, 1.0)

    assert not weights(pruned).any()
    assert pruned[0].bias.data_ptr() == net[0].bias.data_ptr()
    assert pruned[1].weight.data_ptr() == net[1].weight.data_ptr()
    assert pruned[1].running_var.data_ptr() == net[1].running_var.data_ptr()


def test_no_mask_is_left(net: nn.Sequential) -> None:
    """The result has the parameters, shapes and names of the model."""
    pruned = prune(net, 0.5)

    assert {name: tensor.shape for name, tensor in net.state_dict().items()} == {
        name: tensor.shape for name, tensor in pruned.state_dict().items()
    }
    assert all(parameter.requires_grad for parameter in pruned.parameters())


def test_a_shared_weight_is_pruned_once() -> None:
    """Two layers with one weight still share it, and it is counted once."""
    first, second = nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False)
    second.weight = first.weight
    pruned = prune(nn.Sequential(first, second), 0.5)

    assert pruned[0].weight is pruned[1].weight
    assert zeros(pruned[0].weight) == 8


def test_channels_last_weights_are_pruned() -> None:
    """The memory format of a weight has no effect on its zeros."""
    conv = nn.Conv2d(4, 6, 3)
    expected = prune(conv, 0.5).weight
    other = copy.deepcopy(conv).to(memory_format=torch.channels_last)

    assert torch.equal(expected, prune(other, 0.5).weight)


def test_a_pruned_convnext_runs() -> None:
    """It returns finite logits, other than before."""
    model, images = build("convnext_atto"), random_images(2)
    with torch.inference_mode():
        before, after = model(images), prune(model, 0.9)(images)

    assert torch.isfinite(after).all()
    assert not torch.allclose(before, after)


def test_a_model_without_prunable_layers_does_not_change() -> None:
    """Without Conv2d and Linear no weight becomes zero, and nothing fails."""
    assert zeros(prune(nn.BatchNorm2d(3), 0.5).weight) == 0


@pytest.mark.parametrize("sparsity", [-0.1, 1.5, float("nan"), 50])
def test_a_sparsity_out_of_range_is_refused(sparsity: float) -> None:
    """Raises one line with the range."""
    with pytest.raises(UserError, match=r"^'sparsity' must be a share from 0 to 1 \(got .*\); .*$"):
        prune(one_layer(1, 2), sparsity)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(value: float) -> None:
    """Raises one line instead of ranking a NaN."""
    with pytest.raises(UserError, match=r"^'weights' must be finite to be pruned"):
        prune(one_layer(1, value), 1.0)


def test_each_layer_has_the_sparsity_by_itself() -> None:
    """Across all layers, those of small weights would lose more; biases stay, and the given network, too."""
    network = nn.Sequential(nn.Conv2d(3, 8, 5), nn.Linear(50, 40))
    with torch.no_grad():
        network[0].weight.mul_(1e-3)
    before = snapshot(network)

    by_layer, across = prune_layers(network, 0.75), prune(network, 0.75)

    assert [zeros(by_layer[index].weight) for index in (0, 1)] == [450, 1500]
    assert zeros(across[0].weight) == 600
    assert all(torch.equal(by_layer[index].bias, before[f"{index}.bias"]) for index in (0, 1))
    assert_same_tensors(network.state_dict(), before)


def test_layers_that_share_a_weight_are_pruned_once() -> None:
    """They go on sharing it."""
    network = nn.Sequential(nn.Linear(20, 20), nn.Linear(20, 20))
    network[1].weight = network[0].weight

    pruned = prune_layers(network, 0.5)

    assert pruned[0].weight is pruned[1].weight
    assert zeros(pruned[0].weight) == 200
