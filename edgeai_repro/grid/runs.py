"""The runs of a grid. A run is named by what it trains, so its name does not depend on the order in the file."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import ValidationError

from edgeai_repro import limits
from edgeai_repro.claims.checks import repeated
from edgeai_repro.errors import UserError
from edgeai_repro.evidence.measurement import Setting
from edgeai_repro.files import read_yaml
from edgeai_repro.grid.schema import GridFile, Technique
from edgeai_repro.training.options import TrainOptions, run_name
from edgeai_repro.training.recipe import Recipe
from edgeai_repro.validation import complaints, parse_as


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a grid. `base` is the recipe of the first seed, which all seeds share; `label` is for readers."""

    id: str
    label: str
    options: TrainOptions
    base: Recipe
    seed: int

    @property
    def recipe(self) -> Recipe:
        """The recipe of the run."""
        return replace(self.base, seed=self.seed)

    def command(self, folder: Path) -> str:
        """Return the command that repeats the run on its own."""
        return self.options.command(self.base.model, self.seed, folder)


@dataclass(frozen=True)
class Grid:
    """A grid: its name, the content of its file and its runs, in the order of the file."""

    name: str
    file: GridFile
    runs: tuple[Run, ...]


def read_grid(path: Path) -> Grid:
    """Return the grid of a YAML file. Raises UserError with one line per mistake."""
    file = parse_as(GridFile, read_yaml(path), path)
    if (number := _number_of_runs(file)) > limits.RUNS:
        raise UserError(
            f"{path}: must have at most {limits.RUNS} runs (got {number}); divide it into several grids"
        )
    runs: list[Run] = []
    problems: dict[str, None] = {}  # a set that keeps the order: networks may share a mistake
    for network, key, values in _combinations(file):
        try:
            runs += _runs(network, key, values, file)
        except UserError as error:
            problems |= dict.fromkeys(f"{path}: techniques[{key}]: {line}" for line in str(error).splitlines())
    for twice in repeated(run.id for run in runs):
        labels = " and ".join(repr(run.label) for run in runs if run.id == twice)
        problems[f"{path}: runs must differ ({labels} are both {twice}); remove one"] = None
    if problems:
        raise UserError("\n".join(problems))
    return Grid(path.stem, file, tuple(runs))


def _number_of_runs(file: GridFile) -> int:
    techniques = sum(len(technique.networks or file.networks) for technique in file.techniques.values())
    return techniques * math.prod(map(len, file.settings.values())) * len(file.seeds)


def _combinations(file: GridFile) -> Iterator[tuple[str, str, dict[str, Setting]]]:
    """Yield each network with the key of each of its techniques and each combination of the settings."""
    for network, (key, technique) in itertools.product(file.networks, file.techniques.items()):
        if network in (technique.networks or file.networks):
            for values in itertools.product(*file.settings.values()):
                yield network, key, dict(zip(file.settings, values, strict=True))


def _runs(network: str, key: str, values: dict[str, Setting], file: GridFile) -> list[Run]:
    """Return the runs of a combination, one per seed. Raises UserError for a value that breaks its rule."""
    options = _options(file.techniques[key], values, network)
    base = options.recipe_for(network, file.seeds[0])
    label = " ".join([key, *(f"{name}={value}" for name, value in values.items())])
    return [
        Run(run_name(replace(base, seed=seed)), f"{network} {label} seed={seed}", options, base, seed)
        for seed in file.seeds
    ]


def _options(technique: Technique, values: dict[str, Setting], network: str) -> TrainOptions:
    given = {**technique.model_dump(exclude={"networks"}, exclude_unset=True), **values}
    if "init" in given:
        given["init"] = str(given["init"]).replace("{network}", network)
    try:
        return TrainOptions.model_validate(given)
    except ValidationError as error:
        raise UserError("\n".join(complaints(error, TrainOptions, given))) from None
