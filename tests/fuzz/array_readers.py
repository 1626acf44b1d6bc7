"""Readers of arrays and images: bundles, packed data sets, batches, and images to classify."""

from __future__ import annotations

import hashlib
import io
import pickle
import struct
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from hypothesis import strategies as st
from PIL import Image

from edgeai_repro.data import cifar
from edgeai_repro.edge import bundle
from edgeai_repro.edge.images import read_image
from tests.fuzz.inputs import ODD_INTEGERS, as_json, damaged, json_files
from tests.fuzz.reader import Reader

GRID = 2  # a mosaic of 2 × 2 images, so that an input takes a millisecond


def _array_file(array: Any) -> bytes:
    stored = io.BytesIO()
    np.save(stored, array, allow_pickle=True)
    return stored.getvalue()


@st.composite
def array_files(draw: st.DrawFn) -> bytes:
    """Draw an .npy file whose header may promise another type or shape than follows."""
    if draw(st.booleans()):
        return draw(damaged([_array_file(probe) for probe in (np.zeros((1, 3, 32, 32), np.uint8), np.array([{}]))]))
    shape = draw(st.lists(st.sampled_from([*ODD_INTEGERS, 3, 32, "'a'", None, -1]), max_size=5))
    descr = draw(st.sampled_from(["|u1", "<f4", "|O", "<U9", "|V4", "x", "<m8", [("a", "|u1")], "|u1" * 50]))
    header = (
        f"{{'descr': {descr!r}, 'fortran_order': {draw(st.booleans())}, 'shape': ({', '.join(map(str, shape))},)}}"
    )
    header = draw(st.sampled_from([header, "(" * 100, "1" * 9000, "{}", "__import__('os')", "[" * 900 + "]" * 900]))
    data = header.encode("latin-1") + b"\n"
    version = draw(st.sampled_from([(1, 0), (2, 0), (3, 0), (9, 9)]))
    size = struct.pack("<H" if version == (1, 0) else "<I", draw(st.sampled_from([len(data), 2**16 - 1, 1])))
    return b"\x93NUMPY" + bytes(version) + size + data + draw(st.binary(max_size=64))


def _manifest(**files: bytes) -> dict[str, Any]:
    entries = {
        name: {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
        for name, content in files.items()
    }
    model = {
        **{"file": "net.onnx", "weights": "net.bin", "technique": "none", "settings": {}, "hidden_widths": [8]},
        "origin": {"sha256": None, "recipe": None},
        "counts": {"parameters": 1, "macs": 1, "bit_operations": 1},
        **{"error": 0.0, "expected": [[1.0, 2.0]]},
    }
    return {
        **{"schema_version": 3, "model": "convnext_atto", "num_classes": 10, "stem_stride": 4},
        "input": {"name": "image", "shape": [1, 3, 32, 32], "mean": [0.5, 0.5, 0.5], "std": [0.2, 0.2, 0.2]},
        **{"models": {"fp32": model}, "files": entries, "data_sha256": None, "versions": {}},
    }


BUNDLE = {"net.onnx": b"onnx", "net.bin": b"bin", "probes.npy": _array_file(np.zeros((1, 3, 32, 32), np.uint8))}


def read_manifest(content: bytes, folder: Path) -> None:
    """Load a bundle with this manifest, and its probes."""
    for name, other in BUNDLE.items():
        (folder / name).write_bytes(other)
    (folder / bundle.MANIFEST).write_bytes(content)
    loaded = bundle.load(folder)
    loaded.probes()
    loaded.model("fp32"), loaded.size("fp32"), loaded.check("fp32")


def read_probes(content: bytes, folder: Path) -> None:
    """Load a bundle whose manifest lists these probes."""
    listed = {**BUNDLE, "probes.npy": content}
    for name, other in listed.items():
        (folder / name).write_bytes(other)
    (folder / bundle.MANIFEST).write_bytes(as_json(_manifest(**listed)))
    bundle.load(folder).probes()


@contextmanager
def small_mosaics() -> Iterator[None]:
    """Let a mosaic have 2 × 2 images, and the test split one mosaic."""
    small = mock.patch.multiple(cifar, GRID=GRID, PER_MOSAIC=GRID * GRID)
    with small, mock.patch.dict(cifar.CIFAR10.sizes, {"test": GRID * GRID}):
        yield


def _image_file(form: str, side: int = GRID * 32, **options: Any) -> bytes:
    stored = io.BytesIO()
    Image.fromarray(np.arange(side * side * 3, dtype=np.uint8).reshape(side, side, 3)).save(stored, form, **options)
    return stored.getvalue()


MOSAIC = _image_file("WEBP", lossless=True)
LABELS = np.array([0, 1, 2, 3], np.uint8)


def _label_file(**members: bytes) -> bytes:
    stored = io.BytesIO()
    with zipfile.ZipFile(stored, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name.replace("_npy", ".npy"), content)
    return stored.getvalue()


LABEL_FILE = _label_file(test_npy=_array_file(LABELS), train_npy=_array_file(LABELS))


def label_files() -> st.SearchStrategy[bytes]:
    """Return .npz files: damaged ones, ones whose arrays lie, and ones with 16 MB of zeros in few bytes."""
    lying = array_files().map(lambda array: _label_file(test_npy=array))
    bomb = _label_file(test_npy=_array_file(np.zeros(2**24, np.uint8)))
    return damaged([LABEL_FILE, LABEL_FILE, bomb]) | lying | array_files()


def read_labels(content: bytes, folder: Path) -> None:
    """Load the packed test split with these labels."""
    files = {"test.webp": MOSAIC, cifar.LABELS: content}
    packed = folder / "cifar10"
    packed.mkdir()
    for name, other in files.items():
        (packed / name).write_bytes(other)
    listed = {
        name: {"sha256": hashlib.sha256(other).hexdigest(), "bytes": len(other)} for name, other in files.items()
    }
    (packed / cifar.MANIFEST).write_bytes(as_json(listed))
    with small_mosaics():
        cifar.load_arrays(folder, "test")


def read_mosaic(content: bytes, folder: Path) -> None:
    """Unpack a mosaic of images."""
    with small_mosaics():
        cifar.unpack_mosaic(content, folder / "test.webp")


def read_photo(content: bytes, folder: Path) -> None:
    """Read an image to classify."""
    (folder / "a.png").write_bytes(content)
    read_image(folder / "a.png")


def images() -> st.SearchStrategy[bytes]:
    """Return images of many forms, damaged, and with sizes that are not theirs."""
    forms = ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "ICO", "PPM", "TGA", "SGI", "PCX", "DDS"]
    seeds = [_image_file(form, 16) for form in forms]
    png = seeds[0]
    huge = st.builds(
        lambda w, h: png[:16] + struct.pack(">II", w & 0xFFFFFFFF, h & 0xFFFFFFFF) + png[24:],
        st.sampled_from(ODD_INTEGERS),
        st.sampled_from(ODD_INTEGERS),
    )
    eps = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 99999 99999\n%%EndComments\n"
    return damaged([*seeds, eps]) | huge


