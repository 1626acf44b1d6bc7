"""What the tests of structured pruning share: images, steps of training, and which channels are zero."""

from __future__ import annotations

from typing import Any

from torch import nn
from torchvision.models.convnext import ConvNeXt

from edgeai_repro.compress.structured import generated_batch
from edgeai_repro.networks import convnext

PAPER_MODELS = ["convnext_tiny", "convnext_small", "convnext_base", "convnext_large"]
IMAGES = convnext.random_images(4)


def train(optimizer: Any, model: ConvNeXt, first: int, last: int) -> None:
    """Take the steps `first` to `last`; the number of a step is the seed of its batch."""
    for step in range(first, last + 1):
        images, labels = generated_batch(model, 4, 32, seed=step)
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(images), labels).backward()
        optimizer.step()


def zero_rows(model: ConvNeXt) -> list[list[int]]:
    """Return the zero hidden channels of each block."""
    layers = [convnext.mlp(block)[0] for block in convnext.blocks(model)]
    return [((layer.weight == 0).all(1) & (layer.bias == 0)).nonzero().flatten().tolist() for layer in layers]
