"""Structured pruning of any network: what is removed, what stays whole, and that the rest computes the same."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torchvision.models import SwinTransformer

from edgeai_repro.claims.entries import own_notes
from edgeai_repro.compress.channel_pruning import Goal, example_image, prune
from edgeai_repro.compress.followed_layers import followed
from edgeai_repro.compress.techniques import apply
from edgeai_repro.errors import UserError
from edgeai_repro.measure import counts
from edgeai_repro.networks.initial import draw_norms
from tests.support.hard_networks import Attention, Between, BetweenLSTM, HardCoded, TwoInputs

IMAGE = (torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(1)),)


def _cnn(norm: type[nn.Module] = nn.BatchNorm2d, channels: int = 3) -> nn.Sequential:
    """Return two convolutions, the first of 8 channels, and a classifier of 4 classes."""
    torch.manual_seed(0)
    layers = [nn.Conv2d(channels, 8, 3), norm(8), nn.ReLU(), nn.Conv2d(8, 16, 3), nn.BatchNorm2d(16), nn.ReLU()]
    network = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 4)).eval()
    draw_norms(network)
    return network


def test_channels_of_least_l1_norm_are_removed_with_all_that_depends_on_them() -> None:
    """Cutting the same channels by hand gives the same tensors, so that the other weights keep their values."""
    network = _cnn()
    conv, norm, after = network[0], network[1], network[3]
    weights = conv.weight.detach()
    weights[[1, 2, 5, 6]] *= 0.01

    smaller = prune(network, IMAGE, Goal(0.5), importance="l1")

    kept = [0, 3, 4, 7]
    assert torch.equal(smaller[0].weight, conv.weight[kept])
    assert torch.equal(smaller[1].running_mean, norm.running_mean[kept])
    last = after.weight.detach().abs().sum((1, 2, 3)).topk(8).indices.sort().values
    assert torch.equal(smaller[3].weight, after.weight[last][:, kept])
    assert torch.equal(smaller[8].weight, network[8].weight[:, last])


def test_outputs_are_those_with_zeros_and_not_those_of_the_whole_network() -> None:
    """The original with the removed channels set to 0 by hand gives the same outputs; the original doesn't."""
    network = _cnn()
    smaller = prune(network, IMAGE, Goal(0.5))
    masked = copy.deepcopy(network)
    for index in (1, 4):  # the statistics of a BatchNorm tell its channels apart
        gone = ~torch.isin(network[index].running_mean, smaller[index].running_mean)
        masked[index].weight.detach()[gone] = 0
        masked[index].bias.detach()[gone] = 0

    with torch.no_grad():
        actual, expected, control = smaller(*IMAGE), masked(*IMAGE), network(*IMAGE)
    assert torch.allclose(actual, expected, atol=1e-5 * float(expected.abs().max()))
    assert float((control - expected).abs().max()) > 1e-2 * float(expected.abs().max())


def test_the_network_is_not_changed() -> None:
    """Its values, gradients' flags and mode stay, and the smaller network has the flags."""
    network = _cnn().train()
    network[0].weight.requires_grad_(False)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}

    smaller = prune(network, IMAGE, Goal(0.5))

    assert network.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert [parameter.requires_grad for parameter in smaller.parameters()][:2] == [False, True]
    assert smaller[0].weight.dtype == torch.float32


@pytest.mark.parametrize("of", ["parameters", "macs"])
def test_a_target_of_parameters_or_macs_is_met_with_the_least_share(of: str) -> None:
    """Our own counters find the reduction at least as large as the target, but not by more than a channel each."""
    network = _cnn()
    smaller = prune(network, IMAGE, Goal(0.6, of))  # type: ignore[arg-type]

    before, after = (counts.actual(one, inputs=IMAGE) for one in (network, smaller))
    reduction = 1 - getattr(after, of) / getattr(before, of)
    assert 0.6 <= reduction < 0.75


def test_attention_and_normalised_features_stay_whole_and_the_mlp_is_pruned() -> None:
    """The hidden features of the MLP are halved; a note names a layer that stopped the others."""
    network = Attention().eval()
    smaller = prune(network, (torch.randn(1, 5, 8),), Goal(0.5))

    assert isinstance(smaller, Attention)
    assert smaller.expand.out_features == smaller.reduce.in_features == 16
    assert smaller.query.out_features == smaller.value.out_features == 8
    note = str(own_notes(smaller)["groups_left_whole"])
    assert "normalises over channels" in note or "mixes channels" in note
    assert own_notes(network) == {}


def test_tables_of_positions_are_not_followed_and_the_mlps_beside_them_are_pruned() -> None:
    """The library's lists of indices would grow at Swin's tables until one group takes minutes."""
    network = SwinTransformer([4, 4], 16, [1, 1], [2, 2], [7, 7], num_classes=3).eval()
    smaller = prune(network, (torch.randn(1, 3, 28, 28),), Goal(0.5))

    tables = {name for name, _ in network.named_parameters() if name.endswith("relative_position_bias_table")}
    assert len(tables) == 2
    followed(network)
    assert {name for name, parameter in network.named_parameters() if not parameter.requires_grad} == tables
    shapes = {name: tuple(value.shape) for name, value in smaller.state_dict().items()}
    assert shapes["features.1.0.mlp.0.weight"] == (32, 16)  # of (64, 16)
    assert all(shapes[name] == tuple(network.get_parameter(name).shape) for name in tables)


