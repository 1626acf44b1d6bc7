"""Parameters and multiply-accumulates of well-known networks by closed forms, by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, partial

from tests.support.closed_cnns import (
    MOBILENET_V3_LARGE,
    MOBILENET_V3_SMALL,
    alexnet,
    densenet,
    efficientnet_b0,
    mobilenet_v2,
    mobilenet_v3,
    resnet,
    squeezenet,
    vgg,
)
from tests.support.closed_form import Closed


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
    "mobilenet_v3_small": partial(mobilenet_v3, blocks=MOBILENET_V3_SMALL, last=576, hidden=1024),
    "mobilenet_v3_large": partial(mobilenet_v3, blocks=MOBILENET_V3_LARGE, last=960, hidden=1280),
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
