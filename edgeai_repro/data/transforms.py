"""Crops, flips, resizes and normalises whole batches of uint8 images."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

PAD = 4
# The mean and standard deviation of ImageNet's pixels, which torchvision's weights expect. They are used for all
# data, so that a model needs no normalisation other than this one.
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


def normalise(images: Tensor, resolution: int = 32) -> Tensor:
    """Return uint8 images (N, 3, H, W) as float32 (N, 3, resolution, resolution), normalised, channels last.

    Other resolutions are reached by bilinear interpolation.
    """
    mean, std = (torch.tensor(values, device=images.device).view(1, 3, 1, 1) for values in (MEAN, STD))
    scaled = images.float().sub_(mean * 255).div_(std * 255)
    if resolution != images.shape[-1]:
        size = (resolution, resolution)
        scaled = functional.interpolate(scaled, size, mode="bilinear", antialias=resolution < images.shape[-1])
    return scaled.contiguous(memory_format=torch.channels_last)


def augment(images: Tensor, generator: torch.Generator) -> Tensor:
    """Return uint8 images (N, 3, H, W) cropped at random, and flipped with probability 1/2.

    Each is padded by 4 black pixels before it is cropped to its size.
    """
    count, _, height, width = images.shape
    down, right = torch.randint(2 * PAD + 1, (2, count), generator=generator)
    flipped = torch.rand(count, generator=generator) < 0.5
    padded = functional.pad(images, (PAD, PAD, PAD, PAD))
    windows = padded.unfold(2, height, 1).unfold(3, width, 1)  # (N, 3, 9, 9, H, W), a view
    cropped = windows[torch.arange(count), :, down, right]
    return torch.where(flipped.view(-1, 1, 1, 1).to(images.device), cropped.flip(-1), cropped)