def mosaics() -> st.SearchStrategy[bytes]:
    """Return WebP files, damaged, and with sizes that are not theirs."""
    lossy = _image_file("WEBP", quality=50)
    return damaged([MOSAIC, lossy, _image_file("PNG"), _image_file("WEBP", 16)])


def batch_files() -> st.SearchStrategy[bytes]:
    """Return pickles: damaged batches, batches with odd values, and pickles of other classes."""
    data = np.zeros((4, 3072), np.uint8)
    batch = {b"data": data, b"labels": [0, 1, 2, 3]}
    odd = [
        *(
            {**batch, b"labels": labels}
            for labels in ([300], ["a"], None, [[]], [1e9], [-1, 0, 1, 2], list(range(9)))
        ),
        *(
            {**batch, b"data": other}
            for other in (None, data[:, :7], data.astype("f8"), [[1]], np.zeros((0, 3072)), {})
        ),
        *({}, [], None, Path("a"), hashlib.sha256, {b"data": data}, print, OverflowError("a")),
    ]
    pickles = [
        pickle.dumps(entry, protocol)
        for entry in [batch, *odd]
        if entry is not hashlib.sha256
        for protocol in (2, 4)
    ]
    hostile = [
        b"cos\nsystem\n(S'true'\ntR.",
        b"\x80\x04\x95" + b"\xff" * 8,
        b"(" * 5000 + b".",
        b"]" + b"]a" * 5000 + b".",
        b"r\xff\xff\xff\x7f.",
        b"\x80\x04\x8e" + b"\xff" * 7 + b"\x7f.",
        b"\x80\x63.",
        b"}(" + b"K\x01" * 3 + b"u.",
    ]
    return damaged([*pickles, *hostile]) | st.sampled_from([*pickles, *hostile])


def read_batch(content: bytes, folder: Path) -> None:
    """Read batches whose md5 is the published one, as far as this test goes."""
    (folder / "test_batch").write_bytes(content)
    md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
    with mock.patch.dict(cifar.BATCHES, {"test": {"test_batch": md5}}):
        cifar.load_arrays(folder, "test")


def manifests() -> st.SearchStrategy[bytes]:
    """Return manifests of a bundle with odd values."""
    return json_files(_manifest(**BUNDLE))


ARRAY_READERS = [
    Reader("bundle manifests", read_manifest, manifests),
    Reader("npy", read_probes, array_files),
    Reader("npz", read_labels, label_files),
    Reader("mosaics", read_mosaic, mosaics),
    Reader("images", read_photo, images),
    Reader("CIFAR batches", read_batch, batch_files),
]
