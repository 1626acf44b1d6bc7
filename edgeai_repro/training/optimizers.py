"""The optimizer of a recipe."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from edgeai_repro.training.muon import Muon
from edgeai_repro.training.recipe import Recipe


def optimizer_of(recipe: Recipe, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
    """Return the optimizer of a run that prunes nothing while it trains."""
    if recipe.optimizer == "muon":
        return Muon(parameters, lr=recipe.lr, momentum=recipe.momentum)
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(parameters, lr=recipe.lr, momentum=recipe.momentum, weight_decay=recipe.weight_decay)
    return torch.optim.AdamW(parameters, lr=recipe.lr, weight_decay=recipe.weight_decay, fused=True)
