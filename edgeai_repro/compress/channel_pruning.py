"""Structured pruning of any network that autograd can follow: channels are removed with all that depends on them.

Source: Fang et al., *DepGraph: Towards Any Structural Pruning* (CVPR 2023, arXiv 2301.12900). The dependency graph,
the importance of channels and the removal come from its library, `torch-pruning`; the choice of what may be removed
without changing more than the removed weights, and the proof that it doesn't, are ours.

Every group of channels that may be pruned loses the same share, rounded up; one that would lose all its channels
stays whole. So does a group that reaches the network's output, a normalisation over channels or a product of
activations, as in attention, because there the other channels' values depend on the width. And so does a group
whose removal `pruning_exactness` finds to be inexact.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
import torch_pruning
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from edgeai_repro.claims.entries import NOTES
from edgeai_repro.compress.followed_layers import followed, why_whole
from edgeai_repro.compress.pruning_exactness import Cut, History, Inputs, Original
from edgeai_repro.errors import UserError, one_line, require_known
from edgeai_repro.evidence.measurement import Settings

Importance = Literal["l1", "group_norm"]
TargetOf = Literal["groups", "parameters", "macs"]
PROBE = 0.5  # the share that is tried first if the goal is no share
MOST_TRIALS = 40  # that fail; each takes about as long as four runs of the network
NONE_REMOVED = "torch-pruning removes none of its channels at this share"
ROOTS = (torch_pruning.ops.TORCH_CONV, torch_pruning.ops.TORCH_LINEAR)  # layers whose outputs may be removed
STEPS = 64  # of the share that is searched for a target of parameters or MACs


@dataclass(frozen=True)
class Goal:
    """The share `target` to remove, in (0, 1): of the channels in each group, of the parameters or of the MACs."""

    target: float
    of: TargetOf = "groups"

    def __post_init__(self) -> None:
        """Raise UserError for an unknown kind and a share outside (0, 1)."""
        require_known("'target_of'", self.of, get_args(TargetOf))
        if not 0 < self.target < 1:
            raise UserError(
                f"'target' must be between 0 and 1, ends excluded (got {self.target!r}); 0.5 takes half of the "
                f"{self.of}"
            )


def prune(model: nn.Module, inputs: Inputs, goal: Goal, *, importance: Importance = "group_norm") -> nn.Module:
    """Return a smaller copy of a network, in eval mode, without the least important channels.

    `inputs` are the arguments that the network is traced with. "l1" is the norm of a channel's weights in the first
    layer of its group (Li et al. 2017), "group_norm" the l2 norm over all layers of the group. The outputs equal
    those of the network with the same weights set to 0, which was tried with random weights. `model` does not
    change. Raises UserError if the library can't follow the network, and if no group can be pruned exactly, naming
    the layer that stops it, and for a target that can't be reached.
    """
    require_known("'importance'", importance, get_args(Importance))
    with warnings.catch_warnings(action="ignore"):  # the library and the network warn
        return _Search(model, inputs, importance).reach(goal)


def example_image(model: nn.Module, pixels: int) -> Inputs:
    """Return a random image as the inputs of a network, with the channels that its first convolution takes."""
    first = next((layer for layer in model.modules() if isinstance(layer, nn.Conv2d)), None)
    channels = 3 if first is None else first.in_channels
    return (torch.randn(1, channels, pixels, pixels, generator=torch.Generator().manual_seed(0)),)


class _Search:
    """Finds the groups that can be removed exactly and the share of them that meets a goal."""

    def __init__(self, model: nn.Module, inputs: Inputs, importance: Importance) -> None:
        self._model, self._inputs, self._importance = model, inputs, importance
        self._original = Original(model, inputs)
        self._whole: dict[str, str] = {}  # the roots of groups that stay whole, with the reason
        self._trials = 0
        self._outputs: list[str] = []  # layers whose channels are the network's outputs
        try:
            copied = copy.deepcopy(model)
            names = {module: name for name, module in copied.named_modules()}
            self._roots = list(self._free_groups(self._graph(copied), names))
        except Exception as error:  # tracing runs the user's network, which may raise anything
            raise UserError(
                f"'structured_pruning' must be given a network that torch-pruning can follow (got "
                f"{type(model).__name__}: {one_line(error)[:160]}); give another"
            ) from error
        self._number = len(self._roots) + len(self._whole)

    def reach(self, goal: Goal) -> nn.Module:
        """Return the network pruned to a goal."""
        share = goal.target if goal.of == "groups" else PROBE
        self._roots, cut = self._exact_part(self._roots, share)
        if not self._roots:
            layer, reason = next(iter(self._whole.items()), ("the network", "it has only its output layer"))
            raise UserError(
                "'structured_pruning' must find channels that it can remove exactly "
                f"(got none; {layer}: {reason}); give another network or target"
            )
        inexact: str | None = None
        if goal.of != "groups":
            share, cut = self._share_for(goal)
            inexact = self._original.why_inexact(cut)
        elif cut is None:
            cut, inexact = self._trial(self._roots, share)
        if cut is None or inexact:
            raise UserError(f"'structured_pruning' must be exact (got {self._roots[0]}: {inexact}); give another")
        network = cut.filled(self._model).eval()
        setattr(network, NOTES, self._notes(share, cut))
        return network

    def _notes(self, share: float, cut: Cut) -> Settings:
        notes = {"channels_removed_per_group": f"{100 * share:.3g} %"}
        if whole := self._number - cut.groups:
            first, reason = next(iter(self._whole.items()), ("those left", NONE_REMOVED))
            notes["groups_left_whole"] = f"{whole} of {self._number}, for example {first}: {reason}"
        return notes

    def _share_for(self, goal: Goal) -> tuple[float, Cut]:
        """Return the least share of the channels in each group that meets a goal, and the cut."""
        before, low, high = self._amount(self._model, goal.of), 0, STEPS
        best: History = []
        most = 0.0
        while high - low > 1:  # `high` meets the goal, or is out of reach
            middle = (low + high) // 2
            history, smaller = self._history(self._roots, middle / STEPS)
            removed = 1 - self._amount(smaller, goal.of) / before
            most = max(removed, most)
            if removed >= goal.target:
                high, best = middle, history
            else:
                low = middle
        if not best:
            raise UserError(
                f"'target' must be within reach: {len(self._roots)} of {self._number} groups can be pruned, which "
                f"takes {most:.1%} of the {goal.of} at most (got {goal.target!r}); give a lower one"
            )
        return high / STEPS, self._cut(best)

    def _amount(self, model: nn.Module, of: TargetOf) -> int:
        if of == "parameters":
            return sum(parameter.numel() for parameter in model.parameters())
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            model.eval()(*self._inputs)
        return int(counter.get_total_flops()) // 2

    def _exact_part(self, roots: Sequence[str], share: float) -> tuple[list[str], Cut | None]:
        """Return the roots whose groups can be removed exactly, and the cut if these are all of `roots`.

        The other groups are kept whole, with the reason. They are found by halving, so that few take few trials.
        """
        cut, reason = self._trial(roots, share) if roots else (None, None)
        if reason is None:
            return list(roots), cut
        self._trials += 1
        if self._trials > MOST_TRIALS:
            raise UserError(
                f"'structured_pruning' must find channels that it can remove exactly within {MOST_TRIALS} trials "
                f"(got {roots[0]}: {reason}); give another network"
            )
        if len(roots) == 1:
            self._whole[roots[0]] = reason
            return [], None
        middle = len(roots) // 2
        parts = [self._exact_part(half, share)[0] for half in (roots[:middle], roots[middle:])]
        return [*parts[0], *parts[1]], None

    def _trial(self, roots: Sequence[str], share: float) -> tuple[Cut | None, str | None]:
        """Return the cut of a share of some groups, and why it is inexact, None if it is exact."""
        try:
            history, _ = self._history(roots, share)
            cut = self._cut(history) if history else None
        except Exception as error:  # the library may raise anything for groups that it got wrong
            return None, f"torch-pruning can't remove its channels ({one_line(error)[:100]})"
        return cut, NONE_REMOVED if cut is None else self._original.why_inexact(cut)

    def _cut(self, history: History) -> Cut:
        structure = copy.deepcopy(self._model)
        return Cut.replay(structure, self._graph(structure), history)

    def _history(self, roots: Collection[str], share: float) -> tuple[History, nn.Module]:
        """Return what is removed if these groups lose a share of their channels, and the network after it."""
        model = copy.deepcopy(self._model)
        whole = [*self._outputs, *self._whole, *(root for root in self._roots if root not in roots)]
        pruner = self._pruner(model, share, whole)
        for group in pruner.step(interactive=True):
            group.prune()
        return pruner.pruning_history(), model

    def _graph(self, model: nn.Module) -> Any:
        """Return the library's dependency graph of a network, whose gradients' flags it changes."""
        with torch.enable_grad():
            return torch_pruning.DependencyGraph().build_dependency(followed(model), self._inputs, verbose=False)

    def _pruner(self, model: nn.Module, share: float, whole: Collection[str]) -> Any:
        """Return the library's pruner of a network, which it may change."""
        norm = torch_pruning.importance.GroupMagnitudeImportance
        importance = norm(p=1, group_reduction="first", normalizer=None) if self._importance == "l1" else norm(p=2)
        with torch.enable_grad():
            return torch_pruning.pruner.BasePruner(
                followed(model),
                self._inputs,
                importance=importance,
                pruning_ratio=share,
                ignored_layers=[model.get_submodule(name) for name in whole],
                root_module_types=ROOTS,
                in_channel_groups={},  # its default is one dict for all pruners
                out_channel_groups={},
                num_heads={},
            )

    def _free_groups(self, graph: Any, names: dict[Any, str]) -> Iterator[str]:
        """Yield the roots of the groups that may be pruned; note the others and the layers of the outputs."""
        last = [module for module, node in graph.module2node.items() if not node.outputs and module in names]
        self._outputs = [names[module] for module in last]
        for group in graph.get_all_groups(ignored_layers=last, root_module_types=ROOTS):
            root = names[group[0].dep.target.module]
            reasons = (why_whole(dep.target, names) for dep, _ in group)
            if reason := next(filter(None, reasons), None):
                self._whole[root] = reason
            else:
                yield root