def test_an_lstm_keeps_its_width_and_the_layers_around_it_are_pruned() -> None:
    """The library would begin groups at the LSTM, too, and fails on this network when it does."""
    smaller = prune(BetweenLSTM().eval(), (torch.randn(2, 5, 8),), Goal(0.5))

    assert isinstance(smaller, BetweenLSTM)
    assert (smaller.lstm.input_size, smaller.lstm.hidden_size) == (8, 24)
    assert (smaller.first.out_features, smaller.third.in_features, smaller.third.out_features) == (16, 48, 8)


def test_a_network_with_normalised_channels_only_is_refused_with_the_layer() -> None:
    """GroupNorm's other channels change with the width, so that no removal would be exact."""
    network = nn.Sequential(nn.Conv2d(3, 8, 1), nn.GroupNorm(2, 8), nn.Conv2d(8, 4, 1)).eval()

    with pytest.raises(UserError, match=r"got none; 0: 1 \(GroupNorm\) normalises over channels"):
        prune(network, IMAGE, Goal(0.5))


def test_a_group_that_breaks_the_network_stays_whole_and_the_others_are_pruned() -> None:
    """The width of the first branch is part of its code; several outputs and changes in place don't matter."""
    smaller = prune(HardCoded().eval(), IMAGE, Goal(0.5))

    assert isinstance(smaller, HardCoded)
    assert (smaller.first.out_channels, smaller.second.out_channels) == (8, 4)
    note = str(own_notes(smaller)["groups_left_whole"])
    assert note.startswith("1 of 2, for example first: without its channels the network doesn't run")


def test_networks_with_other_inputs_than_an_image_are_pruned() -> None:
    """A network of two inputs is given both, and one for grey images an image of one channel."""
    two = apply(TwoInputs().eval(), "structured_pruning", {"target": 0.5}, inputs=(*IMAGE, IMAGE[0][:, :1]))
    grey = prune(_cnn(channels=1), example_image(_cnn(channels=1), 8), Goal(0.5))

    assert isinstance(two, TwoInputs)
    assert two.mask.out_channels == two.both.in_channels == 4
    assert grey[3].in_channels == 4


def _by_shape(features: Tensor) -> Tensor:
    """Normalise each channel by the number of pixels, which the shape gives."""
    flat = features.view(len(features), features.shape[1], -1)
    return (flat / flat.shape[-1]).view(features.shape)


def _by_values(features: Tensor) -> Tensor:
    """Add the mean of those values that are above a threshold: the shape between depends on the data."""
    return features + features[features > 0.1].sum()


@pytest.mark.parametrize("function", [_by_shape, _by_values])
def test_shapes_that_depend_on_the_input_do_not_stop_pruning(function: Callable[[Tensor], Tensor]) -> None:
    """The removal is exact, or it would have been refused."""
    smaller = prune(Between(function).eval(), IMAGE, Goal(0.5))

    assert isinstance(smaller, Between)
    assert smaller.first.out_channels == smaller.last.in_channels == 4


def test_a_custom_operator_without_a_gradient_does_not_stop_pruning() -> None:
    """Autograd records it all the same, and the removal around it is compared like any other."""

    @torch.library.custom_op("edgeai_pruning::triple", mutates_args=())
    def triple(x: Tensor) -> Tensor:
        return 3 * x

    smaller = prune(Between(lambda x: triple(x)).eval(), IMAGE, Goal(0.5))

    assert isinstance(smaller, Between)
    assert smaller.first.out_channels == smaller.last.in_channels == 4


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"target": 1.0}, "'target' must be between 0 and 1"),
        ({"target": 0.999}, r"exactly \(got none; 3: torch-pruning removes none of its channels at this share\)"),
        ({"target": 0.999, "target_of": "macs"}, r"2 of 2 groups can be pruned, which takes 9\d\.\d% of the macs"),
        ({"target": 0.5, "target_of": "bytes"}, "'target_of' must be known"),
        ({"target": 0.5, "importance": "l3"}, "'importance' must be known"),
        ({"target": 0.5, "importance": "hesso"}, "'importance' must be l1 or group_norm for Sequential"),
    ],
)
def test_settings_that_cannot_be_met_are_refused_in_a_line(settings: dict[str, float | str], message: str) -> None:
    """The error names the setting, the rule and the next step."""
    with pytest.raises(UserError, match=message):
        apply(_cnn(), "structured_pruning", settings, inputs=IMAGE)


def test_a_network_that_cannot_be_traced_is_refused_in_a_line() -> None:
    """The reason is the network's own."""
    with pytest.raises(UserError, match=r"a network that torch-pruning can follow \(got Sequential: "):
        prune(_cnn(), (torch.randn(1, 5, 8, 8),), Goal(0.5))
