"""A bundle: the folder that goes to a device. It holds models as ONNX files and a manifest with their sha256.

Torch isn't needed. A bundle is written to a temporary folder and then moved, so it is never incomplete. When a
bundle is read, every file is checked against the manifest.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from edgeai_repro import limits
from edgeai_repro.checksums import copy_verified, read_verified, sha256, verify_sha256
from edgeai_repro.edge.manifest import (
    MANIFEST,
    PROBES,
    TECHNIQUE_OF_VARIANT,
    VERSION,
    BundledModel,
    FileEntry,
    Manifest,
    ModelEntry,
)
from edgeai_repro.errors import MissingRequirement, UserError, require_known
from edgeai_repro.files import atomic_folder, read_json
from edgeai_repro.networks.variants import CONVNEXT_VARIANTS
from edgeai_repro.validation import parse_as

TEST_IMAGES, TEST_LABELS = "test.webp", "test_labels.npy"
OWN_IMAGES, OWN_CLASSES = "test_images.npy", "test_classes.npy"  # of the user: any size, any number of classes
WEIGHTS_SHA256 = "weights_sha256"  # the key of an ONNX file's metadata that holds the sha256 of its weights
REBUILD_HINT = "write the bundle again with `edgeai-repro bundle`, or copy it again"
ALTERED = f"the bundle is truncated or altered, {REBUILD_HINT}"


@dataclass(frozen=True)
class Bundle:
    """A bundle whose files were checked."""

    folder: Path
    manifest: Manifest

    def model(self, variant: BundledModel) -> ModelEntry:
        """Return the manifest's entry of a model. Raises UserError if the bundle doesn't hold it."""
        require_known(f"{self.folder}: 'model'", variant, self.manifest.models)
        return self.manifest.models[variant]

    @property
    def preferred(self) -> BundledModel:
        """The variant to run if the user names none: pruned and int8, else the smallest."""
        models = self.manifest.models
        return "pruned-int8" if "pruned-int8" in models else min(models, key=self.size)

    def path(self, variant: BundledModel) -> Path:
        """Return the ONNX file of a model."""
        return self.folder / self.model(variant).file

    def sha256(self, variant: BundledModel) -> str:
        """Return the sha256 of a model's ONNX file. That file contains the sha256 of the weights."""
        return self.manifest.files[self.model(variant).file].sha256

    def size(self, variant: BundledModel) -> int:
        """Return the bytes of a model's files."""
        return sum(self.manifest.files[name].bytes for name in self.model(variant).files)

    def check(self, variant: BundledModel) -> None:
        """Raise UserError unless the files of a model are those of the manifest."""
        for name in self.model(variant).files:
            _check(self.folder / name, self.manifest.files[name])

    def copy(self, variant: BundledModel, folder: Path) -> Path:
        """Copy the files of a model to a folder, check what was copied, and return its ONNX file there.

        Raises OSError if the folder can't be written.
        """
        for name in self.model(variant).files:
            entry = self._entry(name, limits.WEIGHT_BYTES)
            copy_verified(self.folder / name, folder / name, entry.sha256, ALTERED, size=entry.bytes)
        return folder / self.model(variant).file

    def read(self, name: str) -> bytes:
        """Return the bytes of a file of images, read once and then compared with the manifest."""
        entry = self._entry(name, limits.IMAGE_BYTES)
        return read_verified(self.folder / name, entry.sha256, ALTERED, size=entry.bytes, follow=False)

    def probes(self) -> NDArray[np.uint8]:
        """Return the images of the expected outputs, uint8 (n, 3, h, w). Raises UserError for any other array."""
        probes = self._array(PROBES)
        if probes.ndim != 4 or probes.shape[1] != 3 or not probes.size:
            path = self.folder / PROBES
            raise UserError(f"{path}: must have the shape (n, 3, h, w) (got {probes.shape}); {REBUILD_HINT}")
        return probes

    def test_split(self) -> tuple[NDArray[np.uint8], NDArray[Any]]:
        """Return the test images, uint8 (n, 3, h, w), and the class of each, integers (n,).

        They are the bundle's; for a ConvNeXt without any, CIFAR-10's in EDGEAI_DATA. Raises MissingRequirement if
        there are none.
        """
        from edgeai_repro.data import cifar

        if OWN_IMAGES in self.manifest.files:
            images, classes = self._array(OWN_IMAGES), self._array(OWN_CLASSES, np.uint16)
            if len(images) != len(classes) or not len(images) or classes.max() >= self.manifest.num_classes:
                path = self.folder / OWN_CLASSES
                raise UserError(f"{path}: must hold a known class for each test image; {REBUILD_HINT}")
            return images, classes
        if not self.manifest.is_convnext:
            raise MissingRequirement("data", "the bundle has no test images; write it with --images=FOLDER")

        if self.manifest.data_sha256 is None:
            try:
                return cifar.load_arrays(cifar.data_folder(), "test")
            except MissingRequirement as missing:
                remedy = f"the bundle has no test images; write it --with-test-split, or {missing.remedy}"
                raise MissingRequirement("data", remedy) from None
        labels = self._array(TEST_LABELS)
        path = self.folder / TEST_IMAGES
        images = cifar.unpack_mosaic(self.read(TEST_IMAGES), path)
        cifar.check_labels(labels, len(images), cifar.CIFAR10, path)
        if (digest := cifar.arrays_sha256(images, labels)) != self.manifest.data_sha256:
            raise UserError(
                f"{path}: must hold the test images of the manifest (got {digest[:12]}…); {REBUILD_HINT}"
            )
        return images, labels

    def _entry(self, name: str, most: int) -> FileEntry:
        """Return what the manifest lists of a file. Raises UserError if that is above `most` bytes."""
        entry = self.manifest.files[name]
        if entry.bytes > most:
            path = self.folder / name
            raise UserError(f"{path}: must have at most {most} bytes (got {entry.bytes}); {REBUILD_HINT}")
        return entry

    def _array(self, name: str, dtype: type[np.generic] = np.uint8) -> NDArray[Any]:
        from edgeai_repro.data.decoding import numpy_array  # not at the top: it imports Pillow

        path = self.folder / name
        if name not in self.manifest.files:
            raise UserError(f"{path}: is missing in the manifest; {REBUILD_HINT}")
        return numpy_array(self.read(name), path, REBUILD_HINT, np.dtype(dtype))


