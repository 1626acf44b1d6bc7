"""Reads the batch files of CIFAR-10 as its authors published them: pickles of Python 2."""

from __future__ import annotations

import codecs
import hashlib
import io
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeai_repro import limits
from edgeai_repro.errors import UserError, one_line
from edgeai_repro.files import read_bytes

SIDE, CHANNELS, CLASSES = 32, 3, 10


def read_batch(path: Path, md5: str, hint: str) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return the images (N, 3, 32, 32) and the labels (N,) of a file, uint8.

    Its md5 is compared first, so only the published file is ever unpickled. Raises UserError, with `hint` as the
    next step, for any other file, and if it doesn't hold images and labels.
    """
    content = read_bytes(path, limits.ARRAY_BYTES, hint)
    digest = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if digest != md5:
        raise UserError(f"{path}: must have the published md5 {md5} (got {digest}); {hint}")
    try:
        batch = _Unpickler(io.BytesIO(content), encoding="bytes").load()
        images, labels = batch[b"data"], np.asarray(batch[b"labels"])
        if images.dtype != np.uint8 or images.shape != (len(labels), CHANNELS * SIDE * SIDE):
            raise ValueError(f"images of {images.dtype} {images.shape}")
        if labels.dtype.kind != "i" or labels.ndim != 1 or not np.isin(labels, range(CLASSES)).all():
            raise ValueError(f"labels of {labels.dtype} {labels.shape}, or beyond {CLASSES - 1}")
    except MemoryError:
        raise UserError(f"{path}: must hold images and labels (got a pickle without end); {hint}") from None
    except Exception as error:  # a pickle may raise anything
        raise UserError(f"{path}: must hold images and labels (got {one_line(error)}); {hint}") from None
    return images.reshape(-1, CHANNELS, SIDE, SIDE), labels.astype(np.uint8)


class _Unpickler(pickle.Unpickler):
    """Makes only what a batch consists of: arrays, bytes, and plain values."""

    def find_class(self, module: str, name: str) -> Any:
        """Return what stands for a function of a pickle. Raises UnpicklingError for any other function."""
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"{module}.{name} is no part of a batch")
        return _ALLOWED[module, name]


def _empty_array(kind: object, shape: tuple[int, ...], code: object) -> NDArray[np.uint8]:
    """Return the empty array that NumPy's pickles fill with their bytes, and none of a size that takes memory."""
    if shape != (0,):
        raise pickle.UnpicklingError(f"an array of shape {shape} without its bytes")
    return np.empty(0, np.uint8)


_ALLOWED: Mapping[tuple[str, str], Any] = {
    ("numpy", "ndarray"): "ndarray",  # the argument of _reconstruct
    ("numpy", "dtype"): np.dtype,
    ("numpy.core.multiarray", "_reconstruct"): _empty_array,
    ("numpy._core.multiarray", "_reconstruct"): _empty_array,
    ("_codecs", "encode"): codecs.encode,  # bytes of protocol 2
}
