"""A metric and a technique of one's own: one decorated function each, in the conftest.py beside the tests."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import nn

from edgeai_repro.claims.registry import Settings, metric, technique
from edgeai_repro.claims.schema import Claim
from edgeai_repro.evidence.measurement import Interval, Measurement
from edgeai_repro.measure.compressed_models import CompressedModels
from edgeai_repro.networks.convnext import clone_sharing_tensors


@technique("ternary_weights")
def ternary_weights(model: nn.Module, settings: Sequence[Settings]) -> Iterator[nn.Module]:
    """Weights of -a, 0 and a: zero under a share of the layer's mean magnitude (after arXiv 1605.04711)."""
    for setting in settings:
        ternary = clone_sharing_tensors(model)  # new modules over the same tensors: the given model stays as it is
        for layer in ternary.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                magnitude = layer.weight.detach().abs()
                kept = magnitude > float(setting["threshold"]) * magnitude.mean()
                layer.weight = nn.Parameter(torch.sign(layer.weight) * kept * magnitude[kept].mean())
        yield ternary


@metric("zero_weights", unit="%")
def zero_weights(lab: CompressedModels, claim: Claim, model: str) -> Iterator[Measurement]:
    """Share of the parameters that are zero, beyond those that were before."""
    before = lab.profile(model).actual
    for settings in claim.settings_for(model):
        counts = lab.profile(model, claim.technique, settings).actual
        share_of_zeros = 100 * (before.nonzero_parameters - counts.nonzero_parameters) / before.nonzero_parameters
        yield Measurement(
            model=model,
            technique=claim.technique,
            params=settings,
            reported=Interval.exact(share_of_zeros),
        )
