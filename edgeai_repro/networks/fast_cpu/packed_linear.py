"""The same Linear layers in fp32, on weights that were laid out once for oneDNN's kernels; for inference alone.

torch multiplies fp32 matrices with MKL, which does badly on CPUs of other makers: on a Zen 5 core with torch 2.15,
47 billion multiply-accumulates a second for ConvNeXt-Small's layers, where oneDNN does 117 on packed weights.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import torch
from torch import Tensor, nn


@contextmanager
def packed_linear(model: nn.Module, rows: int) -> Iterator[None]:
    """Run `model`'s fp32 Linear layers by oneDNN inside the block, where it is a CPU's and torch was built with it.

    `rows` is about how many rows a layer is given at once: oneDNN lays the weights out for it. Weights that change
    inside the block are not seen. The model itself stays as it was.
    """
    chosen = [module for module in model.modules() if type(module) is nn.Linear and _packable(module)]
    for module in chosen:
        module.__class__ = _PackedLinear
        module.__dict__["packed"] = torch.ops.mkldnn._reorder_linear_weight(module.weight.detach(), rows)
    try:
        yield
    finally:
        for module in chosen:
            module.__class__ = nn.Linear
            del module.__dict__["packed"]


def _packable(layer: nn.Linear) -> bool:
    weight = layer.weight
    built = torch._C._has_mkldnn and hasattr(torch.ops.mkldnn, "_reorder_linear_weight")
    precise = weight.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")
    return built and precise and weight.device.type == "cpu"


class _PackedLinear(nn.Linear):
    packed: Tensor

    def forward(self, input: Tensor) -> Tensor:
        return cast(Tensor, torch.ops.mkldnn._linear_pointwise(input, self.packed, self.bias, "none", [], ""))
