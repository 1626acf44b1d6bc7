"""A bundle: the folder that goes to a device, with models as ONNX files and a manifest that vouches for each.

No torch. A bundle is written aside and moved into place, so that a folder is whole or isn't there; when it is read
every file is held against the manifest's sha256.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PositiveInt, model_validator

from edgeai_repro.errors import MissingRequirement, UserError, did_you_mean
from edgeai_repro.evidence.measurement import Frozen, Setting
from edgeai_repro.files import parse_as, read_json, sha256
from edgeai_repro.networks.variants import CONVNEXT_VARIANTS

MANIFEST = "manifest.json"
PROBES = "probes.npy"
TEST_IMAGES, TEST_LABELS = "test.webp", "test_labels.npy"
VERSION: Literal[2] = 2
WEIGHTS_SHA256 = "weights_sha256"  # under which a model's graph names that of its weights
FILE_NAME = re.compile(r"[\w-]+(\.[\w-]+)*", re.ASCII)  # of this folder, no other
Variant = Literal["fp32", "int8", "pruned", "pruned-int8"]
# What stands in a bundle, by the technique that a claim names.
TECHNIQUE_OF_VARIANT: dict[Variant, str] = {
    "fp32": "none",
    "int8": "dynamic_quantization",
    "pruned": "structured_pruning",
    "pruned-int8": "combined",
}
REBUILD_HINT = "write the bundle again with `edgeai-repro bundle`, or copy it anew"


class InputSpec(Frozen):
    """What a model takes: one image, float32 (1, 3, height, width), each channel less its mean over its std."""

    name: str
    shape: tuple[Literal[1], Literal[3], PositiveInt, PositiveInt]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


class Origin(Frozen):
    """Where weights come from: random (no sha256), or a file, trained by a recipe where one is recorded."""

    sha256: str | None
    recipe: dict[str, Setting | None] | None = None


class Counts(Frozen):
    """What a model stores, and computes for one image: learnt values, multiply-accumulates, bit operations."""

    parameters: PositiveInt
    macs: PositiveInt
    bit_operations: PositiveInt


class ModelEntry(Frozen):
    """One model of a bundle: its graph is in `file`, an ONNX file that names the sha256 of `weights`, another one.

    `expected` are its logits on the bundle's probes, one list a probe; `error` is the largest difference of a logit
    from torch's, of the same model in fp32, on these probes.
    """

    file: str
    weights: str
    technique: str
    params: dict[str, Setting]
    hidden_widths: tuple[PositiveInt, ...]
    origin: Origin
    counts: Counts
    error: float
    expected: tuple[tuple[float, ...], ...]

    @property
    def files(self) -> tuple[str, str]:
        """The names of its files."""
        return self.file, self.weights


class FileEntry(Frozen):
    """What a file of the bundle must be."""

    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    bytes: PositiveInt


class Manifest(Frozen):
    """What `manifest.json` says. `data_sha256` is that of the test split, None where the bundle has none."""

    schema_version: Literal[2] = VERSION
    model: str
    num_classes: PositiveInt
    stem_stride: PositiveInt
    input: InputSpec
    models: dict[Variant, ModelEntry] = Field(min_length=1)
    files: dict[str, FileEntry]
    data_sha256: str | None = None
    versions: dict[str, str]

    @model_validator(mode="after")
    def _whole(self) -> Self:
        for name in self.files:
            if not FILE_NAME.fullmatch(name):
                raise ValueError(f"'files' must be of the bundle's folder (got {name!r})")
        for name in [PROBES, *(name for model in self.models.values() for name in model.files)]:
            if name not in self.files:
                raise ValueError(f"'files' must list {name!r} (got {', '.join(self.files)})")
        return self


@dataclass(frozen=True)
class Bundle:
    """A bundle whose files were checked."""

    folder: Path
    manifest: Manifest

    def path(self, variant: Variant) -> Path:
        """Return the ONNX file of a model."""
        return self.folder / self.model(variant).file

    def model(self, variant: Variant) -> ModelEntry:
        """Return what the manifest says of a model. Raises UserError where the bundle has none such."""
        known = self.manifest.models
        if variant not in known:
            raise UserError(
                f"'model' must be one of the bundle's (got {variant!r}); {did_you_mean(variant, known)}"
            )
        return known[variant]

    def sha256(self, variant: Variant) -> str:
        """Return the sha256 of a model's graph, as the manifest has it; it vouches for the weights too."""
        return self.manifest.files[self.model(variant).file].sha256

    def size(self, variant: Variant) -> int:
        """Return the bytes of a model's files."""
        return sum(self.manifest.files[name].bytes for name in self.model(variant).files)

    def check(self, variant: Variant) -> None:
        """Raise UserError unless the files of a model are on disk as the manifest lists them."""
        for name in self.model(variant).files:
            check(self.folder / name, self.manifest.files[name])

    def probes(self) -> NDArray[np.uint8]:
        """Return the images that the expected outputs are of, uint8 (n, 3, 32, 32)."""
        return _array(self.folder / PROBES, self.manifest)

    def test_split(self) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Return the test images (n, 3, 32, 32) and labels (n,), uint8: the bundle's, else those of EDGEAI_DATA.

        Raises ConditionMissing where there are neither.
        """
        from edgeai_repro.data import cifar

        if self.manifest.data_sha256 is None:
            try:
                return cifar.load_arrays(cifar.data_folder(), "test")
            except MissingRequirement as missing:
                remedy = f"the bundle has no test images: write it --with-test-split, or {missing.remedy}"
                raise MissingRequirement("data", remedy) from None
        labels = _array(self.folder / TEST_LABELS, self.manifest)
        path = self.folder / TEST_IMAGES
        images = cifar.unpack_mosaic(path.read_bytes(), path)
        cifar.check_labels(labels, len(images), cifar.CIFAR10, path)
        if (found := cifar.arrays_sha256(images, labels)) != self.manifest.data_sha256:
            raise UserError(
                f"{path}: must hold the test images of the manifest (got {found[:12]}…); {REBUILD_HINT}"
            )
        return images, labels


def parse_variant(name: str) -> Variant:
    """Return a name as that of a model in a bundle. Raises UserError where it is none."""
    for known in TECHNIQUE_OF_VARIANT:
        if known == name:
            return known
    raise UserError(f"'model' must be known (got {name!r}); {did_you_mean(name, TECHNIQUE_OF_VARIANT)}")


def load(folder: Path, variants: Collection[Variant] | None = None) -> Bundle:
    """Read a bundle and check every file of it; with `variants`, of the models only those.

    Raises UserError, in one line, for a manifest of another version and a file that is missing, truncated or
    altered.
    """
    path = folder / MANIFEST
    document = read_json(path)
    version = document.get("schema_version") if isinstance(document, dict) else None
    if version != VERSION:
        raise UserError(f"{path}: 'schema_version' must be {VERSION} (got {version!r}); {REBUILD_HINT}")
    manifest = parse_as(Manifest, document, path)
    if manifest.model not in CONVNEXT_VARIANTS:
        raise UserError(f"{path}: 'model' must be known (got {manifest.model!r}); {REBUILD_HINT}")
    passed_over = {
        file
        for name, model in manifest.models.items()
        if variants is not None and name not in variants
        for file in model.files
    }
    for name, file in manifest.files.items():
        if name not in passed_over:
            check(folder / name, file)
    return Bundle(folder, manifest)


def check(path: Path, file: FileEntry) -> None:
    """Raise UserError, in one line, unless a file is there and is what the manifest says."""
    if not path.is_file():
        raise UserError(f"{path}: must be there, for the manifest lists it (got no file); {REBUILD_HINT}")
    try:
        size, found = path.stat().st_size, sha256(path)
    except OSError as error:
        raise UserError(f"{path}: must be readable (got {error.strerror}); {REBUILD_HINT}") from None
    if size != file.bytes:
        raise UserError(
            f"{path}: must have {file.bytes} bytes (got {size}); it is truncated or altered, {REBUILD_HINT}"
        )
    if found != file.sha256:
        raise UserError(
            f"{path}: must have the sha256 {file.sha256[:12]}… (got {found[:12]}…); it is altered, {REBUILD_HINT}"
        )


def write(folder: Path, fill: Callable[[Path], Mapping[str, Any]]) -> Path:
    """Write a bundle: `fill` writes the files into an empty folder and returns the manifest's fields but `files`.

    The folder is moved into place when all is there. Raises UserError where `folder` exists or can't be written.
    """
    if folder.exists():
        raise UserError(f"{folder}: must not be there yet (got a folder or file); remove it, or name another")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as aside:
            new = Path(aside) / "bundle"
            new.mkdir()
            fields = fill(new)
            files = {path.name: FileEntry(sha256=sha256(path), bytes=path.stat().st_size) for path in new.iterdir()}
            manifest = Manifest(**fields, files=dict(sorted(files.items())))
            (new / MANIFEST).write_text(manifest.model_dump_json(indent=1) + "\n", encoding="utf-8")
            return new.rename(folder)
    except OSError as error:
        raise UserError(f"{folder}: must be writable (got {error.strerror}); free space or name another") from None


def _array(path: Path, manifest: Manifest) -> NDArray[np.uint8]:
    if path.name not in manifest.files:
        raise UserError(f"{path}: must be listed in the manifest (got none); {REBUILD_HINT}")
    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"{path}: must be an array of numpy's ({error}); {REBUILD_HINT}") from None
    if array.dtype != np.uint8:
        raise UserError(f"{path}: must hold uint8 (got {array.dtype}); {REBUILD_HINT}")
    return np.asarray(array)
