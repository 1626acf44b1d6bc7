"""The same depthwise convolutions, several times faster where ConvNeXt's feature maps are small.

At 32 × 32 pixels ConvNeXt slides a 7 × 7 kernel over maps of 16 × 16 down to 1 × 1. Two things are slow there on a
CPU (observed with torch 2.15 and oneDNN on two Zen 5 cores, batch 128): the kernel's taps that only ever meet
padding (a 1 × 1 map of 768 channels takes 19 ms, a multiplication 0.1 ms), and the bf16 gradient of the weights
(4 to 5 ms a layer where the forward pass takes 0.1). Both go without a change to the model's weights or names.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

PAIRED_SIDE = 16  # the products of all pairs of positions grow with its fourth power; at 16 still twice as fast


@contextmanager
def fast_depthwise(model: nn.Module) -> Iterator[None]:
    """Run `model`'s depthwise convolutions the fast way inside the block; the model itself stays as it was."""
    chosen = [module for module in model.modules() if type(module) is nn.Conv2d and _is_depthwise(module)]
    for module in chosen:
        module.__class__ = _FastDepthwise
    try:
        yield
    finally:
        for module in chosen:
            module.__class__ = nn.Conv2d


def _is_depthwise(conv: nn.Conv2d) -> bool:
    same = all(2 * pad == size - 1 for pad, size in zip(cast(Any, conv.padding), conv.kernel_size, strict=True))
    return conv.groups == conv.in_channels == conv.out_channels and conv.stride == conv.dilation == (1, 1) and same


class _FastDepthwise(nn.Conv2d):
    def forward(self, input: Tensor) -> Tensor:
        if torch.is_autocast_enabled(input.device.type):
            input = input.to(torch.get_autocast_dtype(input.device.type))
        weight, bias = self.weight.to(input.dtype), self.bias if self.bias is None else self.bias.to(input.dtype)
        radii = [min(size // 2, side - 1) for size, side in zip(self.kernel_size, input.shape[2:], strict=True)]
        rows, columns = (
            slice(size // 2 - radius, size // 2 + radius + 1)
            for size, radius in zip(self.kernel_size, radii, strict=True)
        )
        weight = weight[:, :, rows, columns]
        if radii == [0, 0]:
            scaled = input * weight.view(1, -1, 1, 1)
            return scaled if bias is None else scaled + bias.view(1, -1, 1, 1)
        if _pairing_pays(input):
            return cast(Tensor, _Depthwise.apply(input, weight, bias))
        return functional.conv2d(input, weight, bias, padding=tuple(radii), groups=self.groups)


def _pairing_pays(images: Tensor) -> bool:
    small = max(images.shape[2:]) <= PAIRED_SIDE
    return images.device.type == "cpu" and images.dtype == torch.bfloat16 and small and torch.is_grad_enabled()


class _Depthwise(torch.autograd.Function):
    """A depthwise convolution with 'same' padding whose weight gradient is one batched matrix product."""

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
        # The transposed convolution of a 'same' depthwise one is the convolution with the kernel turned around.
        back = functional.conv2d(gradient, weight.flip(2, 3), padding=padding, groups=weight.shape[0])
        bias = gradient.sum((0, 2, 3)) if ctx.has_bias else None
        return back, _weight_gradient(images, gradient, weight.shape[2:]), bias


def _weight_gradient(images: Tensor, gradient: Tensor, kernel: torch.Size) -> Tensor:
    """Return (C, 1, *kernel): the correlation of `images` and `gradient`, both (N, C, H, W), summed over N.

    The products of every position of the one with every position of the other, summed over the batch, are a matrix
    product for each channel; a tap of the kernel is the sum over the pairs that lie that far apart.
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
