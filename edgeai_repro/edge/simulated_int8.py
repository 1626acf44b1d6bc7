"""Int8 simulated in torch: what the outputs of a network with int8 products must be, to rounding.

Weights are rounded with one symmetric scale per output channel. Activations are rounded with one scale per tensor:
from the ranges on calibration images (static), or from the values of the run itself (dynamic). Files that ONNX
Runtime's tools write are compared with this simulation. It rounds the same tensors, but shares no code with them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
Range = tuple[float, float]


@torch.inference_mode()
def dynamic_logits(network: nn.Module, images: Tensor) -> Tensor:
    """Return the logits of images (n, 3, h, w), one at a time, with int8 weights and inputs of Linear layers."""
    layers = [layer for layer in network.modules() if isinstance(layer, nn.Linear)]
    with ExitStack() as hooks:
        for layer in layers:
            hooks.enter_context(_int8_weights(layer))
            handle = layer.register_forward_pre_hook(lambda _, inputs: (_rounded(inputs[0], _range(inputs[0])),))
            hooks.callback(handle.remove)
        return _one_by_one(network, images)


@torch.inference_mode()
def static_logits(network: nn.Module, images: Tensor, calibration: Tensor) -> Tensor:
    """Return the logits of images (n, 3, h, w), one at a time, with int8 convolutions and Linear layers.

    Their weights, inputs and outputs are rounded. The ranges of inputs and outputs are those on the images of
    `calibration` (m, 3, h, w).
    """
    layers = [layer for layer in network.modules() if isinstance(layer, (*CONVOLUTIONS, nn.Linear))]
    before, after = _observe(network, layers, calibration)
    with ExitStack() as hooks:
        for layer in before.keys() & after.keys():
            hooks.enter_context(_int8_weights(layer))
            low_high, out = before[layer], after[layer]
            handles = (
                layer.register_forward_pre_hook(lambda _, inputs, r=low_high: (_rounded(inputs[0], r),)),
                layer.register_forward_hook(lambda _, __, output, r=out: _rounded(output, r)),
            )
            for handle in handles:
                hooks.callback(handle.remove)
        return _one_by_one(network, images)


def _observe(
    network: nn.Module, layers: Sequence[nn.Module], calibration: Tensor
) -> tuple[dict[nn.Module, Range], dict[nn.Module, Range]]:
    """Return the ranges of the inputs and of the outputs of the layers that run."""
    before: dict[nn.Module, Range] = {}
    after: dict[nn.Module, Range] = {}

    def watch(layer: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> None:
        before[layer] = _range(inputs[0], before.get(layer, (0.0, 0.0)))
        after[layer] = _range(output, after.get(layer, (0.0, 0.0)))

    handles = [layer.register_forward_hook(watch) for layer in layers]
    try:
        _one_by_one(network, calibration)
    finally:
        for handle in handles:
            handle.remove()
    return before, after


def _one_by_one(network: nn.Module, images: Tensor) -> Tensor:
    return torch.cat([network(image[None]) for image in images])


def _range(values: Tensor, known: Range = (0.0, 0.0)) -> Range:
    """Return the least and the largest of 0, the values, and those known before."""
    return min(known[0], float(values.min())), max(known[1], float(values.max()))


def _rounded(values: Tensor, limits: Range) -> Tensor:
    """Return values rounded to 256 levels between two limits, and cut there."""
    scale = max(limits[1] - limits[0], 1e-30) / 255
    zero = round(-limits[0] / scale)
    return torch.fake_quantize_per_tensor_affine(values, scale, zero, 0, 255)


@contextmanager
def _int8_weights(layer: nn.Module) -> Iterator[None]:
    """Round the weights of a layer to 255 levels per output channel inside the block."""
    weight = layer.get_parameter("weight")
    exact = weight.data
    scales = (exact.flatten(1).abs().amax(1) / 127).clamp_min(1e-30)
    zeros = torch.zeros_like(scales, dtype=torch.int32)
    weight.data = torch.fake_quantize_per_channel_affine(exact, scales, zeros, 0, -127, 127)
    try:
        yield
    finally:
        weight.data = exact
