"""The user's own images: a folder with one folder per class to test on, and any folder to calibrate on."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgeai_repro import limits
from edgeai_repro.edge.images import read_image
from edgeai_repro.edge.static_int8 import Calibration
from edgeai_repro.errors import UserError, did_you_mean
from edgeai_repro.files import is_file, read_text

log = logging.getLogger(__name__)
ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
MOST_TO_CALIBRATE_ON = 128  # the extremes of more images differ little, and each is one run of the network
PNG_OR_JPEG = "add PNG or JPEG files"


@dataclass(frozen=True)
class TestImages:
    """Images, uint8 (n, 3, side, side), and the class of each, uint16 (n,)."""

    __test__ = False  # pytest must not collect it

    images: NDArray[np.uint8]
    classes: NDArray[np.uint16]


def read_labels(path: Path) -> tuple[str, ...]:
    """Return the names of the classes from a text file, one per line. Raises UserError if it can't be read."""
    lines = read_text(path, limits.SUMS_BYTES, "text", "write one label per line").splitlines()
    labels = tuple(line.strip() for line in lines if line.strip())
    if len(set(labels)) != len(labels) or not labels:
        raise UserError(f"{path}: must have one label per line, each once (got {len(labels)} lines); correct it")
    return labels


def labels_of(folder: Path, classes: int) -> tuple[str, ...] | None:
    """Return the names of the class folders if there are as many as classes, in alphabetical order, else None."""
    names = tuple(sorted(entry.name for entry in _entries(folder) if entry.is_dir()))
    return names if len(names) == classes else None


def read_test_images(folder: Path, side: int, classes: int, labels: Sequence[str] | None) -> TestImages:
    """Return the images in the class folders of `folder`, resized to `side` pixels, and their classes.

    A class folder is named by a label, or by the number of a class. An image that can't be read is left out, with a
    warning. Raises UserError if there are no class folders or no images, and for a folder that is no class.
    """
    images: list[NDArray[np.uint8]] = []
    numbers: list[int] = []
    for entry in sorted(entry for entry in _entries(folder) if entry.is_dir()):
        number = _class_of(entry, classes, labels)
        read = _read_all(entry, side)
        images += read
        numbers += [number] * len(read)
    if not images:
        raise UserError(f"{folder}: must have one folder of images per class (got none); {PNG_OR_JPEG}")
    return TestImages(np.concatenate(images), np.array(numbers, np.uint16))


def read_calibration(folder: Path, side: int) -> Calibration:
    """Return images from a folder and those below it, resized to `side` pixels, evenly chosen if there are many.

    An image that can't be read is left out, with a warning. Raises UserError if there is none.
    """
    images = _read_all(folder, side, most=MOST_TO_CALIBRATE_ON)
    if not images:
        raise UserError(f"{folder}: must contain images to calibrate on (got none); {PNG_OR_JPEG}")
    return Calibration(np.concatenate(images), f"{len(images)} images")


def _entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError as error:
        raise UserError(f"{folder}: must be a folder of images (got {error.strerror}); check the path") from None


def _class_of(folder: Path, classes: int, labels: Sequence[str] | None) -> int:
    if labels is not None and folder.name in labels:
        return labels.index(folder.name)
    if folder.name.isdecimal() and int(folder.name) < classes:
        return int(folder.name)
    hint = "give --labels, or name it by the number of its class" if labels is None else ""
    raise UserError(
        f"{folder}: must be named by a label, or by the number of a class from 0 to {classes - 1} "
        f"(got {folder.name!r}); {hint or did_you_mean(folder.name, labels or ())}"
    )


def _read_all(folder: Path, side: int, most: int | None = None) -> list[NDArray[np.uint8]]:
    _entries(folder)  # a missing folder isn't an empty one
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in ENDINGS and is_file(path))
    if most is not None and len(paths) > most:
        paths = [paths[index * len(paths) // most] for index in range(most)]
    images = []
    for path in paths:
        try:
            images.append(read_image(path, side))
        except UserError as error:
            log.warning("%s; the image is left out", error)
    return images
