"""Recipes of short runs, and comparisons of the weights that they lead to."""

from __future__ import annotations

from dataclasses import replace

import torch

from edgeai_repro.training.recipe import Recipe
from edgeai_repro.training.trainer import Trainer

BASE = Recipe("convnext_atto", epochs=2, batch_size=8, structured=None, precision="fp32", lr=1e-3)
RECIPES = {
    "dense": BASE,
    "bf16": replace(BASE, precision="bf16"),
    "pruned": replace(BASE, structured=0.5, prune_from=0.25, prune_until=0.75, prune_periods=2),
}


def state(run: Trainer) -> dict[str, torch.Tensor]:
    """Return a copy of the weights."""
    return {name: value.clone() for name, value in run.model.state_dict().items()}


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    """Return whether two state_dicts are equal bit for bit."""
    return first.keys() == second.keys() and all(torch.equal(value, second[name]) for name, value in first.items())
