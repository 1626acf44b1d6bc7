"""Proves that a network without some channels computes what it would with their weights set to 0.

Every tensor of a copy holds the positions of its own values. The positions that are left after the removal tell
which values the smaller network takes from the original; all others are those that were removed. Both networks then
get the same random weights, running statistics included, in double precision. The smaller one must give the outputs
of the original whose removed values are 0, and the original itself must give others (the control). Random weights
make the comparison see what trained ones may hide, such as a layer scale of 1e-6.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from edgeai_repro.errors import one_line

TOLERANCE = 1e-5  # of the largest output
CONTROL = 1e-3  # of the largest output; the removed channels must matter at least as much
Inputs = tuple[Any, ...]
History = list[Any]  # the library's: the name of a group's first layer, whether its outputs are pruned, and which


@dataclass(frozen=True)
class Cut:
    """A smaller network, and the positions of its values in the tensors of the original, by the tensors' names.

    `groups` is the number of groups that lost channels.
    """

    structure: nn.Module
    places: dict[str, Tensor]
    groups: int = 0

    @classmethod
    def replay(cls, structure: nn.Module, graph: Any, history: History) -> Cut:
        """Remove channels from `structure`, which the library's `graph` was traced from, and return the cut."""
        for tensor in _tensors(structure).values():
            tensor.data = torch.arange(tensor.numel(), dtype=torch.float64).view(tensor.shape)
        with torch.no_grad():
            graph.load_pruning_history(history)
        places = {name: tensor.detach().long() for name, tensor in _tensors(structure).items()}
        return cls(structure, places, len(history))

    def filled(self, source: nn.Module) -> nn.Module:
        """Return a copy of the smaller network with the values, types and gradients' flags of `source`."""
        network, tensors = copy.deepcopy(self.structure), _tensors(source)
        for name, tensor in _tensors(network).items():
            tensor.data = tensors[name].detach().flatten()[self.places[name]].clone()
            tensor.requires_grad_(tensors[name].requires_grad)
        return network

    @contextmanager
    def masked(self, source: nn.Module) -> Iterator[None]:
        """Set the values of `source` that the smaller network lacks to 0 while entered."""
        tensors = {name: tensor.detach() for name, tensor in _tensors(source).items()}
        before = {name: tensors[name].clone() for name in tensors if self.places[name].shape != tensors[name].shape}
        for name in before:
            kept = torch.zeros(tensors[name].numel(), dtype=torch.bool)
            kept[self.places[name].flatten()] = True
            tensors[name].mul_(kept.view(tensors[name].shape))
        try:
            yield
        finally:
            for name, values in before.items():
                tensors[name].copy_(values)


class Original:
    """A network with random weights in double precision, which cuts of it are compared with."""

    def __init__(self, model: nn.Module, inputs: Inputs) -> None:
        self._model = model
        self._inputs = tuple(_as_double(value) for value in inputs)

    @cached_property
    def _network(self) -> nn.Module:
        network = copy.deepcopy(self._model).double().eval()
        draw_all(network)
        return network

    @cached_property
    def _outputs(self) -> list[Tensor]:
        return _run(self._network, self._inputs)

    def why_inexact(self, cut: Cut) -> str | None:
        """Return why the smaller network is no exact cut of this one, None if it is."""
        try:
            original = self._outputs
            smaller = cut.filled(self._network).eval()
        except Exception as error:  # the user's network may raise anything
            return f"it doesn't run in double precision ({one_line(error)[:120]})"
        try:
            actual = _run(smaller, self._inputs)
        except Exception as error:
            return f"without its channels the network doesn't run ({one_line(error)[:120]})"
        try:
            with cut.masked(self._network):
                masked = _run(self._network, self._inputs)
        except Exception as error:
            return f"with zeros in its channels the network doesn't run ({one_line(error)[:120]})"
        difference, control = distance(actual, masked), distance(original, masked)
        if not difference <= TOLERANCE:
            return f"without its channels the outputs differ by {difference:.1g} from those with zeros"
        if not control > CONTROL:
            return "the outputs don't depend on its channels"
        return None


def draw_all(model: nn.Module, seed: int = 0) -> None:
    """Fill all parameters and running statistics at random under `seed`, in place.

    Vectors and scalars are drawn from 0.5 to 1.5, biases and running means from -0.5 to 0.5, and all other weights
    from a normal distribution with the variance 1 / inputs. Other buffers stay as they are.
    """
    generator = torch.Generator().manual_seed(seed)
    parameters = {id(parameter) for parameter in model.parameters()}
    for name, tensor in _tensors(model).items():
        values = tensor.detach()
        if name.endswith(("bias", "running_mean")):
            values.uniform_(-0.5, 0.5, generator=generator)
        elif name.endswith("running_var") or (values.ndim < 2 and id(tensor) in parameters):
            values.uniform_(0.5, 1.5, generator=generator)
        elif id(tensor) in parameters:
            values.normal_(0.0, math.sqrt(len(values) / max(values.numel(), 1)), generator=generator)


def distance(actual: list[Tensor], expected: list[Tensor]) -> float:
    """Return the largest difference over the largest expected value; infinite if shapes or numbers differ."""
    if [one.shape for one in actual] != [one.shape for one in expected]:
        return math.inf
    largest = max((float(one.abs().max()) for one in expected if one.numel()), default=0.0)
    difference = max(
        (float((a - b).abs().max()) for a, b in zip(actual, expected, strict=True) if a.numel()), default=0.0
    )
    return difference / largest if largest else math.inf


def _run(model: nn.Module, inputs: Inputs) -> list[Tensor]:
    with torch.no_grad():
        return list(flatten_tensors(model(*inputs)))


def flatten_tensors(value: Any) -> Iterator[Tensor]:
    """Yield the floating-point tensors of a network's output: a tensor, or tuples, lists and dicts of such."""
    if isinstance(value, Tensor):
        if value.is_floating_point():
            yield value.detach()
    elif isinstance(value, dict):
        for one in value.values():
            yield from flatten_tensors(one)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from flatten_tensors(one)


def _as_double(value: Any) -> Any:
    return value.double() if isinstance(value, Tensor) and value.is_floating_point() else value


def _tensors(model: nn.Module) -> dict[str, Tensor]:
    """Return the floating-point parameters and buffers of a network by name, each once."""
    named = [*model.named_parameters(), *model.named_buffers()]
    return {name: tensor for name, tensor in named if tensor.is_floating_point()}
