"""A small CIFAR-10 in torchvision's form, with 1 % of the images, for tests that read files."""

from __future__ import annotations

import hashlib
import pickle
from pathlib import Path

import numpy as np
import pytest

from edgeai_repro.data import cifar, packing

GRID = 10  # a mosaic of 10 × 10 images
IMAGES = GRID * GRID
# An image has 4 × 4 blocks, with 4 levels per channel: packing more colours, or noise of pixels, takes seconds.
BLOCKS, LEVELS = 4, 4


def write(root: Path, patch: pytest.MonkeyPatch) -> Path:
    """Write batch files under `root` and return it. The package is patched to expect their sizes and md5 sums."""
    folder = root / cifar.BATCHES_FOLDER
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    digests: dict[str, dict[str, str]] = {"train": {}, "test": {}}
    for part, names in cifar.BATCHES.items():
        for name in names:
            coarse = rng.integers(LEVELS, size=(IMAGES, 3, BLOCKS, BLOCKS), dtype=np.uint8) * (256 // LEVELS)
            images = coarse.repeat(cifar.SIDE // BLOCKS, 2).repeat(cifar.SIDE // BLOCKS, 3).reshape(IMAGES, -1)
            labels = [int(label) for label in rng.permutation(np.arange(IMAGES) % 10)]
            content = pickle.dumps({b"data": images, b"labels": labels}, protocol=4)
            (folder / name).write_bytes(content)
            digests[part][name] = hashlib.md5(content, usedforsecurity=False).hexdigest()
    patch.setattr(cifar, "BATCHES", digests)
    for module in (cifar, packing):
        patch.setattr(module, "GRID", GRID)
        patch.setattr(module, "PER_MOSAIC", IMAGES)
    for part, names in digests.items():
        patch.setitem(cifar.CIFAR10.sizes, part, IMAGES * len(names))
    return root
