"""Facts about a torch model: how it stores its weights, and by which conventions its counts differ."""

from __future__ import annotations

from collections import Counter

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from edgeai_repro.audit.levels import Array, find_levels
from edgeai_repro.audit.schema import Conventions, Weights
from edgeai_repro.measure.counting.packed import bits_of
from edgeai_repro.measure.counting.stored_values import StoredValue, stored_values

FLOATS = (torch.float32, torch.float16, torch.bfloat16)
HALF_BITS, INT8_BITS = 16, 8


def describe_weights(model: nn.Module) -> Weights:
    """Return how a model stores its weights. Values on the meta device are not judged."""
    by_bits: Counter[int] = Counter()
    judged = on_few = bits = half = 0
    for value in stored_values(model):
        if not _is_weight(value):
            continue
        tensor = value.tensors[0] if value.tensors else None
        by_bits[_bits(value, tensor)] += value.size
        if tensor is not None and tensor.dtype in FLOATS and not tensor.is_meta:
            levels = find_levels(_to_numpy(tensor))
            judged += levels.judged
            on_few += levels.quantized
            bits = max(bits, levels.bits)
            half += value.size if levels.half and tensor.dtype == torch.float32 else 0
    return Weights(
        by_bits=dict(sorted(by_bits.items())),
        judged=judged,
        on_few_levels=on_few,
        level_bits=bits,
        half_values=half,
    )


def describe_conventions(model: nn.Module) -> Conventions:
    """Return the numbers by which other counts of a model may differ."""
    linears = [layer for layer in model.modules() if isinstance(layer, nn.Linear)]
    last = linears[-1] if linears else None
    return Conventions(
        vectors=sum(parameter.numel() for parameter in model.parameters() if parameter.ndim < 2),
        running_statistics=sum(
            buffer.numel()
            for layer in model.modules()
            if isinstance(layer, _NormBase)
            for buffer in layer.buffers(recurse=False)
        ),
        last_layer=sum(parameter.numel() for parameter in last.parameters()) if last else 0,
        outputs=last.out_features if last else 0,
    )


def _is_weight(value: StoredValue) -> bool:
    """Return whether a value is a weight: a matrix of parameters, or of integers in a buffer."""
    if value.packed is not None:
        return True
    tensor = value.tensors[0] if value.tensors else None
    if tensor is None or tensor.ndim < 2:
        return False
    return value.is_parameter or (value.role == "buffer" and tensor.dtype in (torch.int8, torch.uint8))


def _bits(value: StoredValue, tensor: Tensor | None) -> int:
    if tensor is not None:
        return bits_of(tensor.dtype)
    return (
        HALF_BITS if value.bits == HALF_BITS * value.size else INT8_BITS
    )  # packed: int8 has scales, fp16 has none


def _to_numpy(tensor: Tensor) -> Array:
    values: Array = (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).detach().cpu().numpy()
    return values


def parameter_shares(model: nn.Module) -> dict[str, float]:
    """Return the fraction of the parameters, 0 to 1, in each kind of layer."""
    parameters = {"linear": 0, "pointwise convolution": 0, "other convolution": 0, "other": 0}
    counted: set[int] = set()
    for module in model.modules():
        for parameter in module.parameters(recurse=False):
            if id(parameter) not in counted:
                parameters[_layer_kind(module)] += parameter.numel()
                counted.add(id(parameter))
    total = sum(parameters.values())
    return {kind: count / total if total else 0.0 for kind, count in parameters.items()}


def _layer_kind(module: nn.Module) -> str:
    if type(module) is nn.Linear:
        return "linear"
    if isinstance(module, nn.Conv2d):
        pointwise = set(module.kernel_size) == {1} and module.groups == 1
        return "pointwise convolution" if pointwise else "other convolution"
    return "other"
