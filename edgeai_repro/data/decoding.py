"""Decodes arrays and images that come from anyone. Their size is checked before memory is taken for them."""

from __future__ import annotations

import io
import math
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray
from PIL import Image

from edgeai_repro import limits
from edgeai_repro.errors import UserError, one_line

UINT8 = np.dtype(np.uint8)
_HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


def numpy_array(content: bytes, path: Path, hint: str, dtype: np.dtype[Any] = UINT8) -> NDArray[Any]:
    """Return the array of an .npy file. `path` and `hint`, the next step, are for the message.

    Raises UserError unless it is one of this type with as many values as its header says.
    """
    stream = io.BytesIO(content)
    try:
        shape, is_fortran, stored = _HEADERS[npy.read_magic(stream)](stream)
    except Exception as error:  # NumPy reads the header as Python, which raises errors of many types
        raise UserError(f"{path}: must be a NumPy array (got {one_line(error)}); {hint}") from None
    if stored != dtype:
        raise UserError(f"{path}: must hold {dtype} (got {stored}); {hint}")
    values = content[stream.tell() :]
    if min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize != len(values):
        raise UserError(f"{path}: must hold as many values as {shape} has (got {len(values)} bytes); {hint}")
    return np.frombuffer(values, dtype).reshape(shape, order="F" if is_fortran else "C").copy()


def uint8_member(content: bytes, name: str, path: Path, hint: str) -> NDArray[np.uint8] | None:
    """Return the array `name` of an .npz file, None if it has none. Raises UserError as `numpy_array` does."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            member = f"{name}.npy"
            if member not in archive.namelist():
                return None
            size = archive.getinfo(member).file_size
            if size > limits.ARRAY_BYTES:
                raise ValueError(f"{size} bytes, unpacked")
            with archive.open(member) as stream:
                unpacked = stream.read(size + 1)  # not more than the archive promises
    except Exception as error:  # the errors of zipfile and of zlib have no common base
        raise UserError(f"{path}: must be an .npz file (got {one_line(error)}); {hint}") from None
    return numpy_array(unpacked, path, hint)


def rgb_image(content: bytes, formats: tuple[str, ...]) -> Image.Image:
    """Return an image file of one of Pillow's `formats` in RGB. Raises ValueError for anything else."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the limit below is stricter than Pillow's
            with Image.open(io.BytesIO(content), formats=formats) as image:
                if image.width * image.height > limits.PIXELS:
                    raise ValueError(f"{image.width} × {image.height} pixels, more than {limits.PIXELS:,}")
                return image.convert("RGB")
    except Exception as error:  # each format of Pillow raises errors of other types
        raise ValueError(str(error) if isinstance(error, ValueError | OSError) else one_line(error)) from None
