"""The operators that a model runs, and the fixed cost of one: what remains of the time if the work is small."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from edgeai_repro.audit.schema import Operators
from edgeai_repro.measure.counting.run import ready_to_run, runnable_clone

GRAIN = 32768  # values; torch runs an elementwise operator on fewer in one thread (at::internal::GRAIN_SIZE)
CALLS, REPEATS = 200, 5  # of an operator on one value: milliseconds in all
IMITATION = "fake_quant"  # in the names of operators that round floats to the values of int8


def describe_operators(model: nn.Module, inputs: Sequence[Any], seconds_each: float | None = None) -> Operators:
    """Run a model once and return its operators. `seconds_each` is the fixed cost of one, if it was measured."""
    clone, recorder = runnable_clone(model), _Recorder()
    with ready_to_run(clone), recorder:
        clone(*inputs)
    return Operators(
        count=recorder.count, small=recorder.small, imitating=recorder.imitating, seconds_each=seconds_each
    )


def measure_seconds_per_operator() -> float:
    """Return the time of a module that runs one operator on one value, the least of several, in seconds."""
    layer, value = nn.ReLU(), torch.zeros(1)
    best = float("inf")
    with torch.inference_mode():
        for _ in range(REPEATS):
            start = time.perf_counter()
            for _ in range(CALLS):
                layer(value)
            best = min(best, time.perf_counter() - start)
    return best / CALLS


class _Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the operators that run while it is active."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.count = self.small = self.imitating = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        output = func(*args, **(kwargs or {}))
        if not func.is_view:
            self.count += 1
            self.small += isinstance(output, Tensor) and output.numel() < GRAIN
            self.imitating += IMITATION in func.name()
        return output
