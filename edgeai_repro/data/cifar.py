"""CIFAR-10 (Krizhevsky 2009) as uint8: from the packed form, or from torchvision's download.

Arrays need no torch, which an edge device does without; `load_split` makes tensors of them.

The packed form is a folder `cifar10/` with lossless WebP mosaics of 100 × 100 images (image k stands at row
k // 100, column k % 100), `labels.npz`, and `manifest.json` with the sha256 and the size of each file.
`cifar100_pool/` is a training set of CIFAR-100's classes in the same form. Every file is checked against its hash
before it is used.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgeai_repro.errors import MissingRequirement, UserError

if TYPE_CHECKING:
    from torch import Tensor

SIDE = 32
GRID = 100
PER_MOSAIC = GRID * GRID

Part = Literal["train", "test"]


@dataclass(frozen=True)
class Dataset:
    """A data set that the folder may hold: its classes, and the number of images of each part."""

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

# torchvision.datasets.CIFAR10's folder, files and md5; a file is unpickled only where its md5 is the published one.
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
GET_DATA = "set EDGEAI_DATA to a folder that holds it, or fetch it with `edgeai-repro data get FOLDER`"


@dataclass(frozen=True)
class Split:
    """One part of a data set: `images` uint8 (N, 3, 32, 32), `labels` int64 (N,), and the sha256 over both."""

    images: Tensor
    labels: Tensor
    classes: int
    sha256: str

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.labels)


def data_folder() -> Path:
    """Return the folder that `EDGEAI_DATA` names. Raises ConditionMissing where it is unset or no folder."""
    value = os.environ.get("EDGEAI_DATA")
    if not value:
        raise MissingRequirement("data", f"CIFAR-10 is not here: {GET_DATA}")
    folder = Path(value)
    if not folder.is_dir():
        raise MissingRequirement("data", f"EDGEAI_DATA must name a folder (got {value!r}): {GET_DATA}")
    return folder


def load_split(folder: Path, part: Part, dataset: Dataset = CIFAR10) -> Split:
    """Load the part `train` or `test` of a data set under `folder`, packed or in torchvision's form.

    Raises as `load_arrays` does.
    """
    import torch

    images, labels = load_arrays(folder, part, dataset)
    digest = arrays_sha256(images, labels)
    return Split(torch.from_numpy(images), torch.from_numpy(labels).long(), dataset.classes, digest)


def load_arrays(
    folder: Path, part: Part, dataset: Dataset = CIFAR10
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return images (N, 3, 32, 32) and labels (N,) of a part, uint8, packed or in torchvision's form.

    Raises ConditionMissing where the folder holds no such data, UserError where a file is damaged.
    """
    if part not in dataset.sizes:
        raise UserError(f"'part' must be one of {', '.join(dataset.sizes)} in {dataset.name} (got {part!r})")
    packed = packed_folder(folder, dataset)
    if packed is not None:
        return _load_packed(packed, part, dataset)
    if dataset is CIFAR10 and (batches := batches_folder(folder)) is not None:
        return load_batches(batches, part)
    raise MissingRequirement("data", f"{dataset.name} is not in {str(folder)!r}: {GET_DATA}")


def arrays_sha256(images: NDArray[np.uint8], labels: NDArray[np.uint8]) -> str:
    """Return the sha256 over the images and labels of a part, by which it is known wherever it is kept."""
    return hashlib.sha256(images.tobytes() + labels.tobytes()).hexdigest()


def packed_folder(folder: Path, dataset: Dataset = CIFAR10) -> Path | None:
    """Return where `folder` holds the packed form: `folder/<name>`, or `folder` itself if so named; else None."""
    for candidate in (folder / dataset.name, folder):
        if candidate.name == dataset.name and (candidate / "manifest.json").is_file():
            return candidate
    if dataset is CIFAR10 and (folder / "manifest.json").is_file() and (folder / "labels.npz").is_file():
        return folder
    return None


def batches_folder(folder: Path) -> Path | None:
    """Return where `folder` holds torchvision's batch files, or None."""
    return next((path for path in (folder / BATCHES_FOLDER, folder) if (path / "test_batch").is_file()), None)


def read_manifest(folder: Path) -> dict[str, dict[str, Any]]:
    """Return the manifest of a packed folder: {file name: {sha256, bytes}}. Raises UserError if it is none."""
    path = folder / "manifest.json"
    try:
        manifest = json.loads(path.read_text())
        return {
            str(name): {"sha256": str(entry["sha256"]), "bytes": int(entry["bytes"])}
            for name, entry in manifest.items()
        }
    except (OSError, ValueError, AttributeError, TypeError, KeyError):
        raise UserError(
            f"{str(path)!r} must be a manifest of sha256 and bytes (it is not); fetch it again"
        ) from None


