"""Top-1 accuracy on a split, with the result of each image, so that two models can be compared image by image."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from edgeai_repro.data.cifar import Split
from edgeai_repro.data.transforms import normalise
from edgeai_repro.networks.fast_cpu.depthwise import fast_depthwise
from edgeai_repro.networks.fast_cpu.packed_linear import packed_linear

BATCH = 125  # the fastest of 32, 64, 125, 250 and 500 for ConvNeXt-Small on a Zen 5 core


@dataclass(frozen=True)
class Predictions:
    """The predicted `classes`, int64 (n,), and whether they are `correct`, bool (n,), in the order of the split."""

    classes: NDArray[np.int64]
    correct: NDArray[np.bool_]

    @property
    def successes(self) -> int:
        """The number of correct predictions."""
        return int(self.correct.sum())

    @property
    def top1(self) -> float:
        """The share of correct predictions, in percent."""
        return 100 * self.successes / len(self.correct)


def evaluate(
    model: nn.Module,
    split: Split,
    *,
    resolution: int = 32,
    batch_size: int = BATCH,
    bf16: bool = False,
    on_progress: Callable[[], object] = lambda: None,
) -> Predictions:
    """Return the predictions of a model for every image of `split`.

    It runs in fp32, in bf16 autocast if `bf16` is true, or with int8 kernels if it is quantized, in eval mode on
    its own device. The mode is restored. `resolution` is the side of the input in pixels. `on_progress` is called
    after each batch. Raises ValueError for an empty split.
    """
    if not len(split):
        raise ValueError("'split' must have at least one image (got 0)")
    device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    was_training = model.training
    model.eval()
    precision = torch.autocast(device.type, torch.bfloat16, enabled=bf16)
    try:
        with torch.inference_mode(), precision, fast_depthwise(model), packed_linear(model, batch_size):
            predictions = []
            for images in torch.split(split.images, batch_size):
                predictions.append(model(normalise(images.to(device), resolution)).argmax(1).cpu())
                on_progress()
    finally:
        model.train(was_training)
    classes = torch.cat(predictions).numpy()
    return Predictions(classes, classes == split.labels.numpy())


def bf16_is_faster(device: torch.device) -> bool:
    """Return whether bf16 autocast is faster than fp32: on GPUs with bf16, and on CPUs with AVX512-BF16 or AMX.

    Observed on two Zen 5 cores: 1.8 times the speed of fp32. Without such instructions torch emulates bf16, which
    is slower than fp32.
    """
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
