"""What a paper says, as data: claims with their bands, read from YAML and checked to the last key. No torch."""

from __future__ import annotations

import json
import math
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, FiniteFloat, PositiveInt, TypeAdapter, model_validator

import edgeai_repro.builtin  # noqa: F401 - until load.py checks the names
from edgeai_repro.claims import implications
from edgeai_repro.claims.registry import METRICS, TECHNIQUES, UNCOMPRESSED
from edgeai_repro.devices.spec import DevicesFile
from edgeai_repro.errors import UserError, did_you_mean
from edgeai_repro.evidence.measurement import Frozen, Setting
from edgeai_repro.files import LONGEST, parse_as, read_yaml
from edgeai_repro.networks.variants import CIFAR_NETWORKS, CONVNEXT_VARIANTS, OTHER_NETWORKS

Side = Literal["both", "at_least", "at_most"]
Need = Literal["data", "weights", "edge"]
Decided = Literal["reproduced", "attainable", "artefact", "contradicted"]
MODELS = tuple(dict.fromkeys([*CONVNEXT_VARIANTS, *OTHER_NETWORKS, *CIFAR_NETWORKS]))
Width = Annotated[float, Field(ge=0, allow_inf_nan=False)]
OWN = ", or registered in a conftest.py beside the claims folder"
NAME = r"^[a-z0-9]+(-[a-z0-9]+)*$"


class Band(Frozen):
    """How far from the paper's value a measurement may lie, in the metric's unit, in parts that are kept apart."""

    rounding: Width = Field(description="what the printed digits allow")
    sampling: Width = Field(0.0, description="the paper's own error, where it measured a sample")
    tolerance: Width = Field(0.0, description="granted for another framework version or counter")
    side: Side = "both"
    derivation: str = Field(min_length=1)

    @property
    def width(self) -> float:
        """The sum of the parts."""
        return self.rounding + self.sampling + self.tolerance

    def edges(self, value: float) -> tuple[float, float]:
        """Return the band's ends around `value`; an end that one-sided claims don't have is infinite."""
        low = -math.inf if self.side == "at_most" else value - self.width
        high = math.inf if self.side == "at_least" else value + self.width
        return low, high


class Expectation(Frozen):
    """The verdict that is known of a claim; another one is drift."""

    verdict: Decided
    reason: str = Field(min_length=1)


class Choice(Frozen):
    """A setting that the paper leaves unstated: `recipe` is ours, `swept_on` the models that try all values."""

    name: str
    default: Setting
    swept_on: list[str] = Field(min_length=1)
    accuracy_claim: str | None = Field(
        None, description="the claim whose band tells whether a value keeps the accuracy"
    )


class Claim(Frozen):
    """One sentence of a paper that can be measured."""

    id: str = Field(pattern=NAME)
    quote: str = Field(min_length=1)
    source: Literal["abstract", "summary", "figure", "table", "ours"]
    locator: str
    metric: str
    technique: str
    models: list[str] = Field(min_length=1)
    also_shown: list[str] = Field([], description="models that are shown beside, and not judged")
    quantifier: Literal["up_to", "every", "named"]
    value: FiniteFloat
    band: Band
    settings: dict[str, Annotated[list[Setting], Field(min_length=1)]] = Field(
        {}, description="the technique's settings that are measured"
    )
    choice: Choice | None = None
    needs: list[Need] = Field([])
    assumes: list[str] = Field([], description="ids under `unstated` that the verdict rests on")
    expect: Expectation

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        _known("metric", self.metric, METRICS, OWN)
        _known("technique", self.technique, [*TECHNIQUES, UNCOMPRESSED], OWN)
        for model in [*self.models, *self.also_shown, *(self.choice.swept_on if self.choice else ())]:
            _known("model", model, MODELS)
        named = [*self.models, *self.also_shown]
        for repeated in sorted({model for model in named if named.count(model) > 1}):
            raise ValueError(f"'models' and 'neighbours' must name each model once (got {repeated!r} twice)")
        if self.quantifier == "named" and len(self.models) != 1:
            raise ValueError(f"'models' must be the one model of quantifier 'named' (got {len(self.models)})")
        if self.choice:
            values = self.settings.get(self.choice.name, [])
            if self.choice.default not in values or len(values) < 2:
                raise ValueError(
                    f"'choice.default' must be one of two values or more in settings[{self.choice.name!r}] "
                    f"(got {self.choice.default!r} of {values})"
                )
            if not set(self.choice.swept_on) & set(self.models):
                raise ValueError(f"'choice.swept_on' must name one of 'models' (got {self.choice.swept_on})")
        if self.expect.verdict == "attainable" and self.choice is None:
            raise ValueError("'expect.verdict' must not be 'attainable' for a claim without 'choice'")
        if self.expect.verdict == "artefact" and not METRICS[self.metric].actual:
            raise ValueError(f"'expect.verdict' must not be 'artefact': {self.metric!r} has no actual quantity")
        return self

    def settings_for(self, model: str) -> list[dict[str, Setting]]:
        """Return the settings to measure on a model: all, or where it doesn't sweep the choice, the recipe's."""
        values = dict(self.settings)
        if self.choice and model not in self.choice.swept_on:
            values[self.choice.name] = [self.choice.default]
        return [dict(zip(values, combination, strict=True)) for combination in product(*values.values())]

    @property
    def deployed(self) -> bool:
        """Whether it is measured on what is deployed, by an edge lab."""
        return "edge" in self.needs or METRICS[self.metric].deployed

    @property
    def edges(self) -> tuple[float, float]:
        """The ends of the band around the paper's value."""
        return self.band.edges(self.value)

    def locate(self, low: float, high: float) -> Literal["inside", "outside", "straddles"]:
        """Tell where [low, high] lies: wholly in the closed band, wholly out of it, or across an edge."""
        bottom, top = self.edges
        if bottom <= low and high <= top:
            return "inside"
        return "outside" if high < bottom or low > top else "straddles"

    def nearest_edge(self, value: float) -> float:
        """Return the end of the band that is nearest to a value."""
        return min(self.edges, key=lambda edge: abs(edge - value))


