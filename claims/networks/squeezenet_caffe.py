"""SqueezeNet 1.0 as in the Caffe file of its authors (forresti/SqueezeNet): the last convolution is padded."""

from __future__ import annotations

from torch import nn
from torchvision.models import squeezenet1_0


def squeezenet(classes: int) -> nn.Module:
    """Return the network. The file takes images of 227 pixels; the last convolution has 15 × 15 outputs."""
    network = squeezenet1_0(num_classes=classes)
    network.classifier[1] = nn.Conv2d(512, classes, kernel_size=1, padding=1)
    return network
