"""The schema of a grid's file: networks × techniques × settings × seeds. No torch."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, Self, TypeVar

from pydantic import (
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    field_validator,
    model_validator,
)

from edgeai_repro.claims.checks import repeated
from edgeai_repro.errors import did_you_mean
from edgeai_repro.evidence.measurement import Frozen, Setting
from edgeai_repro.networks.variants import CIFAR_NETWORKS, CONVNEXT_VARIANTS
from edgeai_repro.training.options import TrainOptions

NETWORKS = (*CONVNEXT_VARIANTS, *CIFAR_NETWORKS)  # those that can be trained
OPTIONS = TrainOptions.model_fields
Value = TypeVar("Value")


class Technique(TrainOptions):
    """Options of `edgeai-repro train` under a name, for all networks of the grid or only for `networks`.

    In `init`, `{network}` stands for the name of the network.
    """

    networks: list[str] | None = Field(None, min_length=1)


class Resources(Frozen):
    """What each run needs: CPUs (also its threads), GPUs, hours (for SLURM), and how often it may be killed."""

    cpus: PositiveInt = 1
    gpus: NonNegativeFloat = 0
    hours: PositiveFloat = 24
    retries: NonNegativeInt = 3


class GridFile(Frozen):
    """A file for `edgeai-repro grid`.

    `settings` are options of `edgeai-repro train` with a list of values each; every technique is trained with every
    combination of them. `slurm` has options of sbatch.
    """

    schema_version: Literal[2]
    networks: list[str] = Field(min_length=1)
    techniques: dict[str, Technique] = Field(min_length=1)
    settings: dict[str, list[Setting]] = Field({})
    seeds: list[NonNegativeInt] = Field(min_length=1)
    resources: Resources = Resources()
    slurm: dict[str, int | str] = Field({})

    @field_validator("networks")
    @classmethod
    def _check_networks(cls, names: list[str]) -> list[str]:
        unknown = [
            f"name must be of a network that can be trained (got {name!r}); {did_you_mean(name, NETWORKS)}"
            for name in names
            if name not in NETWORKS
        ]
        return _without_problems(names, [*unknown, *_repetitions(names)])

    @field_validator("seeds")
    @classmethod
    def _check_seeds(cls, seeds: list[int]) -> list[int]:
        return _without_problems(seeds, _repetitions(seeds))

    @field_validator("settings")
    @classmethod
    def _check_settings(cls, settings: dict[str, list[Setting]]) -> dict[str, list[Setting]]:
        problems = []
        for name, values in settings.items():
            if name not in OPTIONS:
                problems.append(f"{name!r} is not a known option; {did_you_mean(name, OPTIONS)}")
            if not values:
                problems.append(f"{name!r} must have a value (got an empty list); add one or remove it")
            problems += [f"{name!r}: {problem}" for problem in _repetitions(values)]
        return _without_problems(settings, problems)

    @model_validator(mode="after")
    def _check_techniques(self) -> Self:
        """Raise ValueError with one line per mistake that concerns several keys."""
        problems = []
        for key, technique in self.techniques.items():
            problems += [
                f"techniques.{key}: network must be of the grid (got {name!r}); {did_you_mean(name, self.networks)}"
                for name in technique.networks or ()
                if name not in self.networks
            ]
            problems += [
                f"techniques.{key}: {name!r} must be given once (got it in 'settings', too); remove one"
                for name in self.settings
                if name in technique.model_fields_set
            ]
        used = {name for technique in self.techniques.values() for name in technique.networks or self.networks}
        unused = [name for name in self.networks if name not in used]
        problems = problems or [
            f"networks: {name!r} must have a technique (got none); add one or remove the network" for name in unused
        ]
        return _without_problems(self, problems)


def _repetitions(values: Iterable[Setting]) -> list[str]:
    """Return one line per value that occurs more than once."""
    return [f"value must occur once (got {value} more often); remove one" for value in repeated(map(repr, values))]


def _without_problems(value: Value, problems: list[str]) -> Value:
    """Return the value. Raises ValueError if there are problems, one per line."""
    if problems:
        raise ValueError("\n".join(problems))
    return value