def parse_variant(name: str) -> BundledModel:
    """Return the variant of this name. Raises UserError if there is none."""
    require_known("'model'", name, TECHNIQUE_OF_VARIANT)
    return cast(BundledModel, name)


def load(folder: Path, variants: Collection[BundledModel] | None = None) -> Bundle:
    """Read a bundle and check its files; with `variants`, skip the files of all other models.

    Raises UserError if the manifest has another version, or if a file is missing, truncated or altered.
    """
    path = folder / MANIFEST
    document = read_json(path)
    version = document.get("schema_version") if isinstance(document, dict) else None
    if version != VERSION:
        raise UserError(f"{path}: 'schema_version' must be {VERSION} (got {version!r}); {REBUILD_HINT}")
    manifest = parse_as(Manifest, document, path)
    if manifest.is_convnext:
        require_known(f"{path}: 'model'", manifest.model, CONVNEXT_VARIANTS, f"; {REBUILD_HINT}")
    skipped = {
        file
        for variant, model in manifest.models.items()
        if variants is not None and variant not in variants
        for file in model.files
    }
    for name, entry in manifest.files.items():
        if name not in skipped:
            _check(folder / name, entry)
    return Bundle(folder, manifest)


def write(folder: Path, fill: Callable[[Path], Mapping[str, Any]]) -> Path:
    """Write a bundle and return its folder. `fill` gets an empty folder, writes the files into it, and returns the
    fields of the manifest except `files`.

    A bundle that is there already stays if it has the same content. Raises UserError if another folder exists, or
    if it can't be written.
    """
    with atomic_folder(folder, finished=MANIFEST) as temporary:
        fields = fill(temporary)
        files = {
            path.name: FileEntry(sha256=sha256(path), bytes=path.stat().st_size)
            for path in sorted(temporary.iterdir())
        }
        manifest = Manifest(**fields, files=files)
        (temporary / MANIFEST).write_text(manifest.model_dump_json(indent=1) + "\n", encoding="utf-8")
    return folder


def _check(path: Path, entry: FileEntry) -> None:
    """Raise UserError unless a file exists, is no link, and has the sha256 and the size that the manifest lists."""
    verify_sha256(path, entry.sha256, ALTERED, size=entry.bytes, follow=False)
