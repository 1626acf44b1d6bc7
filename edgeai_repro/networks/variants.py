"""The variants of ConvNeXt, with their parameters and MACs in closed form. No torch.

Dims and depths are those of Liu et al., *A ConvNet for the 2020s* (arXiv 2201.03545, section 2.7). `convnext_atto`
has the dims and depths of timm's model of that name, but its MLPs are Linear layers instead of 1 × 1 convolutions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

Kind = Literal["conv", "depthwise", "linear", "norm", "scale"]
MLP_RATIO = 4
DEPTHWISE_KERNEL = 7


@dataclass(frozen=True)
class Architecture:
    """A ConvNeXt variant: the channels (`dims`) and the number of blocks (`depths`) of its four stages."""

    dims: tuple[int, int, int, int]
    depths: tuple[int, int, int, int]
    drop_path_rate: float

    @property
    def hidden_widths(self) -> tuple[int, ...]:
        """The MLP width of each block before pruning, in the order of the blocks."""
        return tuple(
            MLP_RATIO * dim for dim, depth in zip(self.dims, self.depths, strict=True) for _ in range(depth)
        )


CONVNEXT_VARIANTS = {
    "convnext_atto": Architecture((40, 80, 160, 320), (2, 2, 6, 2), 0.0),
    "convnext_tiny": Architecture((96, 192, 384, 768), (3, 3, 9, 3), 0.1),
    "convnext_small": Architecture((96, 192, 384, 768), (3, 3, 27, 3), 0.4),
    "convnext_base": Architecture((128, 256, 512, 1024), (3, 3, 27, 3), 0.5),
    "convnext_large": Architecture((192, 384, 768, 1536), (3, 3, 27, 3), 0.5),
    "convnext_xlarge": Architecture((256, 512, 1024, 2048), (3, 3, 27, 3), 0.5),
}
TIMM_PREFIX = "timm:"  # marks a name of timm's
# Display names of other networks that claims can name, in order of size. They are built as published, for ImageNet.
# timm's `convnext_tiny_hnf` is ConvNeXt-Tiny with `conv_mlp`: its MLPs are 1 × 1 convolutions, which compute the
# same as nn.Linear, and its head applies the norm before the pooling.
OTHER_NETWORKS = {
    "efficientnet_b0": "EfficientNet-B0",
    "mobilenet_v3_large": "MobileNetV3-Large",
    "resnet18": "ResNet-18",
    "resnet50": "ResNet-50",
    "timm:convnext_tiny_hnf": "ConvNeXt-Tiny, timm's conv_mlp",
    "alexnet": "AlexNet",
    "vit_b_16": "ViT-B/16",
    "vgg16": "VGG-16",
}
# Networks for 32 × 32 pixels (`networks/cifar.py`), which `edgeai-repro train` takes next to the ConvNeXts.
CIFAR_NETWORKS = ("resnet20", "resnet32", "resnet44", "resnet56", "resnet110", "vgg16_cifar")
NETWORKS = tuple(dict.fromkeys([*CONVNEXT_VARIANTS, *OTHER_NETWORKS, *CIFAR_NETWORKS]))  # all that a claim can name
IMAGENET_RESOLUTION, IMAGENET_CLASSES = 224, 1000
CIFAR_SIDE = 32  # pixels of CIFAR's images


def display_name(name: str) -> str:
    """Return the display name of a model; an unknown name is returned unchanged."""
    if name in CONVNEXT_VARIANTS:
        return f"ConvNeXt-{name.removeprefix('convnext_').capitalize()}"
    return OTHER_NETWORKS.get(name, name)


@dataclass(frozen=True)
class Layer:
    """The parameters and the MACs of one layer, for one image.

    `weights` are the parameters that quantization may pack, `others` the biases and the parameters of norms and
    layer scale. `macs` are multiply-accumulates of the weights: 0 for norms and layer scale, which accumulate
    nothing.
    """

    name: str
    kind: Kind
    weights: int
    others: int
    macs: int

    @property
    def parameters(self) -> int:
        """The number of all parameters, weights and others."""
        return self.weights + self.others


def layers(
    architecture: Architecture,
    *,
    resolution: int = 32,
    num_classes: int = 10,
    stem_stride: int = 4,
    hidden_widths: Sequence[int] | None = None,
) -> Iterator[Layer]:
    """Yield the layers of a ConvNeXt in the order of execution.

    `resolution` is the height and width of the input in pixels. `hidden_widths` are the MLP widths of a pruned
    network, one per block. Raises ValueError if their number is not that of the blocks.
    """
    hidden = tuple(architecture.hidden_widths if hidden_widths is None else hidden_widths)
    if len(hidden) != sum(architecture.depths):
        raise ValueError(f"'hidden_widths' must be one per block, {sum(architecture.depths)} (got {len(hidden)})")
    remaining = iter(hidden)
    dims = architecture.dims
    side = resolution // stem_stride
    stem = 3 * dims[0] * stem_stride**2
    yield Layer("stem", "conv", stem, dims[0], stem * side**2)
    yield Layer("stem.norm", "norm", 0, 2 * dims[0], 0)
    for stage, (dim, depth) in enumerate(zip(dims, architecture.depths, strict=True)):
        if stage:
            previous = dims[stage - 1]
            side //= 2
            yield Layer(f"downsample{stage}.norm", "norm", 0, 2 * previous, 0)
            weights = previous * dim * 4
            yield Layer(f"downsample{stage}", "conv", weights, dim, weights * side**2)
        for block in range(depth):
            name, width = f"stage{stage}.{block}", next(remaining)
            depthwise = dim * DEPTHWISE_KERNEL**2
            yield Layer(f"{name}.depthwise", "depthwise", depthwise, dim, depthwise * side**2)
            yield Layer(f"{name}.norm", "norm", 0, 2 * dim, 0)
            yield Layer(f"{name}.expand", "linear", dim * width, width, dim * width * side**2)
            yield Layer(f"{name}.reduce", "linear", width * dim, dim, width * dim * side**2)
            yield Layer(f"{name}.scale", "scale", 0, dim, 0)
    yield Layer("head.norm", "norm", 0, 2 * dims[-1], 0)
    yield Layer("head", "linear", dims[-1] * num_classes, num_classes, dims[-1] * num_classes)