def read_checked(folder: Path, name: str, manifest: dict[str, dict[str, Any]]) -> bytes:
    """Return the bytes of a file of a packed folder. Raises UserError unless they are what the manifest says."""
    path = folder / name
    if name not in manifest:
        raise UserError(f"'manifest.json' must list {name!r} (it does not, in {str(folder)!r}); fetch it again")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{str(path)!r} must be readable ({error.strerror}); fetch it again") from None
    expected = manifest[name]
    if len(content) != expected["bytes"]:
        raise UserError(f"{str(path)!r} must have {expected['bytes']} bytes (got {len(content)}); fetch it again")
    digest = hashlib.sha256(content).hexdigest()
    if digest != expected["sha256"]:
        raise UserError(
            f"{str(path)!r} must have the manifest's sha256 {expected['sha256'][:12]}… (got {digest[:12]}…); "
            "fetch it again"
        )
    return content


def _load_packed(folder: Path, part: Part, dataset: Dataset) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    manifest = read_manifest(folder)
    images = np.concatenate(
        [unpack_mosaic(read_checked(folder, name, manifest), folder / name) for name in dataset.mosaics(part)]
    )
    path = folder / "labels.npz"
    with np.load(io.BytesIO(read_checked(folder, "labels.npz", manifest)), allow_pickle=False) as stored:
        if part not in stored:
            raise UserError(f"{str(path)!r} must hold the labels of {part!r} (it does not); fetch it again")
        labels = stored[part]
    check_labels(labels, len(images), dataset, path)
    return images, labels


def check_labels(labels: NDArray[Any], count: int, dataset: Dataset, path: Path) -> None:
    """Raise UserError unless `labels` are `count` uint8 classes of which each is as frequent as the others."""
    if labels.dtype != np.uint8 or labels.shape != (count,):
        got = f"{labels.dtype} {labels.shape}"
        raise UserError(f"{str(path)!r} must hold {count} uint8 labels (got {got}); fetch it again")
    frequencies = np.bincount(labels, minlength=dataset.classes)
    if not (frequencies == count // dataset.classes).all():
        raise UserError(
            f"{str(path)!r} must hold {count // dataset.classes} labels of each of {dataset.classes} classes "
            f"(got {frequencies.min()} to {frequencies.max()} in {len(frequencies)}); fetch it again"
        )


def unpack_mosaic(content: bytes, path: Path) -> NDArray[np.uint8]:
    """Return the images of one WebP mosaic, uint8 (10,000, 3, 32, 32). Raises UserError if it is none."""
    try:
        with Image.open(io.BytesIO(content), formats=["WEBP"]) as image:
            pixels = np.asarray(image.convert("RGB"))
    except (OSError, ValueError) as error:
        raise UserError(f"{str(path)!r} must be a WebP mosaic ({error}); fetch it again") from None
    side = GRID * SIDE
    if pixels.shape != (side, side, 3):
        raise UserError(f"{str(path)!r} must be {side} × {side} pixels (got {pixels.shape}); fetch it again")
    tiles = pixels.reshape(GRID, SIDE, GRID, SIDE, 3).transpose(0, 2, 4, 1, 3)
    return np.ascontiguousarray(tiles.reshape(PER_MOSAIC, 3, SIDE, SIDE))


_RECONSTRUCT: Any = np.empty(0).__reduce__()[0]  # its module was renamed in numpy 2


class _ArraysOnly(pickle.Unpickler):
    """Reads numpy arrays, bytes, lists and dicts, and refuses every other global that a pickle may name."""

    _ADMITTED: ClassVar[dict[tuple[str, str], Callable[..., Any]]] = {
        ("numpy.core.multiarray", "_reconstruct"): _RECONSTRUCT,
        ("numpy._core.multiarray", "_reconstruct"): _RECONSTRUCT,
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
    }

    def find_class(self, module: str, name: str) -> Any:
        try:
            return self._ADMITTED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"{module}.{name} is not admitted") from None


def load_batches(folder: Path, part: Part) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return images (N, 3, 32, 32) and labels (N,), uint8, of torchvision's batch files.

    Raises UserError where a file is missing or its md5 is not the published one.
    """
    images, labels = [], []
    for name, md5 in BATCHES[part].items():
        path = folder / name
        try:
            content = path.read_bytes()
        except OSError as error:
            raise UserError(f"{str(path)!r} must be readable ({error.strerror}); fetch it again") from None
        if hashlib.md5(content, usedforsecurity=False).hexdigest() != md5:
            raise UserError(f"{str(path)!r} must have the published md5 {md5} (it has not); fetch it again")
        batch = read_batch(content)
        images.append(batch[b"data"].reshape(-1, 3, SIDE, SIDE))
        labels.append(np.asarray(batch[b"labels"], np.uint8))
    return np.concatenate(images), np.concatenate(labels)


def read_batch(content: bytes) -> dict[bytes, Any]:
    """Unpickle one batch file, admitting arrays alone. Raises UserError where it names anything else."""
    try:
        batch: dict[bytes, Any] = _ArraysOnly(io.BytesIO(content), encoding="bytes").load()
    except Exception as error:
        raise UserError(f"a batch file must be a pickle of arrays ({error}); fetch it again") from None
    return batch
