"""Unstructured pruning: which weights go, how many, and what is left alone."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from edgeai_repro.compress.unstructured import prunable, prune, sweep
from edgeai_repro.errors import UserError
from edgeai_repro.networks.convnext import build, random_images

SPARSITIES = [0.1, 0.5, 0.5, 0.9, 0.0, 1.0]


@pytest.fixture
def net() -> nn.Sequential:
    """A convolution, a norm and two Linear layers of different sizes and spreads."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Flatten(), nn.Linear(32, 20), nn.Linear(20, 7))
    net[3].weight.detach().mul_(10)
    return net.eval()


def weights(model: nn.Module) -> torch.Tensor:
    """All prunable weights, in order."""
    return torch.cat([weight.detach().flatten() for weight in prunable(model)])


def zeros(tensor: torch.Tensor) -> int:
    """How many elements are 0."""
    return int((tensor == 0).sum())


def one_layer(*values: float) -> nn.Linear:
    """A Linear of one output with these weights."""
    layer = nn.Linear(len(values), 1)
    layer.weight.detach().copy_(torch.tensor([values]))
    return layer


def test_magnitude_takes_the_smallest(net: nn.Sequential) -> None:
    """Every weight that goes is no larger than any that stays, over all layers."""
    before, after = weights(net), weights(prune(net, 0.6))
    gone = after == 0

    assert before[gone].abs().max() <= before[~gone].abs().min()
    assert torch.equal(before[~gone], after[~gone])


def test_global_scope_ranks_layers_together(net: nn.Sequential) -> None:
    """A layer of large weights loses fewer than its share; layer by layer it loses just its share."""
    large = {scope: zeros(prune(net, 0.5, scope=scope)[3].weight) for scope in ("global", "layer")}

    assert large["layer"] == 320
    assert large["global"] < 160


@pytest.mark.parametrize("method", ["magnitude", "random"])
def test_layer_scope_gives_each_layer_the_sparsity(net: nn.Sequential, method: str) -> None:
    """Each layer's zeros are round(sparsity * n) of its own."""
    pruned = prune(net, 0.37, method=method, scope="layer")

    for weight in prunable(pruned):
        assert zeros(weight) == round(0.37 * weight.numel())


def test_of_equal_weights_the_first_go() -> None:
    """Ties are cut to the exact number, the first in order going."""
    assert prune(one_layer(2, -2, 1, 2, -2), 0.6).weight.tolist() == [[0, 0, 0, 2, -2]]


def test_ties_across_layers_are_counted_once() -> None:
    """Where all weights of all layers are the same, exactly as many go as asked, the first layers' first."""
    net = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    for weight in prunable(net):
        weight.detach().fill_(-3.0)

    assert [zeros(weight) for weight in prunable(prune(net, 0.75))] == [16, 8]


def test_zeros_are_positive() -> None:
    """A negative weight becomes +0.0: its bytes are zero, for deflate's sake."""
    assert not torch.signbit(prune(one_layer(-1, -2), 1.0).weight).any()


@pytest.mark.parametrize("method", ["magnitude", "random"])
def test_weights_that_are_zero_count(method: str) -> None:
    """Zeros there are already go first: no more weights are lost than asked."""
    model = prune(one_layer(0, 5, 0, 7, 0, 9, 1, 2, 3, 4), 0.5, method=method)

    assert zeros(model.weight) == 5


def test_more_zeros_than_asked_stay() -> None:
    """A model that is sparser already is returned as it is."""
    assert prune(one_layer(0, 0, 0, 7), 0.25).weight.tolist() == [[0, 0, 0, 7]]


def test_random_follows_the_seed(net: nn.Sequential) -> None:
    """The same seed takes the same weights, another seed others, and neither the smallest."""
    first, again, other = (weights(prune(net, 0.5, method="random", seed=seed)) for seed in (0, 0, 1))

    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert not torch.equal(first, weights(prune(net, 0.5)))


def test_random_is_random_in_each_layer(net: nn.Sequential) -> None:
    """Globally at random, each layer loses about its share, at places of its own."""
    large = prune(net, 0.5, method="random")[3].weight.flatten()

    assert zeros(large) == pytest.approx(320, abs=60)
    assert zeros(large[:320]) == pytest.approx(160, abs=45)


