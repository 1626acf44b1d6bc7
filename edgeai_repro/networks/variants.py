"""ConvNeXt on paper: its variants, and what they hold and compute in closed form. No torch.

Widths and depths are those of Liu et al., *A ConvNet for the 2020s* (arXiv 2201.03545, section 2.7);
`convnext_atto` is timm's row of that name, with Linear instead of 1 × 1 convolution MLPs.
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
    """A ConvNeXt variant: the channels and the number of blocks of its four stages."""

    widths: tuple[int, int, int, int]
    depths: tuple[int, int, int, int]
    stochastic_depth: float

    @property
    def hidden_widths(self) -> tuple[int, ...]:
        """The unpruned MLP widths, one a block, in the order of the blocks."""
        return tuple(
            MLP_RATIO * width for width, depth in zip(self.widths, self.depths, strict=True) for _ in range(depth)
        )


CONVNEXT_VARIANTS = {
    "convnext_atto": Architecture((40, 80, 160, 320), (2, 2, 6, 2), 0.0),
    "convnext_tiny": Architecture((96, 192, 384, 768), (3, 3, 9, 3), 0.1),
    "convnext_small": Architecture((96, 192, 384, 768), (3, 3, 27, 3), 0.4),
    "convnext_base": Architecture((128, 256, 512, 1024), (3, 3, 27, 3), 0.5),
    "convnext_large": Architecture((192, 384, 768, 1536), (3, 3, 27, 3), 0.5),
    "convnext_xlarge": Architecture((256, 512, 1024, 2048), (3, 3, 27, 3), 0.5),
}
TIMM_PREFIX = "timm:"  # before a name of timm's
# Others that claims can name, by torchvision's names or timm's, with what people call them, in the order of their
# size; built as published, for ImageNet. timm's `convnext_tiny_hnf` is ConvNeXt-Tiny with `conv_mlp`: its MLPs are
# 1 × 1 convolutions, which compute what nn.Linear does (and its head norms before it pools).
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
CIFAR_NETWORKS = ("resnet20", "resnet32", "resnet44", "resnet56", "resnet110", "vgg16")
NETWORKS = tuple(dict.fromkeys([*CONVNEXT_VARIANTS, *OTHER_NETWORKS, *CIFAR_NETWORKS]))  # all that a claim can name
IMAGENET_RESOLUTION, IMAGENET_CLASSES = 224, 1000


def display_name(name: str) -> str:
    """Return what people call a model, a name that isn't known as it is."""
    return (
        f"ConvNeXt-{name.removeprefix('convnext_').capitalize()}"
        if name in CONVNEXT_VARIANTS
        else OTHER_NETWORKS.get(name, name)
    )


@dataclass(frozen=True)
class Layer:
    """One layer's weights and work for one image.

    `weights` are what quantization may pack, `others` its biases, norm and scale parameters; `macs` are
    multiply-accumulates of the weights (0 for norms and layer scale, which accumulate nothing).
    """

    name: str
    kind: Kind
    weights: int
    others: int
    macs: int

    @property
    def parameters(self) -> int:
        """Weights and all other parameters."""
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

    `resolution` is the input's height and width in pixels, `hidden_widths` the MLP width of each block where it
    was pruned. Raises ValueError if there is not one hidden width a block.
    """
    hidden = tuple(architecture.hidden_widths if hidden_widths is None else hidden_widths)
    if len(hidden) != sum(architecture.depths):
        raise ValueError(f"'hidden_widths' must be one a block, {sum(architecture.depths)} (got {len(hidden)})")
    remaining = iter(hidden)
    widths = architecture.widths
    side = resolution // stem_stride
    stem = 3 * widths[0] * stem_stride**2
    yield Layer("stem", "conv", stem, widths[0], stem * side**2)
    yield Layer("stem.norm", "norm", 0, 2 * widths[0], 0)
    for stage, (width, depth) in enumerate(zip(widths, architecture.depths, strict=True)):
        if stage:
            previous = widths[stage - 1]
            side //= 2
            yield Layer(f"downsample{stage}.norm", "norm", 0, 2 * previous, 0)
            weights = previous * width * 4
            yield Layer(f"downsample{stage}", "conv", weights, width, weights * side**2)
        for block in range(depth):
            name, inner = f"stage{stage}.{block}", next(remaining)
            depthwise = width * DEPTHWISE_KERNEL**2
            yield Layer(f"{name}.depthwise", "depthwise", depthwise, width, depthwise * side**2)
            yield Layer(f"{name}.norm", "norm", 0, 2 * width, 0)
            yield Layer(f"{name}.expand", "linear", width * inner, inner, width * inner * side**2)
            yield Layer(f"{name}.reduce", "linear", inner * width, width, inner * width * side**2)
            yield Layer(f"{name}.scale", "scale", 0, width, 0)
    yield Layer("head.norm", "norm", 0, 2 * widths[-1], 0)
    yield Layer("head", "linear", widths[-1] * num_classes, num_classes, widths[-1] * num_classes)
