"""Top-1 accuracy of a model on a split, image by image, so that two models can be compared on the same images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from edgeai_repro.data.cifar import Split
from edgeai_repro.data.transforms import normalise
from edgeai_repro.networks.fast_cpu.depthwise import fast_depthwise
from edgeai_repro.networks.fast_cpu.packed_linear import packed_linear

BATCH = 125  # of 32, 64, 125, 250 and 500 the fastest for ConvNeXt-Small on a Zen 5 core


@dataclass(frozen=True)
class Predictions:
    """What a model answered: `classes` int64 (n,), and `correct` bool (n,), in the split's own order."""

    classes: NDArray[np.int64]
    correct: NDArray[np.bool_]

    @property
    def successes(self) -> int:
        """The number of images whose class was predicted."""
        return int(self.correct.sum())

    @property
    def top1(self) -> float:
        """The share of correct predictions, in percent."""
        return 100 * self.successes / len(self.correct)


def evaluate(
    model: nn.Module, split: Split, *, resolution: int = 32, batch_size: int = BATCH, bf16: bool = False
) -> Predictions:
    """Predict every image of `split` in fp32, in bf16 autocast, or with the int8 kernels of a quantized model.

    The model may be on any device; its mode is left as it was found. Raises ValueError for an empty split.
    """
    if not len(split):
        raise ValueError("'split' must hold at least one image (got 0)")
    device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    was_training = model.training
    model.eval()
    precision = torch.autocast(device.type, torch.bfloat16, enabled=bf16)
    try:
        with torch.inference_mode(), precision, fast_depthwise(model), packed_linear(model, batch_size):
            answers = [
                model(normalise(images.to(device), resolution)).argmax(1).cpu()
                for images in torch.split(split.images, batch_size)
            ]
    finally:
        model.train(was_training)
    classes = torch.cat(answers).numpy()
    return Predictions(classes, classes == split.labels.numpy())