class FullScale(Frozen):
    """What a training run must have at least to count as the paper's; anything less is shown as reduced scale."""

    init: str
    epochs: PositiveInt
    resolution: PositiveInt
    stem_stride: PositiveInt


class Unstated(Frozen):
    """Something that the paper leaves open, and what is assumed instead."""

    id: str = Field(pattern=NAME)
    what: str
    assumed: str


class ImplicationSpec(Frozen):
    """What claims say of each other: a rule of `plausibility`, the claims in its roles, and what is known."""

    id: str = Field(pattern=NAME)
    rule: str
    claims: dict[str, str]
    parameters: dict[str, Setting] = Field({})
    expect: bool

    @model_validator(mode="after")
    def _fits_its_rule(self) -> Self:
        implications.validate(self)
        return self


class PaperInfo(Frozen):
    """Which paper."""

    id: str = Field(pattern=NAME)
    title: str
    authors: str
    year: int
    url: str = ""


class Paper(Frozen):
    """A claims file."""

    paper: PaperInfo
    unstated: list[Unstated] = Field([])
    full_scale: FullScale | None = Field(None, description="needed for claims about trained weights")
    claims: list[Claim] = Field(min_length=1)
    implications: list[ImplicationSpec] = Field([])

    @model_validator(mode="after")
    def _cross_references(self) -> Self:
        claims, unstated = [c.id for c in self.claims], [u.id for u in self.unstated]
        for kind, ids in [
            ("claim", claims),
            ("unstated", unstated),
            ("implication", [i.id for i in self.implications]),
        ]:
            for repeated in sorted({i for i in ids if ids.count(i) > 1}):
                raise ValueError(f"{kind} 'id' must be unique (got {repeated!r} twice)")
        for claim in self.claims:
            for name in claim.assumes:
                _known(f"{claim.id}: assumption", name, unstated)
            if claim.choice and claim.choice.accuracy_claim is not None:
                _known(f"{claim.id}: choice.accuracy_claim", claim.choice.accuracy_claim, claims)
                if "weights" not in self.claims[claims.index(claim.choice.accuracy_claim)].needs:
                    raise ValueError(
                        f"{claim.id}: choice.accuracy_claim must name a claim that needs weights "
                        f"(got {claim.choice.accuracy_claim!r}, which doesn't)"
                    )
            if "weights" in claim.needs and self.full_scale is None:
                raise ValueError(
                    f"'full_scale' must be given where a claim needs weights (got none; {claim.id} does)"
                )
        for implication in self.implications:
            for name in implication.claims.values():
                _known(f"{implication.id}: claim", name, claims)
        return self

    def full_name(self, claim: Claim) -> str:
        """Return the claim's name among all papers, `francy2024/dq-params`."""
        return f"{self.paper.id}/{claim.id}"


def load_claims(folder: Path) -> list[Paper]:
    """Read every claims file of a folder, in the order of their names. Raises UserError, in one line."""
    files = sorted(folder.glob("*.yaml")) if folder.is_dir() else []
    papers = [paper for file in files if isinstance(paper := load_file(file), Paper)]
    if not papers:
        came = "no such folder" if not folder.is_dir() else f"{len(files)} YAML files, none of a paper"
        raise UserError(
            f"{folder}: must be a folder with a claims file, *.yaml with 'paper:' (got {came}); "
            "name another with --claims-dir"
        )
    ids = [paper.paper.id for paper in papers]
    for repeated in sorted({i for i in ids if ids.count(i) > 1}):
        raise UserError(f"{folder}: paper 'id' must be unique (got {repeated!r} twice); rename one")
    return papers


def load_file(path: Path) -> Paper | DevicesFile:
    """Read one file of a claims folder: a paper's claims, or devices. Raises UserError, in one line."""
    document = read_yaml(path)
    if not isinstance(document, dict) or not {"paper", "devices"} & document.keys():
        came = ", ".join(map(str, document)) if isinstance(document, dict) else type(document).__name__
        came = "nothing" if not document else came[:LONGEST]
        raise UserError(f"{path}: must have a key 'paper' or 'devices' (got {came}); add it")
    schema: type[Paper | DevicesFile] = Paper if "paper" in document else DevicesFile
    return parse_as(schema, document, path)


def json_schema() -> str:
    """Return the JSON schema of the files of a claims folder, as kept in `claims/schema.json`."""
    schema = TypeAdapter(Paper | DevicesFile).json_schema()
    return json.dumps({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}, indent=2) + "\n"


def _known(kind: str, name: str, names: Any, hint: str = "") -> None:
    if name not in names:
        raise ValueError(f"{kind} must be known (got {name!r}; {did_you_mean(name, names)}){hint}")
