"""What the operators of a network read and write: a cheap account of its work besides the multiplications."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from edgeai_repro.measure.counting.run import Inputs, ready_to_run


@dataclass
class Traffic:
    """The operators that ran, the values that they wrote, and the bytes that they read and wrote.

    A view of a tensor, such as a reshape, is no operator: it moves nothing.
    """

    operators: int = 0
    activations: int = 0
    bytes: int = 0


class _Observer(TorchDispatchMode):  # type: ignore[no-untyped-call]
    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.traffic: Traffic = Traffic()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operator and add what it reads and writes."""
        output = func(*args, **(kwargs or {}))
        if not func.is_view:
            written, read = (
                [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]
                for tree in (output, (args, kwargs))
            )
            self.traffic.operators += 1
            self.traffic.activations += sum(tensor.numel() for tensor in written)
            self.traffic.bytes += sum(tensor.nbytes for tensor in (*read, *written))
        return output


def traffic(model: nn.Module, inputs: Inputs) -> Traffic:
    """Run a network on its inputs and return what its operators read and wrote."""
    observer = _Observer()
    with ready_to_run(model), observer:
        model(*inputs)
    return observer.traffic
