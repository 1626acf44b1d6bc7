"""The options of a training run, of `edgeai-repro train` and of the files of `edgeai-repro grid`. No torch."""

from __future__ import annotations

import hashlib
import json
import shlex
from pathlib import Path
from typing import Any

from edgeai_repro.claims.recipe_files import read_plan, read_recipe
from edgeai_repro.errors import UserError
from edgeai_repro.evidence.measurement import Frozen
from edgeai_repro.training.recipe import Recipe, format_rates

EPOCHS = 30  # without a recipe
SPARSITIES = tuple(tenths / 10 for tenths in range(1, 10))  # those that `sweep` evaluates


class TrainOptions(Frozen):
    """The options of `edgeai-repro train`, without network, seed and folder. None: the recipe's or our default."""

    recipe: str | None = None
    plan: str | None = None
    ranking: str = "l1"
    widths: str | None = None
    epochs: int | None = None
    structured: float | None = None
    unstructured: float | None = None
    init: str = "scratch"
    resolution: int = 32
    stem_stride: int = 4
    batch_size: int | None = None
    lr: float | None = None
    dataset: str = "cifar10"
    precision: str = "auto"
    sweep: bool = False

    @property
    def sparsities(self) -> tuple[float, ...]:
        """The sparsities of unstructured pruning at which the trained network is evaluated, too."""
        return SPARSITIES if self.sweep else ()

    def recipe_for(self, network: str, seed: int) -> Recipe:
        """Return the recipe of a run. Raises UserError for an unknown name or a value that breaks its rule."""
        values: dict[str, Any] = {"epochs": EPOCHS} if self.recipe is None else read_recipe(self.recipe)
        given = {"epochs": self.epochs, "batch_size": self.batch_size, "lr": self.lr}
        values |= {name: value for name, value in given.items() if value is not None}
        if self.plan is not None:
            plan = read_plan(self.plan)
            if plan.network != network:
                raise UserError(
                    f"'plan' must be one of {network} (got {self.plan!r}, of {plan.network}); name another"
                )
            rates = format_rates(plan.layer_rates())
            values |= {"plan": self.plan, "filters": rates, "ranking": self.ranking}
        return Recipe(
            model=network,
            structured=self.structured,
            unstructured=self.unstructured,
            init=self.init,
            resolution=self.resolution,
            stem_stride=self.stem_stride,
            seed=seed,
            dataset=self.dataset,
            precision=self.precision,
            widths=self.widths,
            **values,
        )

    def command(self, network: str, seed: int, out: Path) -> str:
        """Return the command that repeats one run."""
        options = {name: value for name, value in self.model_dump(exclude_defaults=True).items() if name != "sweep"}
        words = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
        words += ["--sweep"] * self.sweep
        return shlex.join(["edgeai-repro", "train", network, *words, f"--seed={seed}", f"--out={out}"])


def run_name(recipe: Recipe) -> str:
    """Return the name of a run's folder: the network, the technique, and a hash of the whole recipe."""
    technique = (
        "structured_pruning" if recipe.structured else "unstructured_pruning" if recipe.unstructured else "none"
    )
    digest = hashlib.sha256(json.dumps(recipe.as_dict(), sort_keys=True).encode()).hexdigest()[:12]
    return f"{recipe.model}--{recipe.plan or technique}--{digest}"
