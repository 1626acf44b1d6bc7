"""What a training run leaves behind, so that it can be judged again without torch and without data."""

from __future__ import annotations

import base64
import binascii
import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PositiveInt, model_validator

from edgeai_repro.evidence.measurement import Environment, Frozen, Interval
from edgeai_repro.files import parse_as, read_json

RESULT = "result.json"
WEIGHTS = "weights.safetensors"


class Point(Frozen):
    """One epoch of a learning curve: mean loss, and top-1 in percent (augmented images, test split)."""

    epoch: PositiveInt
    loss: float
    train_top1: float
    test_top1: float | None


class Evaluation(Frozen):
    """One technique on the test split: which of the `n` images were right, as a bitmap in the split's order.

    `interval` is top-1 in percent with Wilson's 95 % interval, once the record is kept as evidence.
    """

    technique: str
    params: dict[str, float | str] = Field(default_factory=dict)
    n: PositiveInt
    successes: int
    correct: str
    interval: Interval | None = None

    @classmethod
    def of(cls, technique: str, correct: NDArray[np.bool_], **params: float | str) -> Evaluation:
        """Record the correctness of each image, bool (n,), under a technique and its settings."""
        bitmap = base64.b64encode(np.packbits(correct).tobytes()).decode()
        return cls(technique=technique, params=params, n=len(correct), successes=int(correct.sum()), correct=bitmap)

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
        """Return the correctness of each image, bool (n,). Raises ValueError for a bitmap of another length."""
        try:
            packed = np.frombuffer(base64.b64decode(self.correct, validate=True), np.uint8)
        except binascii.Error as error:
            raise ValueError(f"'correct' must be a bitmap in base64 ({error})") from None
        if len(packed) != -(-self.n // 8):
            raise ValueError(f"'correct' must hold {self.n} bits (got {8 * len(packed)})")
        return np.unpackbits(packed, count=self.n).astype(bool)

    @property
    def top1(self) -> float:
        """Top-1 accuracy in percent."""
        return 100 * self.successes / self.n


class TrainingRecord(Frozen):
    """A finished training run.

    `recipe` is the `Recipe` as plain values, `hidden_widths` each block's MLP width after pruning, `seconds` the
    wall time of the training. The accuracies are the last epoch's: no epoch was selected by the test split.
    """

    schema_version: int = 1
    recipe: dict[str, bool | int | float | str | None]
    precision: str
    command: str
    commit: str
    environment: Environment
    curve: tuple[Point, ...]
    seconds: float
    hidden_widths: tuple[PositiveInt, ...]
    weights_sha256: str
    init_sha256: str | None
    data_sha256: dict[str, str]
    evaluations: tuple[Evaluation, ...] = Field(default=())

    def evaluation(self, technique: str, **params: float | str) -> Evaluation:
        """Return the evaluation of a technique under its settings. Raises KeyError where it was not evaluated."""
        for found in self.evaluations:
            if found.technique == technique and found.params == params:
                return found
        raise KeyError(technique)


def load_record(path: Path) -> TrainingRecord:
    """Read a run's `result.json`. Raises UserError, in one line, where it is not one."""
    return parse_as(TrainingRecord, read_json(path), path)
