"""Operators on the meta device return tensors of the same shape, type and layout as on the CPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from edgeai_repro.networks import meta_kernels

CALLS: dict[str, Callable[[Tensor], Any]] = {
    "eval": lambda batch: torch.native_batch_norm(batch, *stored(batch), training=False, momentum=0.1, eps=1e-5),
    "training": lambda batch: torch.native_batch_norm(batch, *stored(batch), training=True, momentum=0.1, eps=1e-5),
    "batch_norm": lambda batch: nn.BatchNorm2d(6, device=batch.device, dtype=batch.dtype).eval()(batch),
    "native_layer_norm": lambda batch: torch.native_layer_norm(
        batch, (5, 4), *(torch.ones(5, 4, device=batch.device, dtype=batch.dtype) for _ in range(2)), 1e-5
    ),
    "relu": torch.relu,
    "silu": nn.SiLU(),
    "silu_": lambda batch: nn.SiLU(inplace=True)(batch.clone()),
    "gelu": nn.GELU("tanh"),
    "relu_": lambda batch: batch.clone().relu_(),
    "normal_": lambda batch: batch.clone().normal_(0.0, 0.1),
    "uniform_": lambda batch: nn.init.uniform_(batch.clone()),
}


def stored(batch: Tensor) -> list[Tensor]:
    """Return the weights, the biases, the means and the variances of BatchNorm."""
    return [torch.ones(batch.shape[1], device=batch.device, dtype=batch.dtype) for _ in range(4)]


def described(result: Any) -> list[tuple[object, ...]]:
    """Return what a tensor, or each of several, has besides its values."""
    tensors = [result] if isinstance(result, Tensor) else result
    return [(one.shape, one.dtype, one.stride()) for one in tensors]


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", CALLS)
def test_result_has_the_shape_type_and_layout_that_it_has_on_the_cpu(
    name: str, dtype: torch.dtype, layout: torch.memory_format
) -> None:
    """The CPU's kernels are torch's own."""
    meta_kernels.install()
    batch = torch.rand(2, 6, 5, 4, dtype=dtype).to(memory_format=layout)

    with torch.no_grad():
        assert described(CALLS[name](batch.to("meta"))) == described(CALLS[name](batch))


def test_each_kernel_is_tried() -> None:
    """BatchNorm is tried in both modes."""
    assert {*meta_kernels.KERNELS} == {*CALLS} - {"eval", "training", "batch_norm"} | {"native_batch_norm"}
