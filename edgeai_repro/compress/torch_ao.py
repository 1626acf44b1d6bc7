"""torch's own dynamic quantization, from `torch.ao`. Import this module only through `quantization`."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.ao.nn.quantized.dynamic import Linear as DynamicLinear
from torch.ao.quantization import quantize_dynamic

from edgeai_repro.errors import UserError, did_you_mean

NO_ENGINE = "none"
PREFERENCE = ("x86", "onednn", "qnnpack", "fbgemm")  # used if torch has set no engine, as on some ARM builds


def quantize(model: nn.Module, engine_name: str | None = None) -> nn.Module:
    """Replace each nn.Linear in `model` by a layer packed for an engine (None: the current one), in place."""
    with engine_set(engine_name), quiet_deprecations():
        quantized: nn.Module = quantize_dynamic(  # type: ignore[no-untyped-call]
            model, {nn.Linear}, dtype=torch.qint8, inplace=True
        )
    return quantized


def to_tensors(layer: DynamicLinear) -> dict[str, Tensor]:
    """Return a layer as plain tensors (see `quantization.to_tensors`)."""
    weight, bias = layer._weight_bias()  # type: ignore[no-untyped-call]
    if weight.qscheme() == torch.per_tensor_affine:
        factors = torch.tensor(weight.q_scale(), dtype=torch.float64), torch.tensor(weight.q_zero_point())
    else:
        factors = weight.q_per_channel_scales().double(), weight.q_per_channel_zero_points()
    tensors = {"weight": weight.int_repr(), "scale": factors[0], "zero_point": factors[1]}
    return tensors if bias is None else tensors | {"bias": bias.detach()}


def from_tensors(weight: Tensor, scale: Tensor, zero_point: Tensor, bias: Tensor | None = None) -> DynamicLinear:
    """Return the layer of the tensors of `to_tensors`, packed for the current engine."""
    with engine_set(None), quiet_deprecations():
        if scale.ndim:
            quantized = torch._make_per_channel_quantized_tensor(weight, scale, zero_point, 0)
        else:
            quantized = torch._make_per_tensor_quantized_tensor(weight, scale.item(), int(zero_point))
        layer = DynamicLinear(1, 1)  # type: ignore[no-untyped-call]  # small, because it packs an empty weight
        layer.out_features, layer.in_features = weight.shape
        layer.set_weight_bias(quantized, bias)
    return layer


def engine() -> str:
    """Return the current quantization engine, by torch's name."""
    current = str(torch.backends.quantized.engine)
    supported = torch.backends.quantized.supported_engines
    return current if current != NO_ENGINE else next((name for name in PREFERENCE if name in supported), current)


@contextmanager
def quiet_deprecations() -> Iterator[None]:
    """Silence the deprecation warning of torch 2.10 to 2.15 (the API moves to torchao). The paper used this API."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"torch\.ao\.quantization is deprecated", DeprecationWarning)
        warnings.filterwarnings("ignore", r"torch\.quantize_per_tensor, .* are deprecated", UserWarning)
        yield


@contextmanager
def engine_set(name: str | None) -> Iterator[None]:
    """Set torch's quantization engine inside the block and restore it afterwards; None sets the current one."""
    supported = [known for known in torch.backends.quantized.supported_engines if known != NO_ENGINE]
    name = engine() if name is None else name
    if name not in supported:
        raise UserError(
            f"'engine' must be one that torch supports here (got {name!r}); {did_you_mean(name, supported)}"
        )
    before = torch.backends.quantized.engine
    torch.backends.quantized.engine = name
    try:
        yield
    finally:
        torch.backends.quantized.engine = before
