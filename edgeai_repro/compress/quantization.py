"""Dynamic quantization as torch does it: int8 weights in every nn.Linear, activations quantized as they come."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.ao.nn.quantized.dynamic import Linear as DynamicLinear
from torch.ao.nn.quantized.modules.utils import _quantize_weight
from torch.ao.quantization import default_dynamic_qconfig, quantize_dynamic

from edgeai_repro.errors import UserError, did_you_mean
from edgeai_repro.networks.convnext import clone_sharing_tensors

NO_ENGINE = "none"
PREFERENCE = ("x86", "onednn", "qnnpack", "fbgemm")  # where torch has set no engine, as on some ARM builds


def quantize(model: nn.Module, *, engine: str | None = None) -> nn.Module:
    """Return `model` with each nn.Linear in int8: symmetric, one scale a layer, weights packed for `engine`.

    The result shares every tensor that is not quantized with `model`, which stays as it is. The engine is x86,
    onednn, qnnpack or fbgemm; None takes the one in force. Raises UserError for an engine that torch lacks here.
    """
    with _engine_set(engine), _quiet_deprecations():
        quantized: nn.Module = quantize_dynamic(  # type: ignore[no-untyped-call]
            clone_sharing_tensors(model),
            {nn.Linear},
            dtype=torch.qint8,
            mapping={nn.Linear: _PackedOnce},
            inplace=True,
        )
    return quantized


def pack(weight: Tensor, bias: Tensor | None) -> DynamicLinear:
    """Return the dynamically quantized layer of a qint8 weight (out, in) and a float32 bias (out,)."""
    with _quiet_deprecations():
        layer = DynamicLinear(1, 1)  # type: ignore[no-untyped-call]
    layer.out_features, layer.in_features = weight.shape
    layer.set_weight_bias(weight, bias)
    return layer


def to_tensors(layer: DynamicLinear) -> dict[str, Tensor]:
    """Return a quantized layer as plain tensors, for storage.

    "weight" is int8 (out, in), "scale" float64 and "zero_point" int64, () for one a layer or (out,) for one a
    channel; "bias" is float32 (out,), and missing where there is none.
    """
    weight, bias = layer._weight_bias()  # type: ignore[no-untyped-call]
    if weight.qscheme() == torch.per_tensor_affine:
        factors = torch.tensor(weight.q_scale(), dtype=torch.float64), torch.tensor(weight.q_zero_point())
    else:
        factors = weight.q_per_channel_scales().double(), weight.q_per_channel_zero_points()
    plain = {"weight": weight.int_repr(), "scale": factors[0], "zero_point": factors[1]}
    return plain if bias is None else plain | {"bias": bias.detach()}


def from_tensors(weight: Tensor, scale: Tensor, zero_point: Tensor, bias: Tensor | None = None) -> DynamicLinear:
    """Return the quantized layer of the tensors of `to_plain`, packed for the engine in force."""
    with _engine_set(None), _quiet_deprecations():
        if scale.ndim:
            quantized = torch._make_per_channel_quantized_tensor(weight, scale, zero_point, 0)
        else:
            quantized = torch._make_per_tensor_quantized_tensor(weight, scale.item(), int(zero_point))
        return pack(quantized, bias)


def dequantize(model: nn.Module) -> nn.Module:
    """Return a quantized model with nn.Linear layers of the very values that its int8 weights stand for.

    The result shares every other tensor with `model`, which stays as it is.
    """
    plain = clone_sharing_tensors(model)
    layers = {name: layer for name, layer in plain.named_modules() if isinstance(layer, DynamicLinear)}
    for name, layer in layers.items():
        weight, bias = layer._weight_bias()  # type: ignore[no-untyped-call]
        linear = nn.Linear(layer.in_features, layer.out_features, bias=bias is not None, device="meta")
        values = {"weight": weight.dequantize()} | ({} if bias is None else {"bias": bias.detach()})
        linear.load_state_dict(values, assign=True)
        plain.set_submodule(name, linear)
    return plain.eval()


def engine() -> str:
    """Return the quantization engine in force, as torch names it."""
    current = str(torch.backends.quantized.engine)
    supported = torch.backends.quantized.supported_engines
    return current if current != NO_ENGINE else next((name for name in PREFERENCE if name in supported), current)


class _PackedOnce:
    """torch's conversion of a Linear, step for step, without the empty weight that it packs first and throws away.

    Packing is nearly all of the time: 0.76 s for ConvNeXt-Large on two x86 cores, half of it for nothing.
    """

    @staticmethod
    def from_float(layer: nn.Linear, **_: Any) -> DynamicLinear:
        observer = default_dynamic_qconfig.weight()
        observer(layer.weight)
        weight = _quantize_weight(layer.weight.float(), observer)  # type: ignore[no-untyped-call]
        return pack(weight, layer.bias)


@contextmanager
def _quiet_deprecations() -> Iterator[None]:
    """Keep back what torch 2.10 to 2.15 say of each use: that this moves to torchao. It is what the paper used."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"torch\.ao\.quantization is deprecated", DeprecationWarning)
        warnings.filterwarnings("ignore", r"torch\.quantize_per_tensor, .* are deprecated", UserWarning)
        yield


@contextmanager
def _engine_set(name: str | None) -> Iterator[None]:
    """Set torch's quantization engine and restore it."""
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
