"""What a claims file says besides its claims: the paper, what it leaves open, and what follows. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, PositiveInt

from edgeai_repro.evidence.measurement import Frozen, Setting

NAME = r"^[a-z0-9]+(-[a-z0-9]+)*$"
Decided = Literal["reproduced", "attainable", "artefact", "contradicted"]


class FullScale(Frozen):
    """The least that a training run must have to count as the paper's. Anything less is at reduced scale."""

    init: str
    epochs: PositiveInt
    resolution: PositiveInt
    stem_stride: PositiveInt
    dense_top1: dict[str, Annotated[float, Field(gt=0, le=100)]] = Field(
        {}, description="top-1 of the paper's unpruned networks, in percent; the interval of a run's must reach it"
    )

    def covers(self, recipe: Mapping[str, Any]) -> bool:
        """Return whether a recipe of training is at full scale."""
        return (
            recipe["init"] == self.init
            and int(recipe["epochs"]) >= self.epochs
            and int(recipe["resolution"]) >= self.resolution
            and recipe["stem_stride"] == self.stem_stride
        )


class Unstated(Frozen):
    """Something that the paper leaves open, and what is assumed instead."""

    id: str = Field(pattern=NAME)
    what: str
    assumed: str


class ImplicationSpec(Frozen):
    """A statement that follows from several claims: a rule, the claim in each of its roles, and known facts."""

    renamed: ClassVar[Mapping[str, str]] = {"parameters": "given"}

    id: str = Field(pattern=NAME)
    rule: str
    claims: dict[str, str]
    given: dict[str, Setting] = Field({})
    expect: bool


class PaperInfo(Frozen):
    """Bibliographic data of the paper."""

    id: str = Field(pattern=NAME)
    title: str
    authors: str
    year: int
    url: str = ""


class Expectation(Frozen):
    """The verdict that is known for a claim. Another decided verdict is drift."""

    verdict: Decided
    reason: str = Field(min_length=1)


class Choice(Frozen):
    """A setting or condition that the paper leaves open.

    `default` is our value of it. The models in `swept_on` are measured with all values, those that are only shown
    with that one unless they are named, too.
    """

    renamed: ClassVar[Mapping[str, str]] = {"recipe": "default", "kept_by": "accuracy_claim"}

    name: str
    default: Setting
    swept_on: list[str] = Field(min_length=1)
    accuracy_claim: str | None = Field(
        None, description="id of the claim whose band decides whether a value maintains the accuracy"
    )
