"""Faster fp32 training of 3 × 3 convolutions on feature maps of 8 × 8 pixels or fewer, as in VGG.

Two things are slow on a CPU (observed with torch 2.15 and oneDNN on two Zen 3 cores, batch 128): the gradient
of the weights (512 channels on 4 × 4 pixels take 159 ms, nine matrix products 95 ms), and taps that only meet
padding (on 2 × 2 pixels more than half of them: 145 ms for all three passes). Both are avoided here. The
weights and names of the model do not change. Results differ by rounding only.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.grad import conv2d_input

from edgeai_repro.networks.fast_cpu import replaced_forward

SIDE = 8  # pixels; on larger maps oneDNN's gradient of the weights is the faster one
CHANNELS = 256  # with fewer, matrix products are too small to gain
DENSE_SIDE = 2  # pixels; the products of all pairs of positions grow with the fourth power of the side
KERNEL = 3


@contextmanager
def fast_small_maps(model: nn.Module) -> Iterator[None]:
    """Run the 3 × 3 convolutions of `model` the fast way inside the block, and restore the model afterwards."""
    chosen = [module for module in model.modules() if type(module) is nn.Conv2d and _is_plain(module)]
    with replaced_forward({module: partial(_forward, module) for module in chosen}):
        yield


def _is_plain(conv: nn.Conv2d) -> bool:
    ones = conv.stride == conv.dilation == conv.padding == (1, 1) and conv.groups == 1
    wide = min(conv.in_channels, conv.out_channels) >= CHANNELS
    return conv.kernel_size == (KERNEL, KERNEL) and ones and wide and conv.bias is None


def _forward(conv: nn.Conv2d, images: Tensor) -> Tensor:
    device = images.device.type
    in_fp32 = images.dtype == torch.float32 and not torch.is_autocast_enabled(device)
    if not (in_fp32 and device == "cpu" and torch.is_grad_enabled() and max(images.shape[2:]) <= SIDE):
        return functional.conv2d(images, conv.weight, padding=1)
    if tuple(images.shape[2:]) == (DENSE_SIDE, DENSE_SIDE):
        return cast(Tensor, _AllPairs.apply(images, conv.weight))
    return cast(Tensor, _NineProducts.apply(images, conv.weight))


class _NineProducts(torch.autograd.Function):
    """A convolution whose gradient of the weights is one matrix product for each tap."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(images, weight)
        return functional.conv2d(images, weight, padding=1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        images, weight = ctx.saved_tensors
        (gradient,) = gradients
        height, width = images.shape[2:]
        padded = functional.pad(images, (1, 1, 1, 1)).permute(0, 2, 3, 1)  # (N, H + 2, W + 2, C)
        outputs = gradient.permute(0, 2, 3, 1).reshape(-1, weight.shape[0]).t()  # (K, N × H × W)
        taps = [
            outputs @ padded[:, down : down + height, right : right + width].reshape(-1, weight.shape[1])
            for down in range(KERNEL)
            for right in range(KERNEL)
        ]
        by_tap = torch.stack(taps, -1).view_as(weight)
        return cast(Tensor, conv2d_input(images.shape, weight, gradient, padding=1)), by_tap  # type: ignore[no-untyped-call]


class _AllPairs(torch.autograd.Function):
    """A convolution on 2 × 2 pixels as one matrix product over all pairs of an output and an input position."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, weight: Tensor) -> Tensor:
        rows = [torch.cat([_tap(weight, output, position) for position in _POSITIONS], 1) for output in _POSITIONS]
        matrix = torch.cat(rows)  # (4 K, 4 C)
        flat = _flatten(images)
        ctx.save_for_backward(flat, matrix)
        return _unflatten(flat @ matrix.t())

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        flat, matrix = ctx.saved_tensors
        gradient = _flatten(gradients[0])
        outputs, inputs = matrix.shape[0] // len(_POSITIONS), matrix.shape[1] // len(_POSITIONS)
        pairs = (gradient.t() @ flat).view(len(_POSITIONS), outputs, len(_POSITIONS), inputs)
        weight = pairs.new_zeros(outputs, inputs, KERNEL, KERNEL)
        for row, output in enumerate(_POSITIONS):
            for column, position in enumerate(_POSITIONS):
                _tap(weight, output, position).add_(pairs[row, :, column])
        return _unflatten(gradient @ matrix), weight


_POSITIONS = tuple((row, column) for row in range(DENSE_SIDE) for column in range(DENSE_SIDE))


def _tap(weight: Tensor, output: tuple[int, int], position: tuple[int, int]) -> Tensor:
    """Return the (K, C) weights by which an output position sees an input position, a view."""
    return weight[:, :, position[0] - output[0] + 1, position[1] - output[1] + 1]


def _flatten(images: Tensor) -> Tensor:
    """Return (N, C, 2, 2) as (N, 4 C), pixel by pixel; of channels-last images a view."""
    return images.permute(0, 2, 3, 1).reshape(len(images), -1)


def _unflatten(flat: Tensor) -> Tensor:
    """Return (N, 4 C) as channels-last images (N, C, 2, 2)."""
    return flat.view(len(flat), DENSE_SIDE, DENSE_SIDE, -1).permute(0, 3, 1, 2)
