"""CIFAR-10 (Krizhevsky 2009) as uint8 arrays, from the packed form or from torchvision's download.

Reading arrays needs no torch, so an edge device without torch can do it. `load_split` makes tensors of them.

The packed form is a folder `cifar10/` with lossless WebP mosaics of 100 × 100 images (image k is at row k // 100,
column k % 100), `labels.npz`, and `manifest.json` with the sha256 and the size of each file. `cifar100_pool/` is a
training set of CIFAR-100's classes in the same form. Every file is compared with its sum before it is used.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, RootModel

from edgeai_repro.checksums import read_verified
from edgeai_repro.data import batch_files
from edgeai_repro.data.decoding import rgb_image, uint8_member
from edgeai_repro.errors import MissingRequirement, UserError
from edgeai_repro.files import is_file, is_folder, read_json
from edgeai_repro.validation import parse_as

if TYPE_CHECKING:
    from torch import Tensor

SIDE = 32
GRID = 100
PER_MOSAIC = GRID * GRID
MANIFEST, LABELS = "manifest.json", "labels.npz"

Part = Literal["train", "test"]
Arrays = tuple[NDArray[np.uint8], NDArray[np.uint8]]  # images (N, 3, 32, 32) and labels (N,)


@dataclass(frozen=True)
class Dataset:
    """A data set: its name, the number of its classes, and the number of images of each part."""

    name: str
    classes: int
    sizes: dict[str, int]

    def mosaics(self, part: str) -> tuple[str, ...]:
        """Return the file names of a part's mosaics, in the order of the images."""
        count = self.sizes[part] // PER_MOSAIC
        return tuple(f"{part}_{index}.webp" for index in range(count)) if part == "train" else (f"{part}.webp",)


CIFAR10 = Dataset("cifar10", 10, {"train": 50_000, "test": 10_000})
CIFAR100_POOL = Dataset("cifar100_pool", 100, {"train": 30_000})
DATASETS = {dataset.name: dataset for dataset in (CIFAR10, CIFAR100_POOL)}

# The folder, files and md5 sums of torchvision.datasets.CIFAR10. A file is unpickled only if it has its md5.
BATCHES_FOLDER = "cifar-10-batches-py"
BATCHES = {
    "train": {
        "data_batch_1": "c99cafc152244af753f735de768cd75f",
        "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
        "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
        "data_batch_4": "634d18415352ddfa80567beed471001a",
        "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    },
    "test": {"test_batch": "40351d587109b95175f43aff81a1287e"},
}
FETCH_AGAIN = "fetch it again"
GET_DATA = "set EDGEAI_DATA to a folder that contains it, or fetch it with `edgeai-repro data get FOLDER`"


class PackedFile(BaseModel):
    """The sha256 and the size in bytes of one file of a packed folder."""

    sha256: str
    bytes: int


class Manifest(RootModel[dict[str, PackedFile]]):
    """The manifest of a packed folder: its files by name."""


@dataclass(frozen=True)
class Split:
    """One part of a data set: `images` uint8 (N, 3, 32, 32), `labels` int64 (N,), and the sha256 of both."""

    images: Tensor
    labels: Tensor
    classes: int
    sha256: str

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.labels)


def data_folder() -> Path:
    """Return the folder that `EDGEAI_DATA` names. Raises MissingRequirement if it is unset or not a folder."""
    value = os.environ.get("EDGEAI_DATA")
    if not value:
        raise MissingRequirement("data", f"CIFAR-10 is missing: {GET_DATA}")
    folder = Path(value)
    if not is_folder(folder):
        raise MissingRequirement("data", f"EDGEAI_DATA must name a folder (got {value!r}): {GET_DATA}")
    return folder


def load_split(folder: Path, part: Part, dataset: Dataset = CIFAR10) -> Split:
    """Return the part `train` or `test` of a data set under `folder` as tensors. Raises as `load_arrays` does."""
    import torch

    images, labels = load_arrays(folder, part, dataset)
    digest = arrays_sha256(images, labels)
    return Split(torch.from_numpy(images), torch.from_numpy(labels).long(), dataset.classes, digest)


