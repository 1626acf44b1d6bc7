"""The schema of a claims file: what a paper says, as data. No torch, and no knowledge of metrics."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, FiniteFloat, PrivateAttr, model_validator

from edgeai_repro.claims.band import Band
from edgeai_repro.claims.paper_info import (
    NAME,
    Choice,
    Expectation,
    FullScale,
    ImplicationSpec,
    PaperInfo,
    Unstated,
)
from edgeai_repro.evidence.measurement import Frozen, Setting, Settings
from edgeai_repro.networks.references import reference
from edgeai_repro.networks.specs import Alternatives, NamedSpec, NetworkSet, NetworkSpec

SCHEMA_VERSION: Literal[2] = 2
Need = Literal["data", "weights", "edge"]
ClaimSource = Literal["abstract", "summary", "table", "figure", "readme", "tutorial", "ours"]
_List = Annotated[list[Setting], Field(min_length=1)]
# A list of values to measure; a single value may be written without brackets.
Values = Annotated[
    _List,
    BeforeValidator(
        lambda value: value if isinstance(value, list) else [value], json_schema_input_type=_List | Setting
    ),
]
Variant = tuple[dict[str, Setting], dict[str, Setting]]  # the technique's settings, the metric's conditions


class Claim(Frozen):
    """One sentence of a paper that can be measured."""

    renamed: ClassVar[Mapping[str, str]] = {"neighbours": "also_shown"}

    id: str = Field(pattern=NAME)
    quote: str = Field(min_length=1, description="the sentence, word for word")
    source: ClaimSource
    locator: str
    printed: str = Field(min_length=1, description="the number as printed, or the word if no number is printed")
    metric: str
    technique: str
    models: list[str] = Field(min_length=1)
    also_shown: list[str] = Field([], description="models that are reported and not judged")
    against: str | None = Field(None, description="the network that the models are compared with")
    without: str | None = Field(
        None,
        description="a model with all changes except the cause that the claim names; the actual value is due to it",
    )
    quantifier: Literal["up_to", "every", "named"]
    value: FiniteFloat
    band: Band
    settings: dict[str, Values] = Field({}, description="what the technique is given")
    conditions: dict[str, Values] = Field({}, description="what the metric is given")
    choice: Choice | None = None
    needs: list[Need] = Field([], description="what must be here before the claim can be measured")
    assumes: list[str] = Field([], description="ids under `unstated` that the verdict rests on")
    expect: Expectation

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if problems := list(self._problems()):
            raise ValueError("\n".join(problems))
        return self

    def _problems(self) -> Iterator[str]:
        if self.source != "ours" and self.printed not in self.quote:
            yield f"'printed' must occur in 'quote' (got {self.printed!r}); copy it from the quote"
        named = [*self.models, *self.also_shown]
        for repeated in sorted(model for model, count in Counter(named).items() if count > 1):
            yield f"'models' and 'also_shown' must name each model once (got {repeated!r} twice); remove one"
        if self.without is not None and self.against is None:
            yield "'against' is missing: 'without' is a step between it and the model; add it"
        if self.quantifier == "named" and len(self.models) != 1:
            yield f"'models' must be one model for quantifier 'named' (got {len(self.models)}); remove the others"
        for name in sorted(self.settings.keys() & self.conditions.keys()):
            yield f"{name!r} must be a setting or a condition (got both); remove one"
        if self.choice:
            values = self.values_of(self.choice.name)
            if self.choice.default not in values or len(values) < 2:
                yield (
                    f"'choice.default' must be one of two or more values of {self.choice.name!r} "
                    f"(got {self.choice.default!r} of {values}); list the values under 'settings' or 'conditions'"
                )
            if unswept := [model for model in self.models if model not in self.choice.swept_on]:
                yield f"'choice.swept_on' must name all of 'models' (got no {', '.join(unswept)}); add it"
        if self.expect.verdict == "attainable" and self.choice is None and not self.digits_may_be_cut:
            yield (
                "'expect.verdict' must not be 'attainable' for a claim without 'choice' whose digits can't be cut; "
                "choose another verdict"
            )

    @property
    def networks(self) -> list[str]:
        """The names of all networks that are measured for the claim."""
        others = [name for name in (self.against, self.without) if name is not None]
        return list(dict.fromkeys([*self.models, *self.also_shown, *others]))

    def values_of(self, name: str) -> list[Setting]:
        """Return the values of a setting or condition, none if the claim does not give it."""
        return {**self.conditions, **self.settings}.get(name, [])

    def variants_for(self, model: str) -> list[Variant]:
        """Return all (settings, conditions) that a model is measured with.

        These are all combinations of the values. A model that does not sweep the choice has its default only.
        """
        values = {**self.settings, **self.conditions}
        if self.choice and model not in self.choice.swept_on:
            values[self.choice.name] = [self.choice.default]
        combinations = [dict(zip(values, combination, strict=True)) for combination in product(*values.values())]
        return [
            (
                {name: value for name, value in combination.items() if name in self.settings},
                {name: value for name, value in combination.items() if name in self.conditions},
            )
            for combination in combinations
        ]

    @property
    def edges(self) -> tuple[float, float]:
        """The ends of the band around the paper's value."""
        return self.band.edges(self.value)

    @property
    def digits_may_be_cut(self) -> bool:
        """Whether the paper may have cut its digits where the band takes them for rounded."""
        both_sides = self.band.side == "both" and self.band.digits == "rounded"
        return both_sides and self.band.is_half_a_digit(self.printed, self.value)

    def with_cut_digits(self) -> Claim:
        """Return the claim with the band that cut digits allow."""
        return self.model_copy(update={"band": self.band.model_copy(update={"digits": "cut"})})

    def locate(self, low: float, high: float) -> Literal["inside", "outside", "straddles"]:
        """Return whether [low, high] lies inside the closed band, outside of it, or across an edge."""
        bottom, top = self.edges
        if bottom <= low and high <= top:
            return "inside"
        return "outside" if high < bottom or low > top else "straddles"

    def nearest_edge(self, value: float) -> float:
        """Return the end of the band that is nearest to a value."""
        return min(self.edges, key=lambda edge: abs(edge - value))


