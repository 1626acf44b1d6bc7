"""Your own technique and your own metric: one decorated function each, next to the claims folder."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from edgeai_repro import Claim, Interval, Measurement, metric, technique


@technique("ternary_weights", settings=["threshold"])
def ternary_weights(network: nn.Module, settings: Sequence[Mapping[str, Any]]) -> Iterator[nn.Module]:
    """Weights of -a, 0 and a; below a share of the layer's mean magnitude they are 0 (after arXiv 1605.04711)."""
    for setting in settings:
        ternary = copy.deepcopy(network)  # a technique must not change the network that it is given
        for layer in ternary.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                magnitude = layer.weight.detach().abs()
                large = magnitude > float(setting["threshold"]) * magnitude.mean()
                layer.weight = nn.Parameter(torch.sign(layer.weight) * large * magnitude[large].mean())
        yield ternary


@metric("zero_weights", unit="%", better="higher")
def zero_weights(models: Any, claim: Claim, model: str) -> Iterator[Measurement]:
    """Share of the parameters that the technique sets to zero.

    `models` is the source of measurements: `models.profile(…)` compresses and counts each network once.
    """
    before = models.profile(model).actual.nonzero_parameters
    for settings, _ in claim.variants_for(model):
        after = models.profile(model, claim.technique, settings).actual.nonzero_parameters
        yield Measurement(
            model=model,
            technique=claim.technique,
            settings=settings,
            reported=Interval.exact(100 * (before - after) / before),
        )
