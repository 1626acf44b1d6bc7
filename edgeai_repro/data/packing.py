"""Downloads, packs and verifies CIFAR-10. A folder is written whole or not at all."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torchvision.datasets import CIFAR10 as TORCHVISION
from torchvision.datasets.utils import download_and_extract_archive

from edgeai_repro.checksums import sha256
from edgeai_repro.data.cifar import (
    BATCHES_FOLDER,
    CIFAR10,
    DATASETS,
    GRID,
    LABELS,
    MANIFEST,
    PER_MOSAIC,
    SIDE,
    Dataset,
    Manifest,
    PackedFile,
    Part,
    batches_folder,
    load_batches,
    load_split,
    packed_folder,
)
from edgeai_repro.errors import MissingRequirement, UserError
from edgeai_repro.files import atomic_folder
from edgeai_repro.temporary import temporary_folder

PARTS: tuple[Part, ...] = ("train", "test")


@dataclass(frozen=True)
class Verified:
    """A part of a data set that was read and checked. `form` is "packed" or "torchvision"."""

    dataset: str
    part: str
    form: str
    images: int
    classes: int
    sha256: str


def verify(folder: Path) -> list[Verified]:
    """Read every part of every data set under `folder`, which checks sums, shapes and class counts.

    Raises MissingRequirement if there is no data, UserError at the first damaged file.
    """
    verified = []
    for dataset in DATASETS.values():
        form = _form(folder, dataset)
        for part in PARTS if form else ():
            if part in dataset.sizes:
                split = load_split(folder, part, dataset)
                verified.append(Verified(dataset.name, part, str(form), len(split), split.classes, split.sha256))
    if not verified:
        load_split(folder, "test")  # raises MissingRequirement
    return verified


def _form(folder: Path, dataset: Dataset) -> str | None:
    if packed_folder(folder, dataset) is not None:
        return "packed"
    return "torchvision" if dataset is CIFAR10 and batches_folder(folder) is not None else None


def pack(source: Path, target: Path) -> Path:
    """Pack torchvision's CIFAR-10 under `source` into the folder `target/cifar10`; return that folder.

    A folder that is there already stays if it has the same content. Raises MissingRequirement if `source` contains
    no batch files, UserError if they are damaged, if another folder exists, or if it can't be written.
    """
    batches = batches_folder(source)
    if batches is None:
        raise MissingRequirement(
            "data", f"{source}: contains no batch files of CIFAR-10; fetch them with `edgeai-repro data get FOLDER`"
        )
    path = target / CIFAR10.name
    with atomic_folder(path, finished=MANIFEST) as folder:
        labels = {}
        for part in PARTS:
            images, labels[part] = load_batches(batches, part)
            for index, name in enumerate(CIFAR10.mosaics(part)):
                (folder / name).write_bytes(mosaic(images[index * PER_MOSAIC : (index + 1) * PER_MOSAIC]))
        np.savez_compressed(folder / LABELS, allow_pickle=False, **labels)
        manifest = Manifest(
            {file.name: PackedFile(sha256=sha256(file), bytes=file.stat().st_size) for file in folder.iterdir()}
        )
        (folder / MANIFEST).write_text(manifest.model_dump_json(indent=1), encoding="utf-8")
    return path


def mosaic(images: NDArray[np.uint8]) -> bytes:
    """Return 10,000 images, uint8 (10,000, 3, 32, 32), as one lossless WebP."""
    side = GRID * SIDE
    tiles = images.reshape(GRID, GRID, 3, SIDE, SIDE).transpose(0, 3, 1, 4, 2).reshape(side, side, 3)
    stored = io.BytesIO()
    Image.fromarray(tiles).save(stored, "WEBP", lossless=True, quality=100, exact=True)
    return stored.getvalue()


def download(folder: Path) -> Path:
    """Download CIFAR-10 with torchvision into `folder`, unless it is there; return the folder of its batch files.

    Raises UserError if it can't be fetched, in which case nothing is left, or if a file has another md5.
    """
    target = folder / BATCHES_FOLDER
    if not target.exists():
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with temporary_folder(target) as temporary:
                download_and_extract_archive(
                    TORCHVISION.url, temporary, filename=TORCHVISION.filename, md5=TORCHVISION.tgz_md5
                )
                (temporary / BATCHES_FOLDER).rename(target)
        except (OSError, RuntimeError) as error:
            raise UserError(
                f"{folder}: must be writable, and {TORCHVISION.url} reachable (got {error}); try again, or unpack "
                "the archive there by hand"
            ) from None
    for part in PARTS:
        load_batches(target, part)
    return target
