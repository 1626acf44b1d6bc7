"""VGGs and bottleneck ResNets for ImageNet whose layers have any widths (Simonyan 2015, He et al. 2016).

The layers are torchvision's. Original here: the widths, the global pooling in place of a VGG's three Linear layers
(as ThiNet-GAP has it), and the choice of the convolution that halves a ResNet's resolution.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from torch import Tensor, nn
from torchvision.models import ResNet, get_model
from torchvision.models.resnet import Bottleneck
from torchvision.models.vgg import make_layers

from edgeai_repro.networks.specs import BOTTLENECKS

GRID = 7  # a VGG averages its features over so many rows and columns before its Linear layers
CLASSIFIER_WIDTH = 4096


class Vgg(nn.Module):
    """The network: (N, 3, H, W) to (N, classes) logits. `channels` is as in torchvision, "M" a max pooling."""

    def __init__(self, channels: Sequence[int | str], classes: int, *, global_pooling: bool) -> None:
        super().__init__()
        self.features = make_layers(cast("list[int | str]", list(channels)))
        last = [entry for entry in channels if isinstance(entry, int)][-1]
        if global_pooling:
            self.avgpool = nn.AdaptiveAvgPool2d(1)
            self.classifier: nn.Module = nn.Linear(last, classes)
            return
        self.avgpool = nn.AdaptiveAvgPool2d(GRID)
        self.classifier = nn.Sequential(
            nn.Linear(last * GRID**2, CLASSIFIER_WIDTH),
            nn.ReLU(True),
            nn.Dropout(),
            nn.Linear(CLASSIFIER_WIDTH, CLASSIFIER_WIDTH),
            nn.ReLU(True),
            nn.Dropout(),
            nn.Linear(CLASSIFIER_WIDTH, classes),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits."""
        logits: Tensor = self.classifier(self.avgpool(self.features(images)).flatten(1))
        return logits


def resnet(depth: int, hidden: Sequence[int] | None, classes: int, *, stride_first: bool) -> nn.Module:
    """Return torchvision's ResNet of `depth` layers, with other inner widths: one per stage, or one per block."""
    model = cast(ResNet, get_model(f"resnet{depth}", weights=None, num_classes=classes))
    blocks = [module for module in model.modules() if isinstance(module, Bottleneck)]
    if hidden is not None:
        per_block = len(hidden) == len(blocks)
        per_stage = zip(hidden, BOTTLENECKS[depth], strict=False)
        widths = hidden if per_block else [width for width, count in per_stage for _ in range(count)]
        for block, width in zip(blocks, widths, strict=True):
            _set_width(block, width)
    if stride_first:
        for block in blocks:
            block.conv1.stride, block.conv2.stride = block.conv2.stride, block.conv1.stride
    return cast(nn.Module, model)


def _set_width(block: Bottleneck, width: int) -> None:
    block.conv1 = nn.Conv2d(block.conv1.in_channels, width, 1, bias=False)
    block.bn1 = nn.BatchNorm2d(width)
    block.conv2 = nn.Conv2d(width, width, 3, cast("tuple[int, int]", block.conv2.stride), 1, bias=False)
    block.bn2 = nn.BatchNorm2d(width)
    block.conv3 = nn.Conv2d(width, block.conv3.out_channels, 1, bias=False)
