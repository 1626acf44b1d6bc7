"""fp32 Linear layers whose weights are laid out once for oneDNN's kernels. For inference only.

torch multiplies fp32 matrices with MKL, which is slow on CPUs that are not Intel's: on a Zen 5 core with torch 2.15
it does 47 billion multiply-accumulates per second for ConvNeXt-Small's layers, and oneDNN does 117 on packed
weights.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import cast

import torch
from torch import Tensor, nn

from edgeai_repro.networks.fast_cpu import replaced_forward


@contextmanager
def packed_linear(model: nn.Module, rows: int) -> Iterator[None]:
    """Run the fp32 Linear layers of `model` with oneDNN inside the block, on a CPU and if torch has oneDNN.

    oneDNN lays the weights out for inputs of about `rows` rows. It does not see a weight that changes inside the
    block.
    """
    layers = [module for module in model.modules() if type(module) is nn.Linear and _is_packable(module)]
    with replaced_forward({layer: _packed_forward(layer, rows) for layer in layers}):
        yield


def _is_packable(layer: nn.Linear) -> bool:
    weight = layer.weight
    available = torch._C._has_mkldnn and hasattr(torch.ops.mkldnn, "_reorder_linear_weight")
    precise = weight.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")
    return available and precise and weight.device.type == "cpu"


def _packed_forward(layer: nn.Linear, rows: int) -> Callable[[Tensor], Tensor]:
    packed = torch.ops.mkldnn._reorder_linear_weight(layer.weight.detach(), rows)
    bias = layer.bias

    def forward(inputs: Tensor) -> Tensor:
        return cast(Tensor, torch.ops.mkldnn._linear_pointwise(inputs, packed, bias, "none", [], ""))

    return forward
