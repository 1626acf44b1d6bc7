"""The operators that a network runs, and the fixed cost of one: what remains of the time if the work is small."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from edgeai_repro.audit.schema import Operators

GRAIN = 32768  # values; torch runs an elementwise operator on fewer in one thread (at::internal::GRAIN_SIZE)
CALLS, REPEATS = 200, 5  # of an operator on one value: milliseconds in all
IMITATION = "fake_quantize"  # in the names of operators that round floats to the values of int8


def list_operators(model: nn.Module, inputs: Sequence[Any]) -> Operators:
    """Run a model once and return what its operators are; views are none, because they compute nothing."""
    with torch.inference_mode(), _Recorder() as recorder:
        model(*inputs)
    return Operators(
        count=recorder.count, small=recorder.small, imitating=recorder.imitating, seconds_each=None
    )


def seconds_per_operator() -> float:
    """Measure the time of a module with one operator on one value, in seconds: the fixed cost of an operator."""
    layer, value = nn.ReLU(), torch.zeros(1)
    best = float("inf")
    with torch.inference_mode():
        for _ in range(REPEATS):
            start = time.perf_counter()
            for _ in range(CALLS):
                layer(value)
            best = min(best, time.perf_counter() - start)
    return best / CALLS


@dataclass(eq=False)
class _Recorder(TorchDispatchMode):
    """Counts operators while it is active."""

    count: int = 0
    small: int = 0
    imitating: int = 0
    _: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__init__()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        output = func(*args, **(kwargs or {}))
        if not func.is_view:
            self.count += 1
            self.small += isinstance(output, Tensor) and output.numel() < GRAIN
            self.imitating += IMITATION in func.name()
        return output
