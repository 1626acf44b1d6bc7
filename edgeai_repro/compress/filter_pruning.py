"""Filter pruning that keeps the weights (Li et al. 2017, *Pruning Filters for Efficient ConvNets*, section 3).

Filters are ranked within a layer by the l1 norm of their weights, over all input channels ("independent"). The
smallest are removed, with their feature maps, their entries of the following BatchNorm and the matching inputs of
the next layer. In residual networks only the first convolution of a block is pruned, so that no shortcut changes.
`random` and `largest` are the paper's controls. Layers have the paper's numbers: 1 is the first convolution.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from edgeai_repro.errors import UserError, did_you_mean
from edgeai_repro.networks.resnet_cifar import Block, ResNetCifar, resnet_cifar
from edgeai_repro.networks.vgg_cifar import VggCifar, vgg_cifar

Ranking = Literal["l1", "random", "largest"]
Prunable = ResNetCifar | VggCifar
Rates = Mapping[int, float]  # by the number of the layer


@dataclass(frozen=True)
class Site:
    """A layer that can be pruned: the names of its convolution, of its BatchNorm, and of the layer that follows."""

    conv: str
    norm: str
    follower: str


def prune_filters(model: Prunable, rates: Rates, *, ranking: Ranking = "l1", seed: int = 0) -> Prunable:
    """Return a smaller network without the share of filters that `rates` gives for each layer.

    int(n * (1 - rate)) filters of n are kept, in their order. `random` draws them under `seed`. The given
    network is not changed. Raises UserError for a layer that cannot be pruned, a rate out of [0, 1) or one that
    empties a layer, an unknown ranking, and weights that are not finite.
    """
    return keep_filters(model, kept_counts(model, rates), ranking=ranking, seed=seed)


def prune_to_widths(model: Prunable, widths: Sequence[int], *, ranking: Ranking = "l1", seed: int = 0) -> Prunable:
    """Return a smaller network with the given number of filters in each layer that can be pruned, in their order.

    Otherwise it is `prune_filters`. Raises UserError for another number of widths than layers, naming the layers,
    and for a width that the layer does not have.
    """
    places = sites(model)
    if len(widths) != len(places):
        raise UserError(
            f"'widths' must be {len(places)}, one per layer that can be pruned (got {len(widths)}); "
            f"these are the layers {', '.join(map(str, places))}"
        )
    counts = dict(zip(places, widths, strict=True))
    for number, count in counts.items():
        filters = len(model.get_parameter(f"{places[number].conv}.weight"))
        if not 1 <= count <= filters:
            raise UserError(f"the width of layer {number} must be from 1 to {filters} (got {count}); correct it")
    return keep_filters(model, counts, ranking=ranking, seed=seed)


def keep_filters(model: Prunable, counts: Mapping[int, int], *, ranking: Ranking = "l1", seed: int = 0) -> Prunable:
    """Return a smaller network with `counts` filters in the layers of these numbers, as `prune_filters` does."""
    if ranking not in get_args(Ranking):
        raise UserError(f"'ranking' must be known (got {ranking!r}); {did_you_mean(ranking, get_args(Ranking))}")
    places = sites(model)
    weights = {number: model.get_parameter(f"{places[number].conv}.weight") for number in counts}
    kept = {
        number: _kept_filters(weights[number], count, ranking, (seed, number)) for number, count in counts.items()
    }
    smaller = copy.deepcopy(model)
    for number, filters in kept.items():
        _cut(smaller, places[number], filters)
    return smaller


def _cut(model: Prunable, site: Site, filters: Tensor) -> None:
    """Leave only some filters of a layer, with their entries of the BatchNorm and of the layer that follows."""
    conv, norm, follower = (model.get_submodule(name) for name in (site.conv, site.norm, site.follower))
    assert isinstance(conv, nn.Conv2d)
    assert isinstance(norm, nn.BatchNorm2d)
    assert isinstance(follower, nn.Conv2d | nn.Linear)
    for layer, names in ((conv, ("weight", "bias")), (norm, ("weight", "bias", "running_mean", "running_var"))):
        for name in names:
            if (tensor := getattr(layer, name)) is not None:
                tensor.data = tensor.data[filters]
    follower.weight.data = follower.weight.data[:, filters]
    conv.out_channels = norm.num_features = len(filters)
    if isinstance(follower, nn.Conv2d):
        follower.in_channels = len(filters)
    else:
        follower.in_features = len(filters)


def kept_counts(model: Prunable, rates: Rates) -> dict[int, int]:
    """Return how many filters of each layer are kept. Raises UserError as `prune_filters` does."""
    places = sites(model)
    counts = {}
    for number, rate in rates.items():
        if number not in places:
            known = ", ".join(map(str, places))
            raise UserError(f"'rates' must name layers that can be pruned (got {number}); choose among {known}")
        if not 0 <= rate < 1:
            raise UserError(f"the rate of layer {number} must be a share in [0, 1) (got {rate}); correct it")
        filters = len(model.get_parameter(f"{places[number].conv}.weight"))
        # round() first: 10 * (1 - 0.9) is 0.99…98 in binary.
        counts[number] = int(round(filters * (1 - rate), 9))
        if not counts[number]:
            raise UserError(
                f"the rate of layer {number} must leave one of its {filters} filters (got {rate}); "
                "choose a lower one"
            )
    return counts


def sites(model: Prunable) -> dict[int, Site]:
    """Return the layers that can be pruned, by their number in the paper."""
    if isinstance(model, ResNetCifar):
        blocks = [name for name, module in model.named_modules() if isinstance(module, Block)]
        return {
            2 * index: Site(f"{name}.conv1", f"{name}.bn1", f"{name}.conv2") for index, name in enumerate(blocks, 1)
        }
    convs = [index for index, layer in enumerate(model.features) if isinstance(layer, nn.Conv2d)]
    followers = [*(f"features.{index}" for index in convs[1:]), "classifier.0"]
    return {
        number: Site(f"features.{index}", f"features.{index + 1}", follower)
        for number, (index, follower) in enumerate(zip(convs, followers, strict=True), 1)
    }


def resized(model: Prunable, counts: Mapping[int, int], *, seed: int | None) -> Prunable:
    """Return a new network like `model` with another number of filters in some layers, drawn under `seed`."""
    if isinstance(model, ResNetCifar):
        widths = [counts.get(2 * index, width) for index, width in enumerate(model.hidden_widths, 1)]
        return resnet_cifar(2 * len(widths) + 2, hidden_widths=widths, classes=model.linear.out_features, seed=seed)
    channels: list[int | str] = []
    number = 0
    for entry in model.channels:
        number += isinstance(entry, int)
        channels.append(counts.get(number, entry) if isinstance(entry, int) else entry)
    head = model.classifier[-1]
    assert isinstance(head, nn.Linear)
    return vgg_cifar(channels, classes=head.out_features, seed=seed)


def _kept_filters(weight: Tensor, count: int, ranking: Ranking, seed: tuple[int, int]) -> Tensor:
    """Return the indices of the filters that stay, in ascending order, int64 (count,)."""
    norms = weight.detach().abs().sum((1, 2, 3), dtype=torch.float64)
    if not norms.isfinite().all():
        raise UserError("the weights must be finite to be ranked (they are not); train again with a lower 'lr'")
    if ranking == "random":
        generator = torch.Generator().manual_seed(seed[0] * 1000 + seed[1])
        order = torch.randperm(len(norms), generator=generator)
    else:
        order = norms.argsort(descending=ranking == "l1", stable=True)  # the first ones stay
    return order[:count].sort().values
