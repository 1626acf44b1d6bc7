"""Prunes a network by two libraries as their manuals say, and by ours, and finds out if the result is exact."""

from __future__ import annotations

import copy
import random
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
import torch_pruning
from torch import Tensor, nn

from edgeai_repro.claims.entries import own_notes
from edgeai_repro.compress import otov3_compat
from edgeai_repro.compress.channel_pruning import Goal, prune
from edgeai_repro.compress.pruning_exactness import CONTROL, TOLERANCE, Cut, Original, distance, draw_all
from edgeai_repro.errors import UserError, one_line
from edgeai_repro.networks.convnext import random_images
from edgeai_repro.networks.references import reference
from edgeai_repro.networks.resolve import build

Result = Literal["exact", "does not run", "differs", "refused", "fails", "nothing removed"]
BROKEN: tuple[Result, ...] = ("differs", "does not run")
SHARE = 0.5
Method = Callable[[nn.Module, Tensor], "Outcome"]


@dataclass(frozen=True)
class Outcome:
    """What a library made of a network: the share of the parameters that it removed, in percent, if it did.

    "refused" and "fails" leave the network as it was; "does not run" and "differs" are broken networks.
    """

    result: Result
    detail: str = ""
    removed: float = 0.0


@dataclass(frozen=True)
class Survey:
    """The outcomes of one network: the libraries by themselves, and the technique `structured_pruning`."""

    family: str
    network: str
    only_train_once: Outcome
    torch_pruning: Outcome
    structured_pruning: Outcome

    @classmethod
    def parse(cls, entry: dict[str, Any]) -> Survey:
        """Return the survey of a JSON object."""
        by = ("only_train_once", "torch_pruning", "structured_pruning")
        return cls(**{**entry, **{name: Outcome(**entry[name]) for name in by}})


def pruned(method: Method, name: str, side: int) -> Outcome:
    """Return the outcome for a network of 10 classes with random weights, on images of `side` pixels."""
    return method(build(reference(name), classes=10, resolution=side).model, random_images(1, side))


def by_only_train_once(model: nn.Module, images: Tensor) -> Outcome:
    """Set half of all groups that the library finds to 0, let it write the smaller network, and compare."""
    network = copy.deepcopy(model).eval()
    draw_all(network)
    before = copy.deepcopy(network).double()
    random.seed(0)
    np.random.seed(0)
    try:
        oto = otov3_compat.trace_graph(network, images)
    except UserError as error:
        return Outcome("fails", one_line(error).partition("got ")[2].partition(")")[0][:100])
    with tempfile.TemporaryDirectory() as folder, otov3_compat.patched_torch(), torch.no_grad():
        try:
            oto.random_set_zero_groups(target_group_sparsity=SHARE)
            masked = copy.deepcopy(network).double()
            oto.construct_subnet(out_dir=folder, save_full_group_sparse_model=False)
        except Exception as error:
            return Outcome("fails", one_line(error)[:100])
    removed = _removed(model, network)
    return _compare(before, masked, network.double().eval(), images.double(), removed)


def by_torch_pruning(model: nn.Module, images: Tensor) -> Outcome:
    """Remove half of the channels of every group but the last layer's, as the library's manual says."""
    structures = [copy.deepcopy(model), copy.deepcopy(model)]
    try:
        pruners = []
        for structure in structures:
            last = [layer for layer in structure.modules() if isinstance(layer, nn.Linear | nn.Conv2d)][-1]
            with torch.enable_grad(), warnings.catch_warnings(action="ignore"):
                pruners.append(
                    torch_pruning.pruner.BasePruner(
                        structure.requires_grad_(),
                        (images,),
                        importance=torch_pruning.importance.GroupMagnitudeImportance(p=2),
                        pruning_ratio=SHARE,
                        ignored_layers=[last],
                        in_channel_groups={},
                        out_channel_groups={},
                        num_heads={},
                    )
                )
        for group in pruners[0].step(interactive=True):
            group.prune()
        history = pruners[0].pruning_history()
        cut = Cut.replay(structures[1], pruners[1].DG, history)
        removed = _removed(model, structures[0])
    except Exception as error:
        return Outcome("fails", one_line(error)[:100])
    if not history:
        return Outcome("nothing removed")
    reason = Original(model, (images,)).why_inexact(cut)
    if reason is None:
        return Outcome("exact", "", removed)
    return Outcome("does not run" if "doesn't run" in reason else "differs", reason, removed)


def by_technique(model: nn.Module, images: Tensor) -> Outcome:
    """Prune by the technique `structured_pruning`, which is exact or refuses."""
    try:
        smaller = prune(model, (images,), Goal(SHARE))
    except UserError as error:
        return Outcome("refused", one_line(error)[:240])
    return Outcome("exact", str(own_notes(smaller).get("groups_left_whole", "")), _removed(model, smaller))


METHODS: tuple[Method, ...] = (by_only_train_once, by_torch_pruning, by_technique)


def _compare(original: nn.Module, masked: nn.Module, smaller: nn.Module, images: Tensor, removed: float) -> Outcome:
    if not removed:
        return Outcome("nothing removed")
    with torch.no_grad():
        expected = masked.eval()(images)
        try:
            actual = smaller(images)
        except Exception as error:
            return Outcome("does not run", one_line(error)[:100], removed)
        control = distance([original.eval()(images)], [expected])
    difference = distance([actual], [expected])
    if not difference <= TOLERANCE:
        return Outcome("differs", f"by {difference:.1g} of the largest output", removed)
    return Outcome("exact" if control > CONTROL else "nothing removed", "", removed)


def _removed(before: nn.Module, after: nn.Module) -> float:
    return round(100 * (1 - _size(after) / _size(before)), 1)


def _size(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())
