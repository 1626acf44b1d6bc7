"""Compares our counts of a network of torchvision or timm with torch's FlopCounterMode and `parameters()`."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, Literal

import torch
from pydantic import Field
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from edgeai_repro.errors import one_line
from edgeai_repro.evidence.measurement import Frozen
from edgeai_repro.measure import counts
from tests.support.zoo import Built, Inputs, Network, first_that_runs, fused_float_original, on_cpu, reference

AGREES = 0.001  # relative; the project's goal
Outcome = Literal["agrees", "explained", "differs", "refused", "does not run"]
CountActual = Callable[[nn.Module, Inputs], counts.Counts]


class Comparison(Frozen):
    """The counts of one network for one input, ours and torch's.

    `torch_macs` is half of FlopCounterMode's count. `missing` are MACs, in closed form, of operators that it has no
    formula for; `buffers` are weights that a network keeps in buffers, which `parameters()` does not list. An int8
    network is compared with the fused float network that it was made from. `int8` is true if all its MACs are those
    of 8-bit weights and 8-bit activations. `uncounted` are operators that our counter does not know. `refused` is
    our counter's reason for not counting, `fails` why the network does not run.
    """

    id: str
    family: str
    device: str = ""
    macs: int = 0
    torch_macs: int = 0
    missing: dict[str, int] = Field(default_factory=dict)
    buffers: dict[str, int] = Field(default_factory=dict)
    parameters: int = 0
    torch_parameters: int = 0
    quantized: bool = False
    int8: bool = False
    uncounted: list[str] = Field(default_factory=list)
    refused: str = ""
    fails: str = ""
    seconds: float = 0.0

    @property
    def difference(self) -> float:
        """The relative difference of our MACs from torch's, which are 0 for no network that runs."""
        return self.macs / self.torch_macs - 1 if self.torch_macs else math.inf

    @property
    def outcome(self) -> Outcome:
        """Whether both counts agree to 0.1 %, and if not, whether operators without a formula explain it all."""
        if self.fails:
            return "does not run"
        if self.refused:
            return "refused"
        if self.uncounted or self.int8 != self.quantized:
            return "differs"
        macs = self.torch_macs + sum(self.missing.values())
        parameters = self.torch_parameters + sum(self.buffers.values())
        if abs(self.macs - macs) > AGREES * macs or self.parameters != parameters:
            return "differs"
        return "explained" if self.missing or self.buffers else "agrees"


def count_actual(model: nn.Module, inputs: Inputs) -> counts.Counts:
    """Return our actual counts."""
    return counts.actual(model, inputs=inputs)


def compare(network: Network, actual: CountActual = count_actual) -> Comparison:
    """Return the counts of a network, ours and torch's; whatever fails is told in the comparison."""
    start = time.perf_counter()
    found = Comparison(id=network.id, family=network.family, quantized=network.quantized)
    try:
        if network.quantized:
            original = fused_float_original(network)
            known = reference(original)
            built = on_cpu(network)
        else:
            built, known = first_that_runs(network)
    except Exception as error:  # a network may raise anything
        return found.model_copy(update={"fails": one_line(error)})
    found = found.model_copy(
        update={"device": _device(built), "torch_macs": known.macs, "torch_parameters": known.parameters}
    )
    try:
        ours = actual(built.model, built.inputs)
    except Exception as error:  # a refusal, or a mistake of our counter
        return found.model_copy(update={"refused": one_line(error)})
    found = found.model_copy(
        update={
            "macs": ours.macs,
            "parameters": ours.parameters,
            "int8": ours.bit_operations == 8 * 8 * ours.macs,
            "uncounted": list(ours.uncounted),
            "seconds": round(time.perf_counter() - start, 2),
        }
    )
    if abs(found.difference) > AGREES:
        found = found.model_copy(update={"missing": missing_macs(built)})
    if found.parameters != found.torch_parameters:
        more = found.parameters - found.torch_parameters
        found = found.model_copy(update={"buffers": weights_in_buffers(built.model, more)})
    return found


def weights_in_buffers(model: nn.Module, more: int) -> dict[str, int]:
    """Return the matrices and filters in buffers, by name, if they hold `more` values; else nothing."""
    buffers = {
        name: buffer.numel()
        for name, buffer in model.named_buffers()
        if buffer.is_floating_point() and buffer.ndim > 1
    }
    alone = {name: size for name, size in buffers.items() if size == more}
    return next(({name: size} for name, size in alone.items()), buffers if sum(buffers.values()) == more else {})


def missing_macs(built: Built) -> dict[str, int]:
    """Return the MACs of operators that FlopCounterMode has no formula for, by operator, in closed form."""
    with torch.no_grad(), _Missing() as observer:
        built.model(*built.inputs)
    return dict(observer.macs)


class _Missing(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.macs: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = str(func.overloadpacket)
        if name in WITHOUT_FORMULA:
            self.macs[name] += WITHOUT_FORMULA[name](*args)
        return func(*args, **(kwargs or {}))


def _matrix_by_vector(matrix: torch.Tensor, vector: torch.Tensor, *_: Any) -> int:
    return matrix.numel()


def _rnn_layer(sequence: torch.Tensor, from_input: torch.Tensor, from_hidden: torch.Tensor, *_: Any) -> int:
    """One direction of one layer of an LSTM: each of its two matrices meets each step of the sequence."""
    steps = sequence.numel() // sequence.shape[-1]
    return steps * (from_input.numel() + from_hidden.numel())


WITHOUT_FORMULA: dict[str, Callable[..., int]] = {
    "aten.mv": _matrix_by_vector,
    "aten.addmv": lambda start, *operands: _matrix_by_vector(*operands),
    "aten.dot": lambda first, second: first.numel(),
    "aten.mkldnn_rnn_layer": _rnn_layer,
}


def _device(built: Built) -> str:
    tensors = [*built.model.parameters(), *built.model.buffers()]
    return str(tensors[0].device) if tensors else "cpu"
