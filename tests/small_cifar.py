"""CIFAR-10 in torchvision's form, with a hundredth of its images, for tests that read real files."""

from __future__ import annotations

import hashlib
import pickle
from pathlib import Path

import numpy as np
import pytest

from edgeai_repro.cifar import data, packing

GRID = 10  # a mosaic of 10 × 10 images
IMAGES = GRID * GRID


def write(root: Path, patch: pytest.MonkeyPatch) -> Path:
    """Write batch files of noise under `root`, have the package take their sizes and md5 for the real ones, and
    return `root`."""
    folder = root / data.BATCHES_FOLDER
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    digests: dict[str, dict[str, str]] = {"train": {}, "test": {}}
    for part, names in data.BATCHES.items():
        for name in names:
            images = rng.integers(256, size=(IMAGES, 3 * data.SIDE**2), dtype=np.uint8)
            labels = [int(label) for label in rng.permutation(np.arange(IMAGES) % 10)]
            content = pickle.dumps({b"data": images, b"labels": labels}, protocol=4)
            (folder / name).write_bytes(content)
            digests[part][name] = hashlib.md5(content, usedforsecurity=False).hexdigest()
    patch.setattr(data, "BATCHES", digests)
    for module in (data, packing):
        patch.setattr(module, "GRID", GRID)
        patch.setattr(module, "PER_MOSAIC", IMAGES)
    for part, names in digests.items():
        patch.setitem(data.CIFAR10.sizes, part, IMAGES * len(names))
    return root
