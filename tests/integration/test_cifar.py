"""The data of EDGEAI_DATA are CIFAR-10, by its known statistics. Without data these tests are skipped."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from edgeai_repro.data import cifar
from edgeai_repro.errors import MissingRequirement

# Of the 50,000 training images, per channel, on a scale of 0 to 1. Published in many places, to four digits.
KNOWN_MEAN = (0.4914, 0.4822, 0.4465)
KNOWN_STD = (0.2470, 0.2435, 0.2616)


@pytest.fixture(scope="module")
def folder() -> Path:
    """The folder of `EDGEAI_DATA`, or a skip."""
    try:
        return cifar.data_folder()
    except MissingRequirement as missing:
        pytest.skip(missing.remedy)


def test_the_training_split_has_cifar10s_statistics(folder: Path) -> None:
    """The means and standard deviations of the channels are the known ones, to four digits."""
    split = cifar.load_split(folder, "train")
    pixels = split.images.permute(1, 0, 2, 3).reshape(3, -1)
    levels = torch.arange(256, dtype=torch.float64) / 255
    counts = torch.stack([torch.bincount(channel, minlength=256) for channel in pixels]).double()
    mean = (counts * levels).sum(1) / counts.sum(1)
    std = ((counts * levels**2).sum(1) / counts.sum(1) - mean**2).sqrt()

    assert mean.tolist() == pytest.approx(KNOWN_MEAN, abs=5e-5)
    assert std.tolist() == pytest.approx(KNOWN_STD, abs=5e-5)


def test_no_test_image_is_a_training_image(folder: Path) -> None:
    """The splits share no image, and no test image occurs twice."""
    train, test = (cifar.load_split(folder, part) for part in ("train", "test"))
    known = {image.numpy().tobytes() for image in train.images}
    probes = [image.numpy().tobytes() for image in test.images]

    assert len(set(probes)) == len(probes)
    assert not known.intersection(probes)
