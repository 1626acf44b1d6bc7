"""The manifest of a bundle: its models, their input and expected outputs, and its files with sha256. No torch."""

from __future__ import annotations

import re
from typing import Any, Literal, Self

from pydantic import Field, PositiveInt, SerializerFunctionWrapHandler, model_serializer, model_validator

from edgeai_repro.evidence.measurement import Frozen, Setting

MANIFEST = "manifest.json"
PROBES = "probes.npy"
VERSION: Literal[3] = 3
FILE_NAME = re.compile(r"[\w-]+(\.[\w-]+)*", re.ASCII)  # no path: every file lies in the bundle's folder
BundledModel = Literal["fp32", "int8", "static-int8", "pruned", "pruned-int8", "pruned-static-int8"]
TECHNIQUE_OF_VARIANT: dict[BundledModel, str] = {
    "fp32": "none",
    "int8": "dynamic_quantization",
    "static-int8": "static_quantization",
    "pruned": "structured_pruning",
    "pruned-int8": "combined",
    "pruned-static-int8": "combined_static",
}


class Sparse(Frozen):
    """A part of the manifest whose optional fields are written only if they have a value."""

    @model_serializer(mode="wrap")
    def _without_empty(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        written: dict[str, Any] = handler(self)
        return {name: value for name, value in written.items() if value or name not in self.optional()}

    @classmethod
    def optional(cls) -> frozenset[str]:
        """Return the names of the fields that are left out if they are empty."""
        return frozenset()


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


class StaticInt8(Frozen):
    """How a model was statically quantized: the images that its ranges come from, and what stayed in fp32.

    `fp32_share` is the share of the MACs that ONNX Runtime computes in fp32; `fp32_operators` are the operators
    that do, each with its number.
    """

    calibration: str
    fp32_share: float = Field(ge=0, le=1)
    fp32_operators: tuple[str, ...]


class ModelEntry(Sparse):
    """One model of a bundle. Its graph is the ONNX file `file`, which contains the sha256 of the file `weights`.

    `settings` are those of the technique. `expected` are the model's logits on the bundle's probes, one list per
    image. `error` is the largest difference of these logits from those of the same network in fp32 in torch.
    `hidden_widths` are those of a ConvNeXt.
    """

    file: str
    weights: str
    technique: str
    settings: dict[str, Setting]
    hidden_widths: tuple[PositiveInt, ...] = ()
    origin: Origin
    counts: Counts
    error: float
    expected: tuple[tuple[float, ...], ...]
    static_int8: StaticInt8 | None = None

    @classmethod
    def optional(cls) -> frozenset[str]:
        """Return the names of the fields that are left out if they are empty."""
        return frozenset({"static_int8"})

    @property
    def files(self) -> tuple[str, str]:
        """The names of the model's files."""
        return self.file, self.weights


class FileEntry(Frozen):
    """The sha256 and the size of one file of the bundle."""

    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    bytes: PositiveInt


class Manifest(Sparse):
    """The content of `manifest.json`. `data_sha256` is that of the test images, None if the bundle has none.

    `stem_stride` is that of a ConvNeXt, None for any other network. `labels` are the names of the classes, if they
    are known. `left_out` gives for each variant that could not be made the reason.
    """

    schema_version: Literal[3] = VERSION
    model: str
    num_classes: PositiveInt
    stem_stride: PositiveInt | None
    input: InputSpec
    models: dict[BundledModel, ModelEntry] = Field(min_length=1)
    files: dict[str, FileEntry]
    data_sha256: str | None = None
    labels: tuple[str, ...] | None = None
    left_out: dict[BundledModel, str] = Field(default_factory=dict)
    versions: dict[str, str]

    @classmethod
    def optional(cls) -> frozenset[str]:
        """Return the names of the fields that are left out if they are empty."""
        return frozenset({"labels", "left_out"})

    @property
    def is_convnext(self) -> bool:
        """Whether the models are torchvision's ConvNeXts for CIFAR's images, which torch can build again."""
        return self.stem_stride is not None

    @model_validator(mode="after")
    def _files_complete(self) -> Self:
        for name in self.files:
            if not FILE_NAME.fullmatch(name):
                raise ValueError(f"'files' must be names without a folder (got {name!r})")
        for name in [PROBES, *(name for model in self.models.values() for name in model.files)]:
            if name not in self.files:
                raise ValueError(f"'files' must list {name!r} (got {', '.join(self.files)})")
        return self

    @model_validator(mode="after")
    def _labels_complete(self) -> Self:
        if self.labels is not None and len(self.labels) != self.num_classes:
            raise ValueError(f"'labels' must be {self.num_classes}, one per class (got {len(self.labels)})")
        return self
