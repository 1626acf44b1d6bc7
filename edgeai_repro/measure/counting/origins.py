"""Where a tensor's values come from: the input, what the network stores, or neither."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef

from edgeai_repro.measure.counting.stored_values import StoredValue


@dataclass(frozen=True)
class Origin:
    """The origin of values that don't depend on the input.

    `stored` are the stored values that they were computed from; without any, the values are constants, such as the
    zeros of a first state. `products` are the numbers of the products that made them.
    """

    stored: frozenset[StoredValue] = frozenset()
    products: frozenset[int] = frozenset()


CONSTANT = Origin()


class Origins:
    """Follows values through the operators of a run. A tensor that isn't known depends on the input.

    The storage of a tensor is what counts, so that views and detached tensors have the origin of their base.
    """

    def __init__(self, values: Iterable[StoredValue]) -> None:
        self._origins: dict[int, Origin] = {}
        self._alive: dict[int, Any] = {}  # while it is referenced, the address of a storage isn't used again
        for value in values:
            for tensor in value.tensors:
                known = self.of(tensor)
                self.set(tensor, Origin(frozenset({value}) | (known.stored if known else frozenset())))

    def of(self, tensor: Tensor) -> Origin | None:
        """Return the origin of a tensor's values, None if they depend on the input."""
        return self._origins.get(_key(tensor))

    def set(self, tensor: Tensor, origin: Origin | None) -> None:
        """Note the origin of a tensor that an operator has made or changed."""
        key = _key(tensor)
        if origin is None:
            self._origins.pop(key, None)
            return
        self._origins[key] = origin
        self.note(tensor)

    def note(self, tensor: Tensor) -> None:
        """Note that an operator has made a tensor."""
        key = _key(tensor)
        if key not in self._alive:
            self._alive[key] = _weak(tensor)

    def is_from_input(self, tensor: Tensor) -> bool:
        """Return True if operators that were noted have computed a tensor from the input."""
        return _key(tensor) in self._alive and self.of(tensor) is None

    def joined(self, tensors: Sequence[Tensor]) -> Origin | None:
        """Return the origin of values that are computed from some tensors."""
        origins: list[Origin] = []
        for tensor in tensors:
            origin = self._origins.get(_key(tensor))
            if origin is None:
                return None
            origins.append(origin)
        if len(origins) == 1:
            return origins[0]
        return join(origins)


def join(origins: Sequence[Origin]) -> Origin:
    """Return the origin of values that are computed from values of some origins."""
    return Origin(
        frozenset().union(*(origin.stored for origin in origins)),
        frozenset().union(*(origin.products for origin in origins)),
    )


def _key(tensor: Tensor) -> int:
    """Return the address of a tensor's storage, or of the tensor itself if it has no storage (sparse, oneDNN)."""
    try:
        return int(tensor.untyped_storage()._cdata)
    except NotImplementedError:
        return id(tensor)


def _weak(tensor: Tensor) -> object:
    try:
        return StorageWeakRef(tensor.untyped_storage())  # type: ignore[no-untyped-call]
    except NotImplementedError:
        return tensor
