"""ConvNeXt as a runtime likes it: the same function of an image in fewer steps.

torchvision keeps activations channels-first, turns them round twice in each block, and scales each block's output.
Here they stay channels-last but in convolutions, where ONNX Runtime on x86 turns them while it packs them; the
scale is part of the weights before it; and of a depthwise kernel only those taps are left that ever meet a pixel.
At 32 pixels most blocks see 2 × 2 of them, 9 of 49 taps. ConvNeXt-Small, pruned to 0.8 and int8, has 303 nodes so
in ONNX Runtime 1.31, not 521.
"""

from __future__ import annotations

from typing import Any, cast

from torch import Tensor, nn
from torch.nn.functional import layer_norm


class ChannelsLast(nn.Module):
    """A torchvision ConvNeXt, of its layers: images (n, 3, resolution, resolution) to its logits (n, classes)."""

    def __init__(self, model: nn.Module, resolution: int) -> None:
        super().__init__()
        stem, *stages = cast(Any, model).features
        parts: list[nn.Module] = [_Reduce(stem[0], before=None, after=stem[1])]
        side = resolution // stem[0].stride[0]
        for stage in stages:
            if isinstance(stage[0], nn.LayerNorm):
                parts.append(_Reduce(stage[1], before=stage[0], after=None))
                side //= stage[1].stride[0]
            else:
                parts.extend(_Block(block, side) for block in stage)
        self.parts = nn.Sequential(*parts)
        self.norm, _, self.classifier = cast(Any, model).classifier

    def forward(self, image: Tensor) -> Tensor:
        """Return the logits."""
        pooled = self.parts(image.permute(0, 2, 3, 1)).mean((1, 2))
        return cast(Tensor, self.classifier(_normalised(pooled, self.norm)))


class _Reduce(nn.Module):
    """A strided convolution, with a layer normalisation before or after it, (n, h, w, c) to (n, h/s, w/s, d)."""

    def __init__(self, convolution: nn.Module, *, before: nn.LayerNorm | None, after: nn.LayerNorm | None) -> None:
        super().__init__()
        self.before, self.convolution, self.after = before, convolution, after

    def forward(self, x: Tensor) -> Tensor:
        x = _convolved(_normalised(x, self.before), self.convolution)
        return _normalised(x, self.after)


class _Block(nn.Module):
    """A block of torchvision's, (n, side, side, c) to the same, its layer scale folded into the last matrix."""

    def __init__(self, block: nn.Module, side: int) -> None:
        super().__init__()
        depthwise, _, self.norm, self.widen, self.activation, narrow, _ = cast(Any, block).block
        self.depthwise = _cropped(depthwise, side)
        scale = cast(Any, block).layer_scale.detach().flatten()
        self.narrow = nn.Linear(narrow.in_features, narrow.out_features, device="meta")
        self.narrow.weight = nn.Parameter(narrow.weight.detach() * scale[:, None])
        self.narrow.bias = nn.Parameter(narrow.bias.detach() * scale)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.activation(self.widen(_normalised(_convolved(x, self.depthwise), self.norm)))
        return x + cast(Tensor, self.narrow(hidden))


def _cropped(depthwise: nn.Conv2d, side: int) -> nn.Conv2d:
    """Return a depthwise convolution without the taps that meet nothing but padding on `side` × `side` pixels."""
    reach = int(depthwise.padding[0])
    cut = max(0, reach - (side - 1))
    size, channels = 2 * (reach - cut) + 1, depthwise.in_channels
    cropped = nn.Conv2d(channels, channels, size, padding=reach - cut, groups=channels, device="meta")
    cropped.weight = nn.Parameter(depthwise.weight.detach()[:, :, cut : cut + size, cut : cut + size])
    cropped.bias = depthwise.bias
    return cropped


def _convolved(x: Tensor, convolution: nn.Module) -> Tensor:
    return cast(Tensor, convolution(x.permute(0, 3, 1, 2))).permute(0, 2, 3, 1)


def _normalised(x: Tensor, norm: nn.LayerNorm | None) -> Tensor:
    if norm is None:
        return x
    # Not the module's own forward: torchvision's turns channels-first activations round.
    return layer_norm(x, norm.normalized_shape, norm.weight, norm.bias, norm.eps)
