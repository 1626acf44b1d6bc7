"""A training run: its name, its folder and its record. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeai_repro.evidence.measurement import Setting
from edgeai_repro.evidence.training_record import TrainingRecord

SCRATCH, IMAGENET = "scratch", "imagenet"
# Entries of a recipe that may differ between runs that are compared with each other.
NOT_COMPARED = (
    *("structured", "unstructured", "seed", "init", "prune_from", "prune_until", "prune_periods"),
    *("plan", "filters", "ranking"),
)
# Entries of a recipe that some records lack, and the values that their runs had.
IMPLIED = {
    **{"optimizer": "adamw", "momentum": 0.9, "schedule": "cosine", "milestones": "", "decay": 0.1},
    **{"widths": None, "crop": 32, "crop_until": 0.0},
}


@dataclass(frozen=True)
class TrainedRun:
    """A training run: its name, the folder of its files, and its record."""

    name: str
    folder: Path
    record: TrainingRecord

    @property
    def recipe(self) -> Mapping[str, Any]:
        """The recipe of the run."""
        return self.record.recipe

    @property
    def seed(self) -> int:
        """The seed of weights, order and augmentation."""
        return int(self.recipe["seed"] or 0)

    @property
    def init(self) -> str:
        """The start of the run: "scratch", "imagenet", or "weights" for the weights of another run."""
        init = str(self.recipe["init"])
        return init if init in (SCRATCH, IMAGENET) else "weights"

    @property
    def is_finetuned(self) -> bool:
        """Whether single weights were pruned and the others trained further, which adds to the dense budget."""
        return self.recipe["unstructured"] is not None

    @property
    def is_retrained(self) -> bool:
        """Whether filters were cut from trained weights, to which the record compares the retrained network."""
        return self.recipe.get("filters") is not None and self.init != SCRATCH

    @property
    def budget(self) -> dict[str, Setting]:
        """The training budget, as a note for a row."""
        epochs = int(self.recipe["epochs"] or 0)
        if self.is_finetuned:
            return {"finetuned": f"{epochs} epoch{'s' if epochs != 1 else ''}"}
        return {"epochs": epochs}

    @property
    def comparison_key(self) -> tuple[Any, ...]:
        """What runs must share to be compared: the recipe without `NOT_COMPARED`, and the data."""
        values = {**IMPLIED, **self.recipe}
        recipe = sorted((name, value) for name, value in values.items() if name not in NOT_COMPARED)
        return *recipe, self.is_finetuned, *sorted(self.record.data_sha256.items())
