"""AlexNet as Caffe has it (bvlc_alexnet): two groups in the second, fourth and fifth convolution, 227 pixels."""

import torch
from torch import Tensor, nn


def _conv(inputs: int, outputs: int, kernel: int, **options: int) -> list[nn.Module]:
    return [nn.Conv2d(inputs, outputs, kernel, **options), nn.ReLU(inplace=True)]


def caffe_alexnet() -> tuple[nn.Module, tuple[Tensor, ...]]:
    """Return the network with normal weights, as Caffe draws them, and one image. It has 60,965,224 parameters."""
    model = nn.Sequential(
        *_conv(3, 96, 11, stride=4),
        nn.MaxPool2d(3, 2),
        *_conv(96, 256, 5, padding=2, groups=2),
        nn.MaxPool2d(3, 2),
        *_conv(256, 384, 3, padding=1),
        *_conv(384, 384, 3, padding=1, groups=2),
        *_conv(384, 256, 3, padding=1, groups=2),
        nn.MaxPool2d(3, 2),
        nn.Flatten(),
        nn.Linear(9216, 4096),
        nn.ReLU(inplace=True),
        nn.Linear(4096, 4096),
        nn.ReLU(inplace=True),
        nn.Linear(4096, 1000),
    )
    for parameter in model.parameters():
        if parameter.ndim > 1:
            nn.init.normal_(parameter, 0.0, 0.01)
    return model.eval(), (torch.zeros(1, 3, 227, 227),)
