"""Products: how many multiply-accumulates an operator computes, and of which operands."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, Literal

import torch
from torch import Tensor


@dataclass(frozen=True)
class Product:
    """`macs` multiply-accumulates of the values of `first` with those of `second`.

    `kind` says which operator computes it. `bits` are those of the two operands if their types don't tell.
    `opaque` marks a weight whose zeros can't be seen, because its layout is that of one kernel.
    """

    kind: Literal["conv", "matrix", "attention"]
    macs: int
    first: Tensor
    second: Tensor
    bits: tuple[int, int] | None = None
    opaque: bool = False


@dataclass(frozen=True)
class PackedProduct:
    """The products of `features` with packed weights, each value of which is used `times` times."""

    kind: Literal["conv", "matrix"]
    times: int
    features: Tensor
    weights: torch.ScriptObject


@dataclass(frozen=True)
class Call:
    """A call of an operator: its arguments by the names in the operator's schema, and its output."""

    arguments: Mapping[str, Any]
    output: Any

    def first_of(self, *names: str) -> Any:
        """Return the argument with the first of these names that the operator has."""
        return next(self.arguments[name] for name in names if name in self.arguments)

    def packed(self) -> list[torch.ScriptObject]:
        """Return the arguments that are packed weights."""
        return [value for value in self.arguments.values() if isinstance(value, torch.ScriptObject)]


Rule = Callable[[Call], Iterator[Product | PackedProduct]]


def stored_size(tensor: Tensor) -> int:
    """Return the number of values that a tensor stores: all, or those of a sparse one that are not left out."""
    if tensor.layout == torch.strided or tensor.is_mkldnn:
        return tensor.numel()
    return int((tensor._values() if tensor.layout == torch.sparse_coo else tensor.values()).numel())


def distinct_size(tensor: Tensor) -> int:
    """Return the number of values that a tensor stores, each once: an expanded one repeats some, with stride 0."""
    if tensor.layout != torch.strided or tensor.is_mkldnn:
        return stored_size(tensor)
    return prod(length for length, stride in zip(tensor.shape, tensor.stride(), strict=True) if stride)


def rows(features: Tensor) -> int:
    """Return the number of vectors in features of shape (…, width)."""
    return prod(features.shape[:-1])


def positions(features: Tensor) -> int:
    """Return the number of positions in features of shape (N, C, …), for all images together."""
    return features.shape[0] * prod(features.shape[2:])
