"""The CIFAR networks by name, each with one width per layer that filter pruning can cut."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from edgeai_repro.errors import UserError
from edgeai_repro.networks.resnet_cifar import DEPTHS, ResNetCifar, resnet_cifar
from edgeai_repro.networks.specs import VGG16
from edgeai_repro.networks.vgg_cifar import VggCifar, vgg_cifar

VGG = "vgg16_cifar"
HEADS = {VGG: "classifier.3."} | dict.fromkeys(DEPTHS, "linear.")  # the prefix of the last layer's parameters


def build(
    name: str, *, widths: Sequence[int] | None = None, classes: int = 10, seed: int | None = 0
) -> ResNetCifar | VggCifar:
    """Build `resnet20` … `resnet110` or `vgg16_cifar` for 32 × 32 pixels, in eval mode.

    `widths` are the hidden width of each block, or the filters of each convolution of VGG-16, if the network is
    pruned. The weights are drawn under `seed`, or left uninitialised with None. Raises KeyError for an unknown name
    and UserError for another number of widths.
    """
    if name != VGG:
        return resnet_cifar(DEPTHS[name], hidden_widths=widths, classes=classes, seed=seed)
    if widths is None:
        return vgg_cifar(classes=classes, seed=seed)
    convolutions = sum(isinstance(entry, int) for entry in VGG16)
    if len(widths) != convolutions:
        raise UserError(
            f"'widths' must be {convolutions}, one per convolution (got {len(widths)}); give all of them"
        )
    remaining = iter(widths)
    channels = [next(remaining) if isinstance(entry, int) else entry for entry in VGG16]
    return vgg_cifar(channels, classes=classes, seed=seed)


def widths(model: nn.Module) -> tuple[int, ...]:
    """Return the widths that `build` takes. Raises TypeError for another network."""
    if isinstance(model, ResNetCifar):
        return model.hidden_widths
    if isinstance(model, VggCifar):
        return tuple(entry for entry in model.channels if isinstance(entry, int))
    raise TypeError(f"'model' must be a CIFAR network (got {type(model).__name__})")
