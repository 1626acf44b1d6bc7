"""torch's dynamic quantization: int8 weights in every nn.Linear; activations are quantized when the layer runs."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.ao.nn.quantized.dynamic import Linear as DynamicLinear
from torch.ao.quantization import quantize_dynamic

from edgeai_repro.errors import UserError, did_you_mean
from edgeai_repro.networks.convnext import clone_sharing_tensors

NO_ENGINE = "none"
PREFERENCE = ("x86", "onednn", "qnnpack", "fbgemm")  # used if torch has set no engine, as on some ARM builds


def quantize(model: nn.Module, *, engine: str | None = None) -> nn.Module:
    """Return a copy of `model` with each nn.Linear in int8: symmetric, one scale per layer, packed for `engine`.

    `model` does not change; the copy shares every tensor that is not quantized with it. The engine is x86, onednn,
    qnnpack or fbgemm; None takes the current one. Raises UserError for an engine that this torch does not support.
    """
    clone = clone_sharing_tensors(model)
    with engine_set(engine), quiet_deprecations():
        quantized: nn.Module = quantize_dynamic(  # type: ignore[no-untyped-call]
            clone, {nn.Linear}, dtype=torch.qint8, inplace=True
        )
    return quantized


def to_tensors(layer: DynamicLinear) -> dict[str, Tensor]:
    """Return a quantized layer as plain tensors, for storage.

    "weight" is int8 (out, in). "scale" is float64 and "zero_point" int64, both () for one per layer or (out,) for
    one per channel. "bias" is float32 (out,); a layer without a bias has no such entry.
    """
    weight, bias = layer._weight_bias()  # type: ignore[no-untyped-call]
    if weight.qscheme() == torch.per_tensor_affine:
        factors = torch.tensor(weight.q_scale(), dtype=torch.float64), torch.tensor(weight.q_zero_point())
    else:
        factors = weight.q_per_channel_scales().double(), weight.q_per_channel_zero_points()
    tensors = {"weight": weight.int_repr(), "scale": factors[0], "zero_point": factors[1]}
    return tensors if bias is None else tensors | {"bias": bias.detach()}


def from_tensors(weight: Tensor, scale: Tensor, zero_point: Tensor, bias: Tensor | None = None) -> DynamicLinear:
    """Return the quantized layer of the tensors of `to_tensors`, packed for the current engine."""
    with engine_set(None), quiet_deprecations():
        if scale.ndim:
            quantized = torch._make_per_channel_quantized_tensor(weight, scale, zero_point, 0)
        else:
            quantized = torch._make_per_tensor_quantized_tensor(weight, scale.item(), int(zero_point))
        layer = DynamicLinear(1, 1)  # type: ignore[no-untyped-call]  # small, because it packs an empty weight
        layer.out_features, layer.in_features = weight.shape
        layer.set_weight_bias(quantized, bias)
    return layer


def dequantize(model: nn.Module) -> nn.Module:
    """Return a copy of a quantized model with nn.Linear layers, whose weights have the values of the int8 ones.

    `model` does not change; the copy shares every other tensor with it.
    """
    clone = clone_sharing_tensors(model)
    layers = {name: layer for name, layer in clone.named_modules() if isinstance(layer, DynamicLinear)}
    for name, layer in layers.items():
        weight, bias = layer._weight_bias()  # type: ignore[no-untyped-call]
        linear = nn.Linear(layer.in_features, layer.out_features, bias=bias is not None, device="meta")
        values = {"weight": weight.dequantize()} | ({} if bias is None else {"bias": bias.detach()})
        linear.load_state_dict(values, assign=True)
        clone.set_submodule(name, linear)
    return clone.eval()


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
