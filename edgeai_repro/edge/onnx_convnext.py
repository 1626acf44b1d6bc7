"""A ConvNeXt for ONNX Runtime: the same function of an image as torchvision's, in fewer and cheaper steps.

torchvision keeps activations channels-first, transposes them twice in each block, and scales each block's output.
This form differs in five ways:

- Activations stay channels-last, except in convolutions. There ONNX Runtime on x86 transposes anyway, while it
  packs its input.
- The layer scale is folded into the weights before it.
- Depthwise kernels are cropped to the taps that ever meet a pixel. At 32 pixels most blocks have 2 × 2 activations
  and need 9 of the 49 taps.
- On activations of at most 2 × 2 a depthwise convolution is a product with its taps and a sum, without a change of
  layout. Such activations are tokens, (n, pixels, channels).
- A downsampling to at most 4 × 4 is one matrix product of its patches. It stays in fp32, as the convolution does.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import layer_norm

TOKENS = 2  # side up to which activations are tokens
PATCHES = 4  # side of the output up to which a downsampling is a matrix product


class ChannelsLastConvNeXt(nn.Module):
    """torchvision's ConvNeXt `model` in channels-last form, with the same weights.

    It maps images (n, 3, resolution, resolution) to logits (n, classes).
    """

    def __init__(self, model: nn.Module, resolution: int) -> None:
        super().__init__()
        stem, *stages = cast(Any, model).features
        parts: list[nn.Module] = [_Stem(stem[0], stem[1])]
        side = resolution // stem[0].stride[0]
        for stage in stages:
            if isinstance(stage[0], nn.LayerNorm):
                parts.append(_downsampling(stage[0], stage[1], side))
                side //= stage[1].stride[0]
            else:
                parts.extend(_Block(block, side) for block in stage)
        self.parts = nn.Sequential(*parts)
        self.norm, _, self.classifier = cast(Any, model).classifier

    def forward(self, image: Tensor) -> Tensor:
        """Return the logits."""
        pooled = self.parts(image.permute(0, 2, 3, 1)).flatten(1, -2).mean(1)
        return cast(Tensor, self.classifier(_layer_norm(pooled, self.norm)))


class _Stem(nn.Module):
    """The first convolution and its layer normalisation, (n, h, w, 3) to (n, h/s, w/s, c)."""

    def __init__(self, convolution: nn.Module, norm: nn.LayerNorm) -> None:
        super().__init__()
        self.convolution, self.norm = convolution, norm

    def forward(self, x: Tensor) -> Tensor:
        return _layer_norm(_convolve(x, self.convolution), self.norm)


def _downsampling(norm: nn.LayerNorm, convolution: nn.Conv2d, side: int) -> nn.Module:
    """Return a layer normalisation and a strided convolution of activations with this side."""
    if side // convolution.stride[0] <= PATCHES:
        return _PatchProduct(norm, convolution, side)
    return _Downsampling(norm, convolution)


class _Downsampling(nn.Module):
    """A layer normalisation and a strided convolution, (n, h, w, c) to (n, h/s, w/s, d)."""

    def __init__(self, norm: nn.LayerNorm, convolution: nn.Module) -> None:
        super().__init__()
        self.norm, self.convolution = norm, convolution

    def forward(self, x: Tensor) -> Tensor:
        return _convolve(_layer_norm(x, self.norm), self.convolution)


class _PatchProduct(nn.Module):
    """The same function as one matrix product: each patch of s × s pixels is a row. Tokens come and go as such."""

    def __init__(self, norm: nn.LayerNorm, convolution: nn.Conv2d, side: int) -> None:
        super().__init__()
        self.norm, self.side, self.stride = norm, side, convolution.stride[0]
        weight = convolution.weight.detach().permute(0, 2, 3, 1).flatten(1)
        self.product = nn.Linear(weight.shape[1], weight.shape[0], device="meta")
        self.product.weight, self.product.bias = nn.Parameter(weight), convolution.bias

    def forward(self, x: Tensor) -> Tensor:
        stride, new_side = self.stride, self.side // self.stride
        x = _layer_norm(x, self.norm)
        if new_side > 1 or self.side > stride:  # else all tokens are one patch
            channels = x.shape[-1]
            used = x.reshape(-1, self.side, self.side, channels)[:, : new_side * stride, : new_side * stride]
            x = used.reshape(-1, new_side, stride, new_side, stride, channels).permute(0, 1, 3, 2, 4, 5)
        # Of two dimensions, so that it is exported as Gemm, which dynamic quantization leaves in fp32.
        rows = self.product(x.reshape(-1, self.product.in_features))
        shape = (new_side * new_side,) if new_side <= TOKENS else (new_side, new_side)
        return cast(Tensor, rows.reshape(-1, *shape, self.product.out_features))


class _Block(nn.Module):
    """A torchvision block; its output has the shape of its input, (n, side, side, c), or (n, side · side, c) of tokens.

    The layer scale is folded into the last matrix.
    """

    def __init__(self, block: nn.Module, side: int) -> None:
        super().__init__()
        depthwise, _, self.norm, self.expand, self.activation, reduce, _ = cast(Any, block).block
        cropped = _crop(depthwise, side)
        self.depthwise = _DepthwiseOfTokens(cropped, side) if side <= TOKENS else _Depthwise(cropped)
        scale = cast(Any, block).layer_scale.detach().flatten()
        self.reduce = nn.Linear(reduce.in_features, reduce.out_features, device="meta")
        self.reduce.weight = nn.Parameter(reduce.weight.detach() * scale[:, None])
        self.reduce.bias = nn.Parameter(reduce.bias.detach() * scale)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.activation(self.expand(_layer_norm(self.depthwise(x), self.norm)))
        return x + cast(Tensor, self.reduce(hidden))


class _Depthwise(nn.Module):
    """A depthwise convolution of activations (n, h, w, c)."""

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        self.convolution = convolution

    def forward(self, x: Tensor) -> Tensor:
        return _convolve(x, self.convolution)


class _DepthwiseOfTokens(nn.Module):
    """A depthwise convolution of tokens (n, side · side, c), whose kernel reaches from each pixel to all others.

    `taps` (side · side, side · side, c) has the tap between each pixel of the output and each of the input.
    """

    def __init__(self, convolution: nn.Conv2d, side: int) -> None:
        super().__init__()
        size = convolution.kernel_size[0]
        assert size == 2 * side - 1
        row, column = (part.flatten() for part in torch.meshgrid(*[torch.arange(side)] * 2, indexing="ij"))
        place = size * (row[None] - row[:, None] + side - 1) + column[None] - column[:, None] + side - 1
        self.taps = nn.Parameter(convolution.weight.detach().flatten(1).T[place])
        self.bias = convolution.bias

    def forward(self, x: Tensor) -> Tensor:
        if len(self.taps) == 1:
            return cast(Tensor, x * self.taps[0] + self.bias)
        return cast(Tensor, (x[:, None] * self.taps).sum(2) + self.bias)


def _crop(depthwise: nn.Conv2d, side: int) -> nn.Conv2d:
    """Return a depthwise convolution without the taps that only meet padding on `side` × `side` pixels."""
    padding = int(depthwise.padding[0])
    cut = max(0, padding - (side - 1))
    size, channels = 2 * (padding - cut) + 1, depthwise.in_channels
    cropped = nn.Conv2d(channels, channels, size, padding=padding - cut, groups=channels, device="meta")
    cropped.weight = nn.Parameter(depthwise.weight.detach()[:, :, cut : cut + size, cut : cut + size])
    cropped.bias = depthwise.bias
    return cropped


def _convolve(x: Tensor, convolution: nn.Module) -> Tensor:
    """Apply a convolution to activations (n, h, w, c)."""
    return cast(Tensor, convolution(x.permute(0, 3, 1, 2))).permute(0, 2, 3, 1)


def _layer_norm(x: Tensor, norm: nn.LayerNorm) -> Tensor:
    """Normalise over the last axis. The module's own `forward` can't be used: torchvision's transposes first."""
    return layer_norm(x, norm.normalized_shape, norm.weight, norm.bias, norm.eps)