class Paper(Frozen):
    """A claims file: one paper, with its claims and what it leaves unstated."""

    schema_version: Literal[2]
    paper: PaperInfo
    defaults: dict[str, Setting] = Field({}, description="conditions of all claims of this file")
    networks: dict[str, NamedSpec] = Field({}, description="networks that this file defines, by name")
    unstated: list[Unstated] = Field([])
    full_scale: FullScale | None = Field(None, description="needed for claims about trained weights")
    claims: list[Claim] = Field(min_length=1)
    implications: list[ImplicationSpec] = Field([])
    _file: Path | None = PrivateAttr(None)

    @property
    def file(self) -> Path | None:
        """The claims file, None for a paper that was not read from one."""
        return self._file

    def read_from(self, file: Path) -> Self:
        """Return the paper as one that was read from a file."""
        paper = self.model_copy()
        paper._file = file
        return paper

    @property
    def cases(self) -> list[ClaimCase]:
        """The claims, each with its paper."""
        return [ClaimCase(self, claim) for claim in self.claims]

    def network(self, name: str, conditions: Settings) -> NetworkSpec:
        """Return the network that a name stands for under a claim's conditions.

        Raises KeyError if the conditions don't select one of its alternatives, TypeError for a set.
        """
        spec = self.networks.get(name) or reference(name)
        if isinstance(spec, Alternatives):
            return self.network(spec.of[str(conditions[spec.by])], conditions)
        if isinstance(spec, NetworkSet):
            raise TypeError(f"'name' must be that of one network (got the set {name!r})")
        return spec

    def members(self, name: str) -> list[str]:
        """Return the names of the networks of a set; for one network its own name."""
        spec = self.networks.get(name)
        return spec.of if isinstance(spec, NetworkSet) else [name]

    def claim(self, claim_id: str) -> Claim:
        """Return the claim of an id. Raises KeyError if there is none."""
        for claim in self.claims:
            if claim.id == claim_id:
                return claim
        raise KeyError(claim_id)


@dataclass(frozen=True)
class ClaimCase:
    """A claim and its paper: what one test judges."""

    paper: Paper
    claim: Claim

    @property
    def id(self) -> str:
        """The name of the claim among all papers, `francy2024/dq-params`."""
        return f"{self.paper.paper.id}/{self.claim.id}"


@dataclass(frozen=True)
class ImplicationCase:
    """An implication and its paper: what one test checks."""

    paper: Paper
    spec: ImplicationSpec

    @property
    def id(self) -> str:
        """The name of the implication among all papers, `francy2024/int8-ceiling`."""
        return f"{self.paper.paper.id}/{self.spec.id}"
