"""Depthwise convolutions that are several times faster on the CPU if the feature maps are small.

At 32 × 32 pixels ConvNeXt slides a 7 × 7 kernel over maps of 16 × 16 down to 1 × 1 pixels. Two things are slow
there on a CPU (observed with torch 2.15 and oneDNN on two Zen 5 cores, batch 128). First, most taps of the kernel
only ever meet padding: a 1 × 1 map of 768 channels takes 19 ms, while the multiplication that is needed takes 0.1
ms. Second, the bf16 gradient of the weights takes 4 to 5 ms per layer, while the forward pass takes 0.1 ms.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from edgeai_repro.networks.fast_cpu import replaced_forward

# The work of `_weight_gradient` grows with the fourth power of the side; with 16 pixels it is still twice as fast.
LARGEST_SIDE = 16


@contextmanager
def fast_depthwise(model: nn.Module) -> Iterator[None]:
    """Run the depthwise convolutions of `model` on the fast path inside the block."""
    layers = [module for module in model.modules() if type(module) is nn.Conv2d and _is_depthwise(module)]
    with replaced_forward({layer: partial(_forward, layer) for layer in layers}):
        yield


def _is_depthwise(conv: nn.Conv2d) -> bool:
    """Return whether a convolution is depthwise, with stride 1 and 'same' padding."""
    same = all(2 * pad == size - 1 for pad, size in zip(cast(Any, conv.padding), conv.kernel_size, strict=True))
    return conv.groups == conv.in_channels == conv.out_channels and conv.stride == conv.dilation == (1, 1) and same


def _forward(conv: nn.Conv2d, images: Tensor) -> Tensor:
    """Return the convolution of `images` (N, C, H, W), without the taps that only meet padding."""
    if torch.is_autocast_enabled(images.device.type):
        images = images.to(torch.get_autocast_dtype(images.device.type))
    weight, bias = conv.weight.to(images.dtype), conv.bias if conv.bias is None else conv.bias.to(images.dtype)
    radii = [min(size // 2, side - 1) for size, side in zip(conv.kernel_size, images.shape[2:], strict=True)]
    rows, columns = (
        slice(size // 2 - radius, size // 2 + radius + 1)
        for size, radius in zip(conv.kernel_size, radii, strict=True)
    )
    weight = weight[:, :, rows, columns]
    if radii == [0, 0]:
        scaled = images * weight.view(1, -1, 1, 1)
        return scaled if bias is None else scaled + bias.view(1, -1, 1, 1)
    if _has_slow_gradient(images):
        return cast(Tensor, _Depthwise.apply(images, weight, bias))
    return functional.conv2d(images, weight, bias, padding=tuple(radii), groups=conv.groups)


def _has_slow_gradient(images: Tensor) -> bool:
    small = max(images.shape[2:]) <= LARGEST_SIDE
    return images.device.type == "cpu" and images.dtype == torch.bfloat16 and small and torch.is_grad_enabled()


class _Depthwise(torch.autograd.Function):
    """A depthwise convolution with 'same' padding, whose weight gradient is one batched matrix product."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(images, weight)
        ctx.has_bias = bias is not None
        padding = (weight.shape[2] // 2, weight.shape[3] // 2)
        return functional.conv2d(images, weight, bias, padding=padding, groups=weight.shape[0])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        images, weight = ctx.saved_tensors
        (gradient,) = gradients
        padding = (weight.shape[2] // 2, weight.shape[3] // 2)
        # The gradient of the input is a convolution with the flipped kernel, because the padding is 'same'.
        of_images = functional.conv2d(gradient, weight.flip(2, 3), padding=padding, groups=weight.shape[0])
        of_bias = gradient.sum((0, 2, 3)) if ctx.has_bias else None
        return of_images, _weight_gradient(images, gradient, weight.shape[2:]), of_bias


def _weight_gradient(images: Tensor, gradient: Tensor, kernel: torch.Size) -> Tensor:
    """Return the gradient of the weight, (C, 1, *kernel).

    It is the correlation of `images` and `gradient`, both (N, C, H, W), summed over N. A matrix product per channel
    multiplies every position of one with every position of the other. A tap of the kernel is the sum over all pairs
    of positions with the tap's offset.
    """
    count, channels, height, width = images.shape
    left = gradient.permute(1, 2, 3, 0).reshape(channels, height * width, count)
    right = images.permute(1, 0, 2, 3).reshape(channels, count, height * width)
    pairs = torch.bmm(left, right).view(channels, height, width, height, width)
    rows = [
        pairs.diagonal(down, 1, 3).sum(-1, dtype=torch.float32)  # (C, W, W)
        for down in range(-(kernel[0] // 2), kernel[0] // 2 + 1)
    ]
    stacked = torch.stack(rows, 1)  # (C, kernel rows, W, W)
    taps = [stacked.diagonal(right, 2, 3).sum(-1) for right in range(-(kernel[1] // 2), kernel[1] // 2 + 1)]
    return torch.stack(taps, -1).unsqueeze(1).to(images.dtype)
