"""Closed forms of convolutional networks, from the tables of layers of their papers."""

from __future__ import annotations

from collections.abc import Sequence

from tests.support.closed_form import Closed


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


MOBILENET_V3_SMALL = (  # kernel, inner, outputs, squeeze and excitation, stride
    *((3, 16, 16, 1, 2), (3, 72, 24, 0, 2), (3, 88, 24, 0, 1), (5, 96, 40, 1, 2), (5, 240, 40, 1, 1)),
    *((5, 240, 40, 1, 1), (5, 120, 48, 1, 1), (5, 144, 48, 1, 1), (5, 288, 96, 1, 2), (5, 576, 96, 1, 1)),
    (5, 576, 96, 1, 1),
)
MOBILENET_V3_LARGE = (
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
