"""Get, pack and verify CIFAR-10. Nothing is half-written: a folder counts once its last file is in place."""

from __future__ import annotations

import hashlib
import io
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torchvision.datasets import CIFAR10 as TORCHVISION
from torchvision.datasets.utils import download_and_extract_archive

from edgeai_repro.data.cifar import (
    BATCHES,
    BATCHES_FOLDER,
    CIFAR10,
    DATASETS,
    GRID,
    PER_MOSAIC,
    SIDE,
    Dataset,
    Part,
    batches_folder,
    load_batches,
    load_split,
    packed_folder,
)
from edgeai_repro.errors import MissingRequirement, UserError
from edgeai_repro.files import atomic_write

PARTS: tuple[Part, ...] = ("train", "test")


@dataclass(frozen=True)
class Verified:
    """A part of a data set that was read whole: its form, its size, and the sha256 of its pixels and labels."""

    dataset: str
    part: str
    form: str
    images: int
    classes: int
    sha256: str


def verify(folder: Path) -> list[Verified]:
    """Read every part of every data set under `folder`; its hashes, shapes and class counts are checked thereby.

    Raises ConditionMissing where there is none, UserError at the first fault.
    """
    found = []
    for dataset in DATASETS.values():
        form = _form(folder, dataset)
        for part in PARTS if form else ():
            if part in dataset.sizes:
                split = load_split(folder, part, dataset)
                found.append(Verified(dataset.name, part, str(form), len(split), split.classes, split.sha256))
    if not found:
        load_split(folder, "test")  # says what is missing
    return found


def _form(folder: Path, dataset: Dataset) -> str | None:
    if packed_folder(folder, dataset) is not None:
        return "packed"
    return "torchvision" if dataset is CIFAR10 and batches_folder(folder) is not None else None


def pack(source: Path, target: Path) -> Path:
    """Write CIFAR-10 from torchvision's form under `source` in the packed form to `target/cifar10`; return that.

    The manifest is written last, so what was interrupted is not taken for data. Raises ConditionMissing where
    `source` holds no batch files, UserError where they are damaged or `target` can't be written.
    """
    batches = batches_folder(source)
    if batches is None:
        raise MissingRequirement(
            "data", f"torchvision's CIFAR-10 is not in {str(source)!r}: `edgeai-repro data get`"
        )
    folder = target / CIFAR10.name
    if (folder / "manifest.json").exists():
        raise UserError(f"'target' must not hold a packed CIFAR-10 yet (got {str(folder)!r}); name another folder")
    contents, labels = {}, {}
    for part in PARTS:
        images, labels[part] = load_batches(batches, part)
        for index, name in enumerate(CIFAR10.mosaics(part)):
            contents[name] = mosaic(images[index * PER_MOSAIC : (index + 1) * PER_MOSAIC])
            _write(folder / name, contents[name])
    masks = {f"lossless_{part}": np.ones(CIFAR10.sizes[part], bool) for part in PARTS}
    stored = io.BytesIO()
    np.savez_compressed(stored, allow_pickle=False, **labels, **masks)
    contents["labels.npz"] = stored.getvalue()
    _write(folder / "labels.npz", contents["labels.npz"])
    manifest = {
        name: {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
        for name, content in contents.items()
    }
    _write(folder / "manifest.json", json.dumps(manifest, indent=1).encode())
    return folder


def mosaic(images: NDArray[np.uint8]) -> bytes:
    """Return 10,000 images, uint8 (10,000, 3, 32, 32), as one lossless WebP."""
    side = GRID * SIDE
    tiles = images.reshape(GRID, GRID, 3, SIDE, SIDE).transpose(0, 3, 1, 4, 2).reshape(side, side, 3)
    stored = io.BytesIO()
    Image.fromarray(tiles).save(stored, "WEBP", lossless=True, quality=100, exact=True)
    return stored.getvalue()


def _write(path: Path, content: bytes) -> None:
    with atomic_write(path) as file:
        file.write(content)


def download(folder: Path) -> Path:
    """Have torchvision fetch CIFAR-10 into `folder`; return the folder of its batch files, whose md5 were checked.

    Raises UserError where it can't be fetched; nothing is left then.
    """
    target = folder / BATCHES_FOLDER
    if not target.exists():
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=folder, prefix=".cifar10.") as rest:
                download_and_extract_archive(
                    TORCHVISION.url,
                    rest,
                    filename=TORCHVISION.filename,
                    md5=TORCHVISION.tgz_md5,
                    remove_finished=True,
                )
                (Path(rest) / BATCHES_FOLDER).rename(target)
        except (OSError, RuntimeError) as error:
            raise UserError(
                f"{TORCHVISION.url!r} must be within reach and {str(folder)!r} writable ({error}); try again, "
                "or unpack the archive there by hand"
            ) from None
    for part in BATCHES:
        load_batches(target, part)  # type: ignore[arg-type]
    return target
