"""Images as a bundle's models take them: read from a file, normalised and resized. Torch isn't needed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgeai_repro import limits
from edgeai_repro.edge.manifest import InputSpec
from edgeai_repro.errors import UserError, brief
from edgeai_repro.files import read_bytes

Floats = NDArray[np.float32]
SIDE = 32  # of CIFAR-10's images
FORMATS = ("PNG", "JPEG", "WEBP", "BMP")  # Pillow reads others only in part, or by other programs


def prepare(images: NDArray[np.uint8], spec: InputSpec) -> Floats:
    """Return uint8 images (n, 3, h, w) as float32 (n, 3, H, W), normalised and enlarged bilinearly as in torch."""
    mean, std = (np.array(values, np.float32).reshape(1, 3, 1, 1) * 255 for values in (spec.mean, spec.std))
    inputs = (images.astype(np.float32) - mean) / std
    if inputs.shape[2:] != spec.shape[2:]:
        (height, width), (new_height, new_width) = inputs.shape[2:], spec.shape[2:]
        inputs = _interpolation(height, new_height) @ inputs @ _interpolation(width, new_width).T
    return np.ascontiguousarray(inputs, np.float32)


def read_image(path: Path, side: int = SIDE) -> NDArray[np.uint8]:
    """Return an image file, resized to a square, as uint8 (1, 3, side, side). Raises UserError if it isn't one."""
    from PIL.Image import Resampling

    from edgeai_repro.data.decoding import rgb_image

    content = read_bytes(path, limits.IMAGE_BYTES, "name a PNG or JPEG")
    try:
        pixels = np.asarray(rgb_image(content, FORMATS).resize((side, side), Resampling.BILINEAR))
    except ValueError as error:
        raise UserError(f"{path}: must be an image (got {brief(error)}); name a PNG or JPEG") from None
    return np.ascontiguousarray(pixels.transpose(2, 0, 1)[None])


def _interpolation(size: int, new_size: int) -> Floats:
    """Return the matrix (new_size, size) of bilinear interpolation between pixel centres."""
    if new_size < size:
        raise UserError(
            f"'resolution' must be {size} or more (got {new_size}); export the model at the images' size"
        )
    positions = ((np.arange(new_size) + 0.5) * size / new_size - 0.5).clip(0, size - 1)
    return np.asarray(np.maximum(0, 1 - np.abs(positions[:, None] - np.arange(size))), np.float32)
