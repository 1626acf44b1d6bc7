"""A ConvNeXt for ONNX Runtime: the same function of an image as torchvision's, in fewer steps.

torchvision keeps activations channels-first, transposes them twice in each block, and scales each block's output.
This form differs in three ways:

- Activations stay channels-last, except in convolutions. There ONNX Runtime on x86 transposes anyway, while it
  packs its input.
- The layer scale is folded into the weights before it.
- Depthwise kernels are cropped to the taps that ever meet a pixel. At 32 pixels most blocks have 2 × 2 activations
  and need 9 of the 49 taps.

ConvNeXt-Small, pruned to 0.8 and int8, has 303 nodes in this form instead of 521 (ONNX Runtime 1.31).

Tried and not taken, because it took 1.08 to 1.12 times as long (Zen 3, one thread): a depthwise convolution of
2 × 2 pixels as a product and a sum, and a downsampling as a matrix product of its patches in fp32.
"""

from __future__ import annotations

from typing import Any, cast

from torch import Tensor, nn
from torch.nn.functional import layer_norm


class ChannelsLastConvNeXt(nn.Module):
    """torchvision's ConvNeXt `model` in channels-last form, with the same weights.

    It maps images (n, 3, resolution, resolution) to logits (n, classes).
    """

    def __init__(self, model: nn.Module, resolution: int) -> None:
        super().__init__()
        stem, *stages = cast(Any, model).features
        parts: list[nn.Module] = [_Downsampling(stem[0], before=None, after=stem[1])]
        side = resolution // stem[0].stride[0]
        for stage in stages:
            if isinstance(stage[0], nn.LayerNorm):
                parts.append(_Downsampling(stage[1], before=stage[0], after=None))
                side //= stage[1].stride[0]
            else:
                parts.extend(_Block(block, side) for block in stage)
        self.parts = nn.Sequential(*parts)
        self.norm, _, self.classifier = cast(Any, model).classifier

    def forward(self, image: Tensor) -> Tensor:
        """Return the logits."""
        pooled = self.parts(image.permute(0, 2, 3, 1)).mean((1, 2))
        return cast(Tensor, self.classifier(_layer_norm(pooled, self.norm)))


class _Downsampling(nn.Module):
    """A strided convolution with a layer normalisation before or after it, (n, h, w, c) to (n, h/s, w/s, d)."""

    def __init__(self, convolution: nn.Module, *, before: nn.LayerNorm | None, after: nn.LayerNorm | None) -> None:
        super().__init__()
        self.before, self.convolution, self.after = before, convolution, after

    def forward(self, x: Tensor) -> Tensor:
        x = _convolve(_layer_norm(x, self.before), self.convolution)
        return _layer_norm(x, self.after)


class _Block(nn.Module):
    """A torchvision block, (n, side, side, c) to the same shape. The layer scale is folded into the last matrix."""

    def __init__(self, block: nn.Module, side: int) -> None:
        super().__init__()
        depthwise, _, self.norm, self.expand, self.activation, reduce, _ = cast(Any, block).block
        self.depthwise = _crop(depthwise, side)
        scale = cast(Any, block).layer_scale.detach().flatten()
        self.reduce = nn.Linear(reduce.in_features, reduce.out_features, device="meta")
        self.reduce.weight = nn.Parameter(reduce.weight.detach() * scale[:, None])
        self.reduce.bias = nn.Parameter(reduce.bias.detach() * scale)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.activation(self.expand(_layer_norm(_convolve(x, self.depthwise), self.norm)))
        return x + cast(Tensor, self.reduce(hidden))


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


def _layer_norm(x: Tensor, norm: nn.LayerNorm | None) -> Tensor:
    """Normalise over the last axis. The module's own `forward` can't be used: torchvision's transposes first."""
    if norm is None:
        return x
    return layer_norm(x, norm.normalized_shape, norm.weight, norm.bias, norm.eps)