def load_arrays(folder: Path, part: Part, dataset: Dataset = CIFAR10) -> Arrays:
    """Return the images (N, 3, 32, 32) and labels (N,) of a part, uint8, from either form.

    Raises MissingRequirement if the folder contains no such data, UserError if a file is damaged.
    """
    if part not in dataset.sizes:
        raise UserError(f"'part' must be one of {', '.join(dataset.sizes)} in {dataset.name} (got {part!r})")
    packed = packed_folder(folder, dataset)
    if packed is not None:
        return _load_packed(packed, part, dataset)
    if dataset is CIFAR10 and (batches := batches_folder(folder)) is not None:
        return load_batches(batches, part)
    raise MissingRequirement("data", f"{folder}: contains no {dataset.name}; {GET_DATA}")


def arrays_sha256(images: NDArray[np.uint8], labels: NDArray[np.uint8]) -> str:
    """Return the sha256 of the images and labels of a part, which is the same in both forms."""
    return hashlib.sha256(images.tobytes() + labels.tobytes()).hexdigest()


def packed_folder(folder: Path, dataset: Dataset = CIFAR10) -> Path | None:
    """Return the folder of the packed form: `folder/<name>`, `folder` itself, or None if there is none."""
    for candidate in (folder / dataset.name, folder):
        if candidate.name == dataset.name and is_file(candidate / MANIFEST):
            return candidate
    if dataset is CIFAR10 and is_file(folder / MANIFEST) and is_file(folder / LABELS):
        return folder
    return None


def batches_folder(folder: Path) -> Path | None:
    """Return the folder of torchvision's batch files, None if there is none."""
    return next((path for path in (folder / BATCHES_FOLDER, folder) if is_file(path / "test_batch")), None)


def _load_packed(folder: Path, part: Part, dataset: Dataset) -> Arrays:
    manifest = parse_as(Manifest, read_json(folder / MANIFEST), folder / MANIFEST).root

    def read(name: str) -> bytes:
        if name not in manifest:
            raise UserError(f"{folder / MANIFEST}: must list {name!r}; {FETCH_AGAIN}")
        return read_verified(folder / name, manifest[name].sha256, FETCH_AGAIN, size=manifest[name].bytes)

    images = np.concatenate([unpack_mosaic(read(name), folder / name) for name in dataset.mosaics(part)])
    path = folder / LABELS
    labels = uint8_member(read(LABELS), part, path, FETCH_AGAIN)
    if labels is None:
        raise UserError(f"{path}: must contain the labels of {part!r}; {FETCH_AGAIN}")
    check_labels(labels, len(images), dataset, path)
    return images, labels


def check_labels(labels: NDArray[Any], count: int, dataset: Dataset, path: Path) -> None:
    """Raise UserError unless `labels` are `count` uint8 classes, each of them equally frequent."""
    if labels.dtype != np.uint8 or labels.shape != (count,):
        got = f"{labels.dtype} {labels.shape}"
        raise UserError(f"{path}: must contain {count} uint8 labels (got {got}); {FETCH_AGAIN}")
    frequencies = np.bincount(labels, minlength=dataset.classes)
    if not (frequencies == count // dataset.classes).all():
        raise UserError(
            f"{path}: must contain {count // dataset.classes} labels of each of {dataset.classes} classes "
            f"(got {frequencies.min()} to {frequencies.max()} in {len(frequencies)}); {FETCH_AGAIN}"
        )


def unpack_mosaic(content: bytes, path: Path) -> NDArray[np.uint8]:
    """Return the images of one WebP mosaic, uint8 (10,000, 3, 32, 32). Raises UserError if it isn't one."""
    try:
        pixels = np.asarray(rgb_image(content, ("WEBP",)))
    except ValueError as error:
        raise UserError(f"{path}: must be a WebP mosaic (got {error}); {FETCH_AGAIN}") from None
    side = GRID * SIDE
    if pixels.shape != (side, side, 3):
        raise UserError(f"{path}: must have {side} × {side} pixels (got {pixels.shape}); {FETCH_AGAIN}")
    tiles = pixels.reshape(GRID, SIDE, GRID, SIDE, 3).transpose(0, 2, 4, 1, 3)
    return np.ascontiguousarray(tiles.reshape(PER_MOSAIC, 3, SIDE, SIDE))


def load_batches(folder: Path, part: Part) -> Arrays:
    """Return images (N, 3, 32, 32) and labels (N,), uint8, of torchvision's batch files.

    Raises UserError if a file is missing, its md5 is not the published one, or it holds no images.
    """
    batches = [batch_files.read_batch(folder / name, md5, FETCH_AGAIN) for name, md5 in BATCHES[part].items()]
    return np.concatenate([images for images, _ in batches]), np.concatenate([labels for _, labels in batches])
