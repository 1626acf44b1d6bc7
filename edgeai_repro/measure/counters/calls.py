"""The calls that a network makes, each as a network of its own.

A counter that is shown each call alone tells which of them it misses, whatever way it counts.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import reduce
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode, resolve_name

from edgeai_repro.measure.counting.run import Inputs, runnable_clone

CONTAINERS = (nn.Module, nn.Sequential, nn.ModuleList, nn.ModuleDict)
# Layers of torch that run as one operator instead of calling their children, if torch's fast path is on.
FUSED = (nn.MultiheadAttention, nn.TransformerEncoderLayer)


@dataclass(frozen=True)
class Call:
    """A layer or function that a network calls `times` times with arguments of the same shapes.

    `network` makes one such call on `inputs`, which hold zeros. `elements` is the size of its output.
    """

    name: str
    network: nn.Module
    inputs: Inputs
    elements: int
    times: int

    @property
    def is_layer(self) -> bool:
        """Whether a layer is called, not a function."""
        return hasattr(self.network, "layer")


def calls_of(model: nn.Module, inputs: Inputs) -> list[Call]:
    """Run a network, and return its calls of torch's layers, and of torch's functions outside of these.

    Calls of the same layer or function with the same settings and shapes are one entry.
    """
    clone = runnable_clone(model)
    recorder = _Recorder()
    with ExitStack() as hooks:
        for module in clone.modules():
            hooks.callback(module.register_forward_pre_hook(recorder.enter, with_kwargs=True).remove)
            hooks.callback(module.register_forward_hook(recorder.leave, with_kwargs=True).remove)
        with torch.no_grad(), recorder:
            clone(*inputs)
    unique: dict[str, list[_Made]] = {}
    for made in recorder.made:
        unique.setdefault(made.key, []).append(made)
    return [Call(same[0].name, *same[0].alone(), same[0].elements, len(same)) for same in unique.values()]


@dataclass
class _Made:
    """A call while it is recorded: of a layer, or of the function that `path` leads to."""

    name: str
    target: nn.Module | str
    arguments: Any  # tensors replaced by `_Slot`
    tensors: list[_Like]
    elements: int

    @classmethod
    def of(cls, name: str, target: nn.Module | str, arguments: Any, elements: int) -> _Made:
        """Return a call with its arguments; a tensor that is passed twice is one input."""
        tensors: dict[int, Tensor] = {}
        slots = _with_slots(arguments, tensors)
        return cls(name, target, slots, [_Like.of(tensor) for tensor in tensors.values()], elements)

    @property
    def key(self) -> str:
        """A text that is the same for calls of the same target with the same settings and shapes."""
        shapes = [] if isinstance(self.target, str) else [tuple(value.shape) for value in self.target.parameters()]
        return f"{self.target} {shapes} {self.arguments} {[str(like) for like in self.tensors]}"

    def alone(self) -> tuple[nn.Module, Inputs]:
        """Return a network that makes this call, and its inputs."""
        return _Alone(self.target, self.arguments), tuple(like.zeros() for like in self.tensors)


class _Alone(nn.Module):
    """A network that makes one call; its inputs are the tensors among the arguments of the call."""

    def __init__(self, target: nn.Module | str, arguments: Any) -> None:
        super().__init__()
        self.arguments = arguments
        self.path = target if isinstance(target, str) else None
        if isinstance(target, nn.Module):
            self.layer = target

    def forward(self, *tensors: Tensor) -> Any:
        # A counter may have replaced the function, so it is looked up now.
        names = self.path.split(".")[1:] if self.path else []
        function: Any = reduce(getattr, names, torch) if names else self.layer
        positional, named = _filled(self.arguments, tensors)
        return function(*positional, **named)


class _Recorder(TorchFunctionMode):
    """Notes the calls of layers, by hooks, and of functions; a layer of torch stands for what happens in it."""

    def __init__(self) -> None:
        super().__init__()
        self.made: list[_Made] = []
        self._open: list[tuple[int, bool]] = []  # of each open layer: the calls before it; whether it calls a layer

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        output = func(*args, **(kwargs or {}))
        path = resolve_name(func)
        if path and (elements := _elements(output)):
            self.made.append(_Made.of(path.rpartition(".")[2], path, (args, kwargs or {}), elements))
        return output

    def enter(self, module: nn.Module, args: Any, kwargs: Any) -> None:
        """Note the begin of a layer."""
        if self._open:
            self._open[-1] = (self._open[-1][0], True)
        self._open.append((len(self.made), False))

    def leave(self, module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        """Note the end of a layer, and let one of torch's layers stand for all calls in it."""
        before, calls_layers = self._open.pop()
        if isinstance(module, FUSED) or (not calls_layers and _is_from_torch(module)):
            del self.made[before:]
            self.made.append(_Made.of(_layer_name(module), module, (args, kwargs), _elements(output)))


def _is_from_torch(module: nn.Module) -> bool:
    """Return whether a layer's class, or one that it extends, is one of torch's."""
    return any(base.__module__.startswith("torch.") for base in type(module).__mro__ if base not in CONTAINERS)


def _layer_name(module: nn.Module) -> str:
    name = type(module).__name__
    return f"quantized {name}" if ".quantized." in type(module).__module__ else name


@dataclass(frozen=True)
class _Like:
    """The shape, type and device of a tensor; a tensor that is not dense, or quantized, is kept itself."""

    shape: tuple[int, ...]
    dtype: torch.dtype
    device: torch.device
    itself: Tensor | None

    def __str__(self) -> str:
        return f"{self.dtype} {self.shape}"

    @classmethod
    def of(cls, tensor: Tensor) -> _Like:
        plain = tensor.layout == torch.strided and not tensor.is_quantized
        return cls(tuple(tensor.shape), tensor.dtype, tensor.device, None if plain else tensor.detach())

    def zeros(self) -> Tensor:
        return torch.zeros(self.shape, dtype=self.dtype, device=self.device) if self.itself is None else self.itself


@dataclass(frozen=True)
class _Slot:
    """The place of a tensor among the arguments of a call."""

    number: int


def _with_slots(value: Any, tensors: dict[int, Tensor]) -> Any:
    """Return a value with a slot for each tensor, and add the tensors, by id, in the order of their slots."""
    if isinstance(value, Tensor):
        tensors.setdefault(id(value), value)
        return _Slot(list(tensors).index(id(value)))
    if isinstance(value, dict):
        return {name: _with_slots(part, tensors) for name, part in value.items()}
    if type(value) in (tuple, list):
        return type(value)(_with_slots(part, tensors) for part in value)
    return value


def _filled(value: Any, tensors: tuple[Tensor, ...]) -> Any:
    """Return a value with the tensors in their slots."""
    if isinstance(value, _Slot):
        return tensors[value.number]
    if isinstance(value, dict):
        return {name: _filled(part, tensors) for name, part in value.items()}
    if type(value) in (tuple, list):
        return type(value)(_filled(part, tensors) for part in value)
    return value


def _elements(output: Any) -> int:
    """Return the number of elements of all tensors in an output."""
    return sum(tensor.numel() for tensor in _tensors(output))


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, tuple | list):
        for part in value:
            yield from _tensors(part)
    elif isinstance(value, dict):
        yield from _tensors(tuple(value.values()))
