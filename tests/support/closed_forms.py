"""Parameters and multiply-accumulates of well-known networks by closed forms, from the papers' tables of layers.

Nothing here is built or run, and nothing is taken from the package.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial


@dataclass
class Closed:
    """What a network stores and computes, layer by layer.

    `linear` are the parameters, and `linear_weights` the weights, of plain fully connected layers, which dynamic
    quantization replaces. `linear_macs` are their products. `buffers` are stored values that are no parameters.
    `thop` is what thop 0.1.1 reports: four operations per normalized element, nothing of `nn.MultiheadAttention`.
    `side` is that of the image, and then that of the maps.
    """

    side: int = 224
    classes: int = 1000
    params: int = 0
    macs: int = 0
    linear: int = 0
    linear_weights: int = 0
    linear_macs: int = 0
    buffers: int = 0
    thop: int = 0

    def conv(
        self,
        inputs: int,
        outputs: int,
        kernel: int = 1,
        stride: int = 1,
        *,
        groups: int = 1,
        bias: bool = False,
        padding: int | None = None,
    ) -> None:
        """Add a convolution; without `padding`, the side is only divided by the stride, rounded up."""
        if padding is None:
            self.side = math.ceil(self.side / stride)
        else:
            self.side = (self.side + 2 * padding - kernel) // stride + 1
        weights = kernel * kernel * inputs // groups * outputs
        self.params += weights + bias * outputs
        self.macs += weights * self.side**2
        self.thop += weights * self.side**2

    def batch_norm(self, channels: int) -> None:
        """Add a batch normalization: scale and shift; mean, variance and a counter are buffers."""
        self.params += 2 * channels
        self.buffers += 2 * channels
        self.thop += 4 * channels * self.side**2

    def layer_norm(self, channels: int, positions: int = 0) -> None:
        """Add a layer normalization; thop sees that of an `nn.LayerNorm`, at its number of `positions`."""
        self.params += 2 * channels
        self.thop += 4 * channels * positions

    def pool(self, kernel: int, stride: int, padding: int = 0, *, up: bool = False) -> None:
        """Add a pooling, which rounds the side down or `up`."""
        divide = math.ceil if up else math.floor
        self.side = divide((self.side + 2 * padding - kernel) / stride) + 1

    def dense(
        self, inputs: int, outputs: int, times: int = 1, *, bias: bool = True, plain: bool = True, seen: bool = True
    ) -> None:
        """Add a fully connected layer that is applied at `times` positions; `seen` if thop sees it called."""
        weights = inputs * outputs
        self.params += weights + bias * outputs
        self.macs += weights * times
        self.thop += weights * times if plain and seen else 0
        if plain:
            self.linear += weights + bias * outputs
            self.linear_weights += weights
            self.linear_macs += weights * times

    def attention(self, width: int, tokens: int, windows: int = 1) -> None:
        """Add the two products of activations in self-attention within each window."""
        self.macs += 2 * windows * tokens * tokens * width


def alexnet(net: Closed) -> None:
    """Krizhevsky 2014, as torchvision builds it."""
    net.conv(3, 64, 11, 4, padding=2, bias=True)
    net.pool(3, 2)
    net.conv(64, 192, 5, padding=2, bias=True)
    net.pool(3, 2)
    for inputs, outputs in ((192, 384), (384, 256), (256, 256)):
        net.conv(inputs, outputs, 3, padding=1, bias=True)
    for inputs, outputs in ((256 * 36, 4096), (4096, 4096), (4096, net.classes)):
        net.dense(inputs, outputs)


def vgg(net: Closed, repeats: Sequence[int], *, norm: bool = False) -> None:
    """Simonyan and Zisserman 2015: `repeats` convolutions in each of five stages."""
    inputs = 3
    for repeat, outputs in zip(repeats, (64, 128, 256, 512, 512), strict=True):
        for _ in range(repeat):
            net.conv(inputs, outputs, 3, bias=True)
            if norm:
                net.batch_norm(outputs)
            inputs = outputs
        net.pool(2, 2)
    for before, after in ((512 * 49, 4096), (4096, 4096), (4096, net.classes)):
        net.dense(before, after)


def resnet(net: Closed, blocks: Sequence[int], *, bottleneck: bool, groups: int = 1, width: int = 64) -> None:
    """He et al. 2016, with the stride in the 3 × 3 convolution; wide ones and ResNeXt by `width` and `groups`."""
    inputs = 64
    net.conv(3, 64, 7, 2)
    net.batch_norm(64)
    net.pool(3, 2, 1)
    for stage, (repeat, planes) in enumerate(zip(blocks, (64, 128, 256, 512), strict=True)):
        for block in range(repeat):
            stride = 2 if block == 0 and stage > 0 else 1
            start = net.side
            inner, outputs = (planes * width // 64 * groups, 4 * planes) if bottleneck else (planes, planes)
            steps = [(inputs, planes, 3, stride, 1), (planes, planes, 3, 1, 1)]
            if bottleneck:
                steps = [(inputs, inner, 1, 1, 1), (inner, inner, 3, stride, groups), (inner, outputs, 1, 1, 1)]
            for before, after, kernel, step, grouped in steps:
                net.conv(before, after, kernel, step, groups=grouped)
                net.batch_norm(after)
            if inputs != outputs or stride > 1:
                net.side = start
                net.conv(inputs, outputs, 1, stride)
                net.batch_norm(outputs)
            inputs = outputs
    net.dense(inputs, net.classes)


def densenet(net: Closed, blocks: Sequence[int], growth: int = 32) -> None:
    """Huang et al. 2017: bottlenecks of four times the growth rate, and transitions that halve the channels."""
    channels = 64
    net.conv(3, 64, 7, 2)
    net.batch_norm(64)
    net.pool(3, 2, 1)
    for stage, repeat in enumerate(blocks):
        for _ in range(repeat):
            net.batch_norm(channels)
            net.conv(channels, 4 * growth)
            net.batch_norm(4 * growth)
            net.conv(4 * growth, growth, 3)
            channels += growth
        net.batch_norm(channels)
        if stage < len(blocks) - 1:
            net.conv(channels, channels // 2)
            channels //= 2
            net.pool(2, 2)
    net.dense(channels, net.classes)


def squeezenet(net: Closed, *, small_stem: bool) -> None:
    """Iandola et al. 2016: version 1.0 with 96 filters of 7 × 7, version 1.1 (`small_stem`) with 64 of 3 × 3."""
    stem, kernel, inputs = (64, 3, 64) if small_stem else (96, 7, 96)
    net.conv(3, stem, kernel, 2, padding=0, bias=True)
    pools = {0, 2, 4} if small_stem else {0, 3, 7}
    for index, (squeeze, expand) in enumerate(
        ((16, 64), (16, 64), (32, 128), (32, 128), (48, 192), (48, 192), (64, 256), (64, 256))
    ):
        if index in pools:
            net.pool(3, 2, up=True)
        net.conv(inputs, squeeze, bias=True)
        net.conv(squeeze, expand, bias=True)
        net.conv(squeeze, expand, 3, bias=True)
        inputs = 2 * expand
    net.conv(inputs, net.classes, bias=True)


def _inverted(
    net: Closed, inputs: int, outputs: int, kernel: int, stride: int, inner: int, squeeze: int = 0
) -> None:
    """Add an inverted residual block; `squeeze` are the channels of squeeze-and-excitation, 0 for none."""
    if inner != inputs:
        net.conv(inputs, inner)
        net.batch_norm(inner)
    net.conv(inner, inner, kernel, stride, groups=inner)
    net.batch_norm(inner)
    if squeeze:
        side, net.side = net.side, 1
        net.conv(inner, squeeze, bias=True)
        net.conv(squeeze, inner, bias=True)
        net.side = side
    net.conv(inner, outputs)
    net.batch_norm(outputs)


def mobilenet_v2(net: Closed) -> None:
    """Sandler et al. 2018, width 1."""
    inputs = 32
    net.conv(3, 32, 3, 2)
    net.batch_norm(32)
    for expansion, outputs, repeat, first_stride in (
        *((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2)),
        *((6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)),
    ):
        for block in range(repeat):
            stride = first_stride if block == 0 else 1
            _inverted(net, inputs, outputs, 3, stride, expansion * inputs)
            inputs = outputs
    net.conv(320, 1280)
    net.batch_norm(1280)
    net.dense(1280, net.classes)


def _multiple_of_8(channels: float) -> int:
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded


SMALL = (  # kernel, inner, outputs, squeeze and excitation, stride
    *((3, 16, 16, 1, 2), (3, 72, 24, 0, 2), (3, 88, 24, 0, 1), (5, 96, 40, 1, 2), (5, 240, 40, 1, 1)),
    *((5, 240, 40, 1, 1), (5, 120, 48, 1, 1), (5, 144, 48, 1, 1), (5, 288, 96, 1, 2), (5, 576, 96, 1, 1)),
    (5, 576, 96, 1, 1),
)
LARGE = (
    *((3, 16, 16, 0, 1), (3, 64, 24, 0, 2), (3, 72, 24, 0, 1), (5, 72, 40, 1, 2), (5, 120, 40, 1, 1)),
    *((5, 120, 40, 1, 1), (3, 240, 80, 0, 2), (3, 200, 80, 0, 1), (3, 184, 80, 0, 1), (3, 184, 80, 0, 1)),
    *((3, 480, 112, 1, 1), (3, 672, 112, 1, 1), (5, 672, 160, 1, 2), (5, 960, 160, 1, 1), (5, 960, 160, 1, 1)),
)


def mobilenet_v3(net: Closed, blocks: Sequence[tuple[int, int, int, int, int]], last: int, hidden: int) -> None:
    """Howard et al. 2019, tables 1 and 2."""
    inputs = 16
    net.conv(3, 16, 3, 2)
    net.batch_norm(16)
    for kernel, inner, outputs, excite, stride in blocks:
        _inverted(net, inputs, outputs, kernel, stride, inner, excite * _multiple_of_8(inner / 4))
        inputs = outputs
    net.conv(inputs, last)
    net.batch_norm(last)
    net.dense(last, hidden)
    net.dense(hidden, net.classes)


def efficientnet_b0(net: Closed) -> None:
    """Tan and Le 2019, table 1; squeeze-and-excitation has a quarter of the block's input channels."""
    inputs = 32
    net.conv(3, 32, 3, 2)
    net.batch_norm(32)
    for expansion, kernel, first_stride, outputs, repeat in (
        *((1, 3, 1, 16, 1), (6, 3, 2, 24, 2), (6, 5, 2, 40, 2), (6, 3, 2, 80, 3)),
        *((6, 5, 1, 112, 3), (6, 5, 2, 192, 4), (6, 3, 1, 320, 1)),
    ):
        for block in range(repeat):
            stride = first_stride if block == 0 else 1
            _inverted(net, inputs, outputs, kernel, stride, expansion * inputs, inputs // 4)
            inputs = outputs
    net.conv(320, 1280)
    net.batch_norm(1280)
    net.dense(1280, net.classes)


def convnext(net: Closed, depths: Sequence[int], dims: Sequence[int]) -> None:
    """Liu et al. 2022: a depthwise 7 × 7 convolution, two fully connected layers and a layer scale per block."""
    net.conv(3, dims[0], 4, 4, bias=True)
    net.layer_norm(dims[0])
    for stage, (depth, dim) in enumerate(zip(depths, dims, strict=True)):
        if stage:
            net.layer_norm(dims[stage - 1])
            net.conv(dims[stage - 1], dim, 2, 2, bias=True)
        for _ in range(depth):
            net.conv(dim, dim, 7, groups=dim, bias=True)
            net.layer_norm(dim, net.side**2)
            net.dense(dim, 4 * dim, net.side**2)
            net.dense(4 * dim, dim, net.side**2)
            net.params += dim
    net.layer_norm(dims[-1])
    net.dense(dims[-1], net.classes)


def vit(net: Closed, width: int, depth: int, patch: int, *, plain_attention: bool) -> None:
    """Dosovitskiy et al. 2021: a class token, learned positions, an MLP of four times the width.

    torchvision's attention keeps its projections outside of plain fully connected layers; timm's does not.
    """
    net.conv(3, width, patch, patch, bias=True)
    tokens = net.side**2 + 1
    seen = 0 if plain_attention else tokens  # timm's layer normalization is a class of its own
    net.params += width + tokens * width
    for _ in range(depth):
        net.layer_norm(width, seen)
        net.dense(width, 3 * width, tokens, plain=plain_attention)
        net.attention(width, tokens)
        net.dense(width, width, tokens, plain=plain_attention)
        net.layer_norm(width, seen)
        net.dense(width, 4 * width, tokens)
        net.dense(4 * width, width, tokens)
    net.layer_norm(width, seen)
    net.dense(width, net.classes)


def swin(net: Closed, width: int, depths: Sequence[int], heads: Sequence[int], window: int = 7) -> None:
    """Liu et al. 2021: attention in windows, a table of relative positions, patches merged by four."""
    net.conv(3, width, 4, 4, bias=True)
    net.layer_norm(width, net.side**2)
    for stage, (depth, head) in enumerate(zip(depths, heads, strict=True)):
        if stage:
            net.side //= 2
            net.layer_norm(4 * width, net.side**2)
            net.dense(4 * width, 2 * width, net.side**2, bias=False)
            width *= 2
        for _ in range(depth):
            tokens = net.side**2
            net.layer_norm(width, tokens)
            net.dense(width, 3 * width, tokens, seen=False)
            net.attention(width, window**2, tokens // window**2)
            net.dense(width, width, tokens, seen=False)
            net.params += (2 * window - 1) ** 2 * head
            net.layer_norm(width, tokens)
            net.dense(width, 4 * width, tokens)
            net.dense(4 * width, width, tokens)
    net.layer_norm(width, net.side**2)
    net.dense(width, net.classes)


NETWORKS: dict[str, Callable[[Closed], None]] = {
    "alexnet": alexnet,
    "vgg11": partial(vgg, repeats=(1, 1, 2, 2, 2)),
    "vgg13": partial(vgg, repeats=(2, 2, 2, 2, 2)),
    "vgg16": partial(vgg, repeats=(2, 2, 3, 3, 3)),
    "vgg16_bn": partial(vgg, repeats=(2, 2, 3, 3, 3), norm=True),
    "vgg19": partial(vgg, repeats=(2, 2, 4, 4, 4)),
    "resnet18": partial(resnet, blocks=(2, 2, 2, 2), bottleneck=False),
    "resnet34": partial(resnet, blocks=(3, 4, 6, 3), bottleneck=False),
    "resnet50": partial(resnet, blocks=(3, 4, 6, 3), bottleneck=True),
    "resnet101": partial(resnet, blocks=(3, 4, 23, 3), bottleneck=True),
    "resnet152": partial(resnet, blocks=(3, 8, 36, 3), bottleneck=True),
    "resnext50_32x4d": partial(resnet, blocks=(3, 4, 6, 3), bottleneck=True, groups=32, width=4),
    "wide_resnet50_2": partial(resnet, blocks=(3, 4, 6, 3), bottleneck=True, width=128),
    "densenet121": partial(densenet, blocks=(6, 12, 24, 16)),
    "densenet169": partial(densenet, blocks=(6, 12, 32, 32)),
    "squeezenet1_0": partial(squeezenet, small_stem=False),
    "squeezenet1_1": partial(squeezenet, small_stem=True),
    "mobilenet_v2": mobilenet_v2,
    "mobilenet_v3_small": partial(mobilenet_v3, blocks=SMALL, last=576, hidden=1024),
    "mobilenet_v3_large": partial(mobilenet_v3, blocks=LARGE, last=960, hidden=1280),
    "efficientnet_b0": efficientnet_b0,
    "convnext_atto": partial(convnext, depths=(2, 2, 6, 2), dims=(40, 80, 160, 320)),
    "convnext_tiny": partial(convnext, depths=(3, 3, 9, 3), dims=(96, 192, 384, 768)),
    "convnext_small": partial(convnext, depths=(3, 3, 27, 3), dims=(96, 192, 384, 768)),
    "convnext_base": partial(convnext, depths=(3, 3, 27, 3), dims=(128, 256, 512, 1024)),
    "convnext_large": partial(convnext, depths=(3, 3, 27, 3), dims=(192, 384, 768, 1536)),
    "convnext_xlarge": partial(convnext, depths=(3, 3, 27, 3), dims=(256, 512, 1024, 2048)),
    "vit_b_16": partial(vit, width=768, depth=12, patch=16, plain_attention=False),
    "vit_b_32": partial(vit, width=768, depth=12, patch=32, plain_attention=False),
    "vit_l_16": partial(vit, width=1024, depth=24, patch=16, plain_attention=False),
    "timm:vit_tiny_patch16_224": partial(vit, width=192, depth=12, patch=16, plain_attention=True),
    "timm:vit_small_patch16_224": partial(vit, width=384, depth=12, patch=16, plain_attention=True),
    "swin_t": partial(swin, width=96, depths=(2, 2, 6, 2), heads=(3, 6, 12, 24)),
    "swin_s": partial(swin, width=96, depths=(2, 2, 18, 2), heads=(3, 6, 12, 24)),
}


@cache
def closed_form(name: str, side: int = 224, classes: int = 1000) -> Closed:
    """Return the numbers of a network for an image of `side` × `side` pixels."""
    net = Closed(side=side, classes=classes)
    NETWORKS[name](net)
    return net