@pytest.mark.parametrize("method", ["magnitude", "random"])
@pytest.mark.parametrize("scope", ["global", "layer"])
def test_sweep_equals_prune(net: nn.Sequential, method: str, scope: str) -> None:
    """A sweep's models, in any order of sparsities and with repetitions, are prune's."""
    swept = list(sweep(net, SPARSITIES, method=method, scope=scope, seed=2))

    assert [sparsity for sparsity, _ in swept] == SPARSITIES
    for sparsity, model in swept:
        assert torch.equal(weights(model), weights(prune(net, sparsity, method=method, scope=scope, seed=2)))


def test_sparser_contains_sparse(net: nn.Sequential) -> None:
    """What goes at a sparsity goes at each higher one, at random too."""
    for method in ("magnitude", "random"):
        (_, half), (_, most) = sweep(net, [0.5, 0.8], method=method)
        assert not weights(most)[weights(half) == 0].any()


def test_the_given_model_is_left_alone(net: nn.Sequential) -> None:
    """The model keeps its weights, and the pruned ones have their own storage."""
    before = copy.deepcopy(net.state_dict())
    pruned = prune(net, 0.9)
    pruned[3].weight.detach().fill_(1.0)

    assert all(torch.equal(tensor, net.state_dict()[name]) for name, tensor in before.items())


def test_only_weights_are_pruned(net: nn.Sequential) -> None:
    """At sparsity 1 all Conv2d and Linear weights are 0; biases, norms and buffers are shared as they are."""
    pruned = prune(net, 1.0)

    assert not weights(pruned).any()
    assert pruned[0].bias.data_ptr() == net[0].bias.data_ptr()
    assert pruned[1].weight.data_ptr() == net[1].weight.data_ptr()
    assert pruned[1].running_var.data_ptr() == net[1].running_var.data_ptr()


def test_masks_are_permanent(net: nn.Sequential) -> None:
    """The result has the same parameters, shapes and names as the model, and no masks."""
    pruned = prune(net, 0.5)

    assert {name: tensor.shape for name, tensor in net.state_dict().items()} == {
        name: tensor.shape for name, tensor in pruned.state_dict().items()
    }
    assert all(parameter.requires_grad for parameter in pruned.parameters())


def test_a_shared_weight_is_pruned_once() -> None:
    """Two layers of one weight still share it, and it is counted once."""
    first, second = nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False)
    second.weight = first.weight
    pruned = prune(nn.Sequential(first, second), 0.5)

    assert pruned[0].weight is pruned[1].weight
    assert zeros(pruned[0].weight) == 8


def test_channels_last_weights_are_pruned() -> None:
    """A convolution whose weights lie in another memory format gets its zeros at the same places."""
    conv = nn.Conv2d(4, 6, 3)
    expected = prune(conv, 0.5).weight
    other = copy.deepcopy(conv).to(memory_format=torch.channels_last)

    assert torch.equal(expected, prune(other, 0.5).weight)


def test_a_pruned_convnext_runs() -> None:
    """A pruned ConvNeXt answers with finite logits, and others than before."""
    model, images = build("convnext_atto"), random_images(2)
    with torch.inference_mode():
        before, after = model(images), prune(model, 0.9)(images)

    assert torch.isfinite(after).all()
    assert not torch.allclose(before, after)


def test_nothing_to_prune_is_no_error() -> None:
    """A model without Conv2d or Linear comes back as it is."""
    assert zeros(prune(nn.BatchNorm2d(3), 0.5).weight) == 0


@pytest.mark.parametrize("sparsity", [-0.1, 1.5, float("nan"), 50])
def test_a_sparsity_out_of_range_is_refused(sparsity: float) -> None:
    """Raises one line that says what a sparsity is."""
    with pytest.raises(UserError, match=r"^'sparsity' must be a share from 0 to 1 \(got .*\); .*$"):
        prune(one_layer(1, 2), sparsity)


@pytest.mark.parametrize(("field", "hint"), [("method", "magnitude"), ("scope", "layer")])
def test_an_unknown_name_is_refused(field: str, hint: str) -> None:
    """Raises one line with the nearest known name."""
    with pytest.raises(UserError, match=rf"^'{field}' must be one of .* did you mean '{hint}'\?$"):
        prune(one_layer(1, 2), 0.5, **{field: hint[:-1]})


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(value: float) -> None:
    """Raises one line instead of ranking a NaN."""
    with pytest.raises(UserError, match=r"^'weights' must be finite to be pruned"):
        prune(one_layer(1, value), 1.0)
