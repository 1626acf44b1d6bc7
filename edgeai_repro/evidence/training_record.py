"""The record of a training run. Claims can be judged from it again without torch and without the data."""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, FiniteFloat, PositiveInt, model_validator

from edgeai_repro.evidence.measurement import Environment, Frozen, Interval
from edgeai_repro.files import read_json, write_text
from edgeai_repro.validation import parse_as

RESULT = "result.json"
WEIGHTS = "weights.safetensors"
MISSING = object()
RENAMED_NETWORKS = {"vgg16": "vgg16_cifar"}  # torchvision's network of the former name is another one


# The entries of a recipe that every record has, and their types; None stands for what a run doesn't do.
RECIPE: Mapping[str, tuple[type, ...]] = {
    **{"model": (str,), "dataset": (str,), "init": (str,), "epochs": (int,), "seed": (int,)},
    **{"resolution": (int, type(None)), "stem_stride": (int, type(None))},
    **{"structured": (int, float, type(None)), "unstructured": (int, float, type(None))},
}
Width = Annotated[int, Field(gt=0, le=2**16)]  # no layer is wider


class Point(Frozen):
    """One epoch of a learning curve.

    `loss` is the mean over the training images; `train_top1` (on the augmented images) and `test_top1` are
    in percent.
    """

    epoch: PositiveInt
    loss: FiniteFloat
    train_top1: FiniteFloat
    test_top1: FiniteFloat | None


class Evaluation(Frozen):
    """The predictions of a network that was compressed by `technique`, on the `n` images of the test split.

    `correct` is a bitmap in base64 with one bit per image, in the split's order; `successes` counts its ones.
    `interval` is top-1 in percent with Wilson's 95 % interval; it is added when the record becomes evidence.
    """

    renamed: ClassVar[Mapping[str, str]] = {"params": "settings"}

    technique: str
    settings: dict[str, FiniteFloat | str] = Field(default_factory=dict)
    n: Annotated[int, Field(gt=0, le=10_000_000)]  # ImageNet has 50,000 test images
    successes: int
    correct: str
    interval: Interval | None = None

    @classmethod
    def of(cls, technique: str, correct: NDArray[np.bool_], **settings: float | str) -> Evaluation:
        """Return the evaluation of a technique with its settings, from the correctness of each image, bool (n,)."""
        bitmap = base64.b64encode(np.packbits(correct).tobytes()).decode()
        return cls(
            technique=technique, settings=settings, n=len(correct), successes=int(correct.sum()), correct=bitmap
        )

    @model_validator(mode="after")
    def _consistent(self) -> Evaluation:
        if int(self.bits().sum()) != self.successes:
            raise ValueError(
                f"'successes' must be the bitmap's ones, {int(self.bits().sum())} (got {self.successes})"
            )
        if self.interval is not None and not math.isclose(self.interval.value, self.top1):
            raise ValueError(f"'interval' must be of the bitmap's {self.top1} % (got {self.interval.value})")
        return self

    def bits(self) -> NDArray[np.bool_]:
        """Return the correctness of each image, bool (n,). Raises ValueError if the bitmap has another length."""
        try:
            packed = np.frombuffer(base64.b64decode(self.correct, validate=True), np.uint8)
        except binascii.Error as error:
            raise ValueError(f"'correct' must be a bitmap in base64 ({error})") from None
        if len(packed) != -(-self.n // 8):
            raise ValueError(f"'correct' must hold {self.n} bits (got {8 * len(packed)})")
        return np.unpackbits(packed, count=self.n).astype(bool)

    @property
    def top1(self) -> float:
        """Return top-1 accuracy in percent."""
        return 100 * self.successes / self.n


class TrainingRecord(Frozen):
    """A finished training run.

    `recipe` holds the `Recipe` as plain values, `hidden_widths` the MLP width of each block after pruning, and
    `seconds` the wall time of the training. The accuracies are those of the last epoch: the test split was never
    used to select an epoch. Records of schema version 1 are converted when they are read, and so is the former name
    of a network.
    """

    schema_version: Literal[2] = 2
    recipe: dict[str, bool | int | float | str | None]
    precision: str
    command: str
    commit: str
    environment: Environment
    curve: tuple[Point, ...]
    seconds: FiniteFloat
    hidden_widths: tuple[Width, ...]
    weights_sha256: str
    init_sha256: str | None
    data_sha256: dict[str, str]
    evaluations: tuple[Evaluation, ...] = Field(default=())

    @model_validator(mode="before")
    @classmethod
    def _from_former_versions(cls, document: Any) -> Any:
        """Return a record of a former version as one of this: `params` of an evaluation became `settings`."""
        if not isinstance(document, dict):
            return document
        recipe = document.get("recipe")
        if isinstance(recipe, dict) and isinstance(model := recipe.get("model"), str) and model in RENAMED_NETWORKS:
            document = {**document, "recipe": {**recipe, "model": RENAMED_NETWORKS[model]}}
        if document.get("schema_version") != 1:
            return document
        converted = {**document, "schema_version": 2}
        if isinstance(document.get("evaluations"), list):
            converted["evaluations"] = [_rename_params(evaluation) for evaluation in document["evaluations"]]
        return converted

    @model_validator(mode="after")
    def _whole_recipe(self) -> TrainingRecord:
        for name, kinds in RECIPE.items():
            value = self.recipe.get(name, MISSING)
            if value is MISSING:
                raise ValueError(f"'recipe.{name}' is missing; hand in the record as the run wrote it")
            if not isinstance(value, kinds) or isinstance(value, bool):
                words = " or ".join(kind.__name__ for kind in kinds).replace("NoneType", "null")
                raise ValueError(f"'recipe.{name}' must be {words} (got {value!r}); correct it")
        return self

    def evaluation(self, technique: str, **settings: float | str) -> Evaluation:
        """Return the evaluation of a technique with its settings. Raises KeyError if there is none."""
        for evaluation in self.evaluations:
            if (evaluation.technique, evaluation.settings) == (technique, settings):
                return evaluation
        raise KeyError(technique)


def _rename_params(evaluation: Any) -> Any:
    if not isinstance(evaluation, dict):
        return evaluation
    return {"settings" if key == "params" else key: value for key, value in evaluation.items()}


def load_record(path: Path, content: bytes | None = None) -> TrainingRecord:
    """Return the training record in the file `path`. Raises UserError if the file contains none.

    `content` are the bytes of the file, if they were read before.
    """
    return parse_as(TrainingRecord, read_json(path, content), path)


def write_record(record: TrainingRecord, folder: Path) -> None:
    """Write the record of a run to its folder. Raises UserError if it can't be written."""
    write_text(folder / RESULT, record.model_dump_json(indent=1) + "\n")
