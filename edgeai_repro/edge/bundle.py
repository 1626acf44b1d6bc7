"""A bundle: the folder that goes to a device. It holds models as ONNX files and a manifest with their sha256.

Torch isn't needed. A bundle is written to a temporary folder and then moved, so it is never incomplete. When a
bundle is read, every file is checked against the manifest.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PositiveInt, model_validator

from edgeai_repro.errors import MissingRequirement, UserError, require_known
from edgeai_repro.evidence.measurement import Frozen, Setting
from edgeai_repro.files import atomic_folder, parse_as, read_json, sha256, verify_sha256
from edgeai_repro.networks.variants import CONVNEXT_VARIANTS

MANIFEST = "manifest.json"
PROBES = "probes.npy"
TEST_IMAGES, TEST_LABELS = "test.webp", "test_labels.npy"
VERSION: Literal[3] = 3
WEIGHTS_SHA256 = "weights_sha256"  # the key of an ONNX file's metadata that holds the sha256 of its weights
FILE_NAME = re.compile(r"[\w-]+(\.[\w-]+)*", re.ASCII)  # no path: every file lies in the bundle's folder
BundledModel = Literal["fp32", "int8", "pruned", "pruned-int8"]
TECHNIQUE_OF_VARIANT: dict[BundledModel, str] = {
    "fp32": "none",
    "int8": "dynamic_quantization",
    "pruned": "structured_pruning",
    "pruned-int8": "combined",
}
REBUILD_HINT = "write the bundle again with `edgeai-repro bundle`, or copy it again"


class InputSpec(Frozen):
    """The input of a model: one image, float32 (1, 3, height, width), normalised by each channel's mean and std."""

    name: str
    shape: tuple[Literal[1], Literal[3], PositiveInt, PositiveInt]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


class Origin(Frozen):
    """The origin of weights: the sha256 of their file (None for random ones) and the recipe of their training."""

    sha256: str | None
    recipe: dict[str, Setting | None] | None = None


class Counts(Frozen):
    """The actual counts of a model: its parameters, and its MACs and bit operations for one image."""

    parameters: PositiveInt
    macs: PositiveInt
    bit_operations: PositiveInt


class ModelEntry(Frozen):
    """One model of a bundle. Its graph is the ONNX file `file`, which contains the sha256 of the file `weights`.

    `settings` are those of the technique. `expected` are the model's logits on the bundle's probes, one list per
    image. `error` is the largest difference of these logits from those of the same network in fp32 in torch.
    """

    file: str
    weights: str
    technique: str
    settings: dict[str, Setting]
    hidden_widths: tuple[PositiveInt, ...]
    origin: Origin
    counts: Counts
    error: float
    expected: tuple[tuple[float, ...], ...]

    @property
    def files(self) -> tuple[str, str]:
        """The names of the model's files."""
        return self.file, self.weights


class FileEntry(Frozen):
    """The sha256 and the size of one file of the bundle."""

    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    bytes: PositiveInt


class Manifest(Frozen):
    """The content of `manifest.json`. `data_sha256` is that of the test split, None if the bundle has none."""

    schema_version: Literal[3] = VERSION
    model: str
    num_classes: PositiveInt
    stem_stride: PositiveInt
    input: InputSpec
    models: dict[BundledModel, ModelEntry] = Field(min_length=1)
    files: dict[str, FileEntry]
    data_sha256: str | None = None
    versions: dict[str, str]

    @model_validator(mode="after")
    def _files_complete(self) -> Self:
        for name in self.files:
            if not FILE_NAME.fullmatch(name):
                raise ValueError(f"'files' must be names without a folder (got {name!r})")
        for name in [PROBES, *(name for model in self.models.values() for name in model.files)]:
            if name not in self.files:
                raise ValueError(f"'files' must list {name!r} (got {', '.join(self.files)})")
        return self


@dataclass(frozen=True)
class Bundle:
    """A bundle whose files were checked."""

    folder: Path
    manifest: Manifest

    def model(self, variant: BundledModel) -> ModelEntry:
        """Return the manifest's entry of a model. Raises UserError if the bundle doesn't hold it."""
        require_known(f"{self.folder}: 'model'", variant, self.manifest.models)
        return self.manifest.models[variant]

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

    def probes(self) -> NDArray[np.uint8]:
        """Return the images of the expected outputs, uint8 (n, 3, 32, 32)."""
        return self._array(PROBES)

    def test_split(self) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Return the test images (n, 3, 32, 32) and labels (n,), uint8: the bundle's, else those in EDGEAI_DATA.

        Raises MissingRequirement if there are neither.
        """
        from edgeai_repro.data import cifar

        if self.manifest.data_sha256 is None:
            try:
                return cifar.load_arrays(cifar.data_folder(), "test")
            except MissingRequirement as missing:
                remedy = f"the bundle has no test images; write it --with-test-split, or {missing.remedy}"
                raise MissingRequirement("data", remedy) from None
        labels = self._array(TEST_LABELS)
        path = self.folder / TEST_IMAGES
        images = cifar.unpack_mosaic(path.read_bytes(), path)
        cifar.check_labels(labels, len(images), cifar.CIFAR10, path)
        if (digest := cifar.arrays_sha256(images, labels)) != self.manifest.data_sha256:
            raise UserError(
                f"{path}: must hold the test images of the manifest (got {digest[:12]}…); {REBUILD_HINT}"
            )
        return images, labels

    def _array(self, name: str) -> NDArray[np.uint8]:
        path = self.folder / name
        if name not in self.manifest.files:
            raise UserError(f"{path}: is missing in the manifest; {REBUILD_HINT}")
        try:
            array = np.load(path, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise UserError(f"{path}: must be a NumPy array (got {error}); {REBUILD_HINT}") from None
        if array.dtype != np.uint8:
            raise UserError(f"{path}: must hold uint8 (got {array.dtype}); {REBUILD_HINT}")
        return np.asarray(array)


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
    """Raise UserError unless a file exists and has the sha256 and the size that the manifest lists."""
    verify_sha256(path, entry.sha256, f"the bundle is truncated or altered, {REBUILD_HINT}", size=entry.bytes)
