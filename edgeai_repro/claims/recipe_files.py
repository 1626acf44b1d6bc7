"""Recipes and pruning plans as data: the YAML files of a folder, `claims/training` in this repository."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, FiniteFloat, PositiveInt, model_validator

from edgeai_repro.errors import UserError, did_you_mean
from edgeai_repro.evidence.measurement import Frozen
from edgeai_repro.files import read_yaml
from edgeai_repro.networks.variants import CIFAR_NETWORKS
from edgeai_repro.shipped import claims_folder
from edgeai_repro.validation import parse_as

TRAINING = "training"  # the folder of these files in a claims folder
Share = Annotated[float, Field(ge=0, lt=1)]
Layer = Annotated[int, Field(gt=0, le=10_000)]  # the number of a layer


class RecipeEntry(Frozen):
    """Values of a `Recipe`, without the network and the seed."""

    epochs: PositiveInt
    batch_size: PositiveInt
    optimizer: str
    momentum: FiniteFloat
    weight_decay: FiniteFloat
    lr: FiniteFloat
    schedule: str
    milestones: tuple[Share, ...] = ()
    decay: FiniteFloat
    warmup: Share
    label_smoothing: Share

    def values(self) -> dict[str, Any]:
        """Return the arguments of `Recipe`."""
        return {**self.model_dump(), "milestones": ",".join(f"{share:g}" for share in self.milestones)}


class RateEntry(Frozen):
    """The rate of the layers from `first` to `last`."""

    first: Layer
    last: Layer
    rate: Share


class Plan(Frozen):
    """A pruning plan: the rates of ranges of layers, and the layers that are skipped."""

    network: str
    rates: list[RateEntry] = Field(min_length=1)
    skip: tuple[Layer, ...] = ()

    @model_validator(mode="after")
    def _known(self) -> Plan:
        if self.network not in CIFAR_NETWORKS:
            hint = did_you_mean(self.network, CIFAR_NETWORKS)
            raise ValueError(f"'network' must be known (got {self.network!r}; {hint})")
        return self

    def layer_rates(self) -> dict[int, float]:
        """Return the rate of each layer that can be pruned: of a ResNet the blocks' first ones, which are even."""
        step = 1 if self.network.startswith("vgg") else 2
        return {
            layer: entry.rate
            for entry in self.rates
            for layer in range(entry.first, entry.last + 1, step)
            if layer not in self.skip
        }


class RecipeFile(Frozen):
    """One file: recipes and plans by name."""

    recipes: dict[str, RecipeEntry] = Field({})
    plans: dict[str, Plan] = Field({})


def read_recipe(name: str, folder: Path | None = None) -> dict[str, Any]:
    """Return the arguments of `Recipe` for a name. Raises UserError for an unknown name or a damaged file."""
    folder = folder or claims_folder() / TRAINING
    recipes = {key: entry for file in _files(folder) for key, entry in file.recipes.items()}
    _must_know("recipe", name, recipes, folder)
    return recipes[name].values()


def read_plan(name: str, folder: Path | None = None) -> Plan:
    """Return a plan. Raises UserError for an unknown name or a damaged file."""
    folder = folder or claims_folder() / TRAINING
    plans = {key: plan for file in _files(folder) for key, plan in file.plans.items()}
    _must_know("plan", name, plans, folder)
    return plans[name]


def _files(folder: Path) -> list[RecipeFile]:
    return [parse_as(RecipeFile, read_yaml(path), path) for path in sorted(folder.glob("*.yaml"))]


def _must_know(kind: str, name: str, known: dict[str, Any], folder: Path) -> None:
    if name not in known:
        raise UserError(f"{kind!r} must be one of {folder}/*.yaml (got {name!r}); {did_you_mean(name, known)}")
