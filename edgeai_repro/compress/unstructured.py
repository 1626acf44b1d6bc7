"""Unstructured pruning: exactly the given share of the weights becomes zero; shapes do not change.

torch's own `prune.global_unstructured` gives the same masks, except among equal weights, but ranks all weights for
each sparsity again: 35 to 50 s per sparsity for ConvNeXt-Large, where `sweep` takes 10 s for nine (torch 2.15, two
Zen 3 cores).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from edgeai_repro.errors import UserError
from edgeai_repro.networks.convnext import clone_sharing_tensors

Array = npt.NDArray[Any]  # flat, one per layer


def prune(model: nn.Module, sparsity: float) -> nn.Module:
    """Return a copy of `model` in which the share `sparsity` of the Conv2d and Linear weights is zero.

    The weights of all layers are ranked together. The `round(sparsity * n)` of smallest magnitude become zero;
    among equal ones those of earlier layers come first. Weights that are zero already count, and stay zero. `model`
    does not change; the copy shares everything but the pruned weights with it. Raises UserError for a sparsity
    outside of 0 to 1 and for weights that are not finite.
    """
    return next(sweep(model, [sparsity]))[1]


def sweep(model: nn.Module, sparsities: Sequence[float]) -> Iterator[tuple[float, nn.Module]]:
    """Yield each sparsity with the pruned model, as `prune` returns it. The weights are ranked once for all."""
    for sparsity in sparsities:
        if not 0 <= sparsity <= 1:
            raise UserError(f"'sparsity' must be a share from 0 to 1 (got {sparsity!r}); 0.5 zeroes half of them")
    weights = [weight.detach().contiguous().view(-1).numpy() for weight in prunable(model)]
    thresholds = _thresholds(weights, sparsities)
    for sparsity in sparsities:
        masked = _masked(weights, thresholds[round(sparsity * sum(map(len, weights)))])
        pruned = clone_sharing_tensors(model)
        for parameter, weight in zip(prunable(pruned), masked, strict=True):
            # Layers that share a parameter go on sharing it; the given model keeps its own data.
            parameter.data = torch.from_numpy(weight).view(parameter.shape)
        yield sparsity, pruned


def prune_layers(model: nn.Module, sparsity: float) -> nn.Module:
    """Return a copy of `model` in which each Conv2d and Linear layer by itself has the share of zeros.

    Otherwise it is `prune`. Layers that share a weight go on sharing it.
    """
    pruned = clone_sharing_tensors(model)
    shared: dict[int, nn.Parameter] = {}
    for layer in [module for module in pruned.modules() if isinstance(module, nn.Conv2d | nn.Linear)]:
        original = id(layer.weight)
        if original not in shared:
            shared[original] = next(iter(prunable(prune(layer, sparsity))))
        layer.weight = shared[original]
    return pruned


def prunable(model: nn.Module) -> list[nn.Parameter]:
    """Return the weights of the Conv2d and Linear layers, each once, in the order of the modules."""
    layers = [module for module in model.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    return list(dict.fromkeys(layer.weight for layer in layers if isinstance(layer.weight, nn.Parameter)))


@dataclass(frozen=True)
class _Threshold:
    """The weights to prune: all of a magnitude below `value`, and the first `ties` of those equal to it."""

    value: float = -math.inf
    ties: int = 0


def _thresholds(weights: Sequence[Array], sparsities: Sequence[float]) -> dict[int, _Threshold]:
    """Return the threshold for each number of weights to prune that the sparsities ask for."""
    ranked = np.concatenate([np.empty(0, np.float32), *weights])
    np.abs(ranked, out=ranked)
    thresholds = {0: _Threshold()}
    start = 0
    # Partition for one count after another, each time only the rest: 0.1 s for nine counts of 28 million weights.
    # NumPy 2.4 takes 0.5 s to partition for all nine at once, torch's kthvalue 0.3 s for one (two x86 cores).
    for count in sorted({round(sparsity * len(ranked)) for sparsity in sparsities} - {0}):
        ranked[start:].partition(count - 1 - start)
        start = count - 1
        value = float(ranked[start])
        if not math.isfinite(value):
            raise UserError(f"'weights' must be finite to be pruned (got {value!r}); look into the training")
        thresholds[count] = _Threshold(value, ties=count - int(np.count_nonzero(ranked[:count] < value)))
    return thresholds


def _masked(weights: Sequence[Array], threshold: _Threshold) -> Iterator[Array]:
    """Yield the weights of each layer as a new array, in which the pruned ones are +0.0."""
    ties = threshold.ties
    for weight in weights:
        magnitudes = np.abs(weight)
        kept = magnitudes >= threshold.value
        if ties:
            equal = np.flatnonzero(magnitudes == threshold.value)[:ties]
            kept[equal] = False
            ties -= len(equal)
        # Multiplying as integers makes every zero +0.0, in a tenth of the time of `where` in NumPy or torch.
        bits = weight.view(np.dtype(f"i{weight.itemsize}"))
        yield (bits * kept).view(weight.dtype)
