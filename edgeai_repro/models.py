"""ConvNeXt as torch modules: torchvision's code, built without the seconds that its initialisation takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torchvision.models.convnext import CNBlock, CNBlockConfig, ConvNeXt

from edgeai_repro.architecture import ARCHITECTURES, Architecture

WEIGHT_STD = 0.02  # torchvision's trunc_normal_(std=0.02), cut at ± 2 absolute, is this normal distribution


def build(
    name: str,
    *,
    num_classes: int = 10,
    stem_stride: int = 4,
    hidden_widths: Sequence[int] | None = None,
    seed: int | None = 0,
) -> ConvNeXt:
    """Build torchvision's ConvNeXt `name` in eval mode.

    The weights follow torchvision's initial distribution under `seed`; with `seed=None` they are left
    uninitialised, for a `state_dict` to fill. `hidden_widths` gives each block's MLP width where it was pruned;
    `stem_stride` is the stem's stride and kernel size. Input is (N, 3, H, W), H and W multiples of
    `8 * stem_stride`; output (N, num_classes) logits. Raises KeyError for an unknown name.
    """
    architecture = ARCHITECTURES[name]
    with torch.device("meta"):
        model = _skeleton(architecture, num_classes, stem_stride)
        if hidden_widths is not None:
            resize_hidden(model, hidden_widths)
    model.to_empty(device="cpu")
    if seed is not None:
        initialise(model, seed)
    return model.eval()


def _skeleton(architecture: Architecture, num_classes: int, stem_stride: int) -> ConvNeXt:
    followers = [*architecture.widths[1:], None]
    model = ConvNeXt(
        [
            CNBlockConfig(width, follower, depth)
            for width, follower, depth in zip(architecture.widths, followers, architecture.depths, strict=True)
        ],
        stochastic_depth_prob=architecture.stochastic_depth,
        num_classes=num_classes,
    )
    if stem_stride != 4:
        model.features[0][0] = nn.Conv2d(3, architecture.widths[0], stem_stride, stem_stride)
    return model


def blocks(model: nn.Module) -> list[CNBlock]:
    """Return the residual blocks in the order of execution."""
    return [module for module in model.modules() if isinstance(module, CNBlock)]


def hidden_widths(model: nn.Module) -> tuple[int, ...]:
    """Return each block's MLP width, in the order of the blocks; a quantized model answers too."""
    return tuple(int(block.block[3].out_features) for block in blocks(model))


def resize_hidden(model: ConvNeXt, widths: Sequence[int]) -> None:
    """Give each block new, uninitialised MLP layers of the given widths. Raises ValueError on a wrong count."""
    for block, width in zip(blocks(model), widths, strict=True):
        channels = cast(int, block.block[3].in_features)
        block.block[3] = nn.Linear(channels, width)
        block.block[5] = nn.Linear(width, channels)


@torch.no_grad()
def initialise(model: nn.Module, seed: int) -> None:
    """Fill all parameters as torchvision's constructor does: normal weights, zero biases, layer scale 1e-6."""
    generator = torch.Generator().manual_seed(seed)
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.weight.normal_(0.0, WEIGHT_STD, generator=generator)
            cast(Tensor, module.bias).zero_()
        elif isinstance(module, nn.LayerNorm):
            module.weight.fill_(1.0)
            module.bias.zero_()
        elif isinstance(module, CNBlock):
            module.layer_scale.fill_(1e-6)


def random_images(count: int, resolution: int = 32, seed: int = 0) -> Tensor:
    """Return generated images, float32 (count, 3, resolution, resolution), standard normal."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, 3, resolution, resolution, generator=generator)
