"""ShuffleNet V2 as its authors built it (megvii-model/ShuffleNet-Series, ShuffleNetV2/blocks.py).

It differs from torchvision's network in the first block of stage 2. There the shortcut keeps its 24 channels, and
the main branch has all others; torchvision gives half of the outputs to each. The classifier has no bias.
"""

from __future__ import annotations

from torch import nn
from torchvision.models import ShuffleNetV2
from torchvision.models.shufflenetv2 import InvertedResidual

BLOCKS = [4, 8, 4]
STEM = 24


def x0_5(classes: int) -> nn.Module:
    """Return the network of width 0.5×."""
    return _network([24, 48, 96, 192, 1024], classes)


def x1_0(classes: int) -> nn.Module:
    """Return the network of width 1×."""
    return _network([24, 116, 232, 464, 1024], classes)


def x1_5(classes: int) -> nn.Module:
    """Return the network of width 1.5×."""
    return _network([24, 176, 352, 704, 1024], classes)


def x2_0(classes: int) -> nn.Module:
    """Return the network of width 2×."""
    return _network([24, 244, 488, 976, 2048], classes)


def _network(channels: list[int], classes: int) -> nn.Module:
    network = ShuffleNetV2(BLOCKS, channels, num_classes=classes)
    first = network.stage2[0]
    assert isinstance(first, InvertedResidual)
    outputs = channels[1] - STEM
    first.branch1[2], first.branch1[3] = nn.Conv2d(STEM, STEM, 1, bias=False), nn.BatchNorm2d(STEM)
    first.branch2[5] = nn.Conv2d(channels[1] // 2, outputs, 1, bias=False)
    first.branch2[6] = nn.BatchNorm2d(outputs)
    network.fc = nn.Linear(channels[-1], classes, bias=False)
    return network
