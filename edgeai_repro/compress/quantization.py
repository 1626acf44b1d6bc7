"""Dynamic quantization: int8 weights in every nn.Linear; activations are quantized when the layer runs.

torch's own implementation, `torch.ao`, is used as long as this torch has it, and our `int8_linear` afterwards. Only
`_implementation` makes this choice.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any, cast

from torch import Tensor, nn

from edgeai_repro.compress import int8_linear
from edgeai_repro.compress.int8_linear import Int8Linear
from edgeai_repro.errors import UserError
from edgeai_repro.networks.convnext import clone_sharing_tensors

OWN_ENGINE = "Int8Linear"  # in place of torch's engine, if torch has none


def quantize(model: nn.Module, *, engine: str | None = None) -> nn.Module:
    """Return a copy of `model` with each nn.Linear in int8: symmetric, one scale per layer, packed for `engine`.

    `model` does not change; the copy shares every tensor that is not quantized with it. The engine is x86, onednn,
    qnnpack or fbgemm; None takes the current one. Raises UserError for an engine that this torch does not support.
    """
    torch_ao, clone = _implementation(), clone_sharing_tensors(model)
    if torch_ao is not None:
        return cast(nn.Module, torch_ao.quantize(clone, engine))
    if engine is not None:
        raise UserError(f"'engine' must be left out (got {engine!r}): this torch has no torch.ao and no engines")
    return int8_linear.quantize(clone)


def is_quantized(module: nn.Module) -> bool:
    """Return whether a module is a linear layer that `quantize` made."""
    torch_ao = _implementation()
    return isinstance(module, Int8Linear) or (torch_ao is not None and isinstance(module, torch_ao.DynamicLinear))


def to_tensors(layer: nn.Module) -> dict[str, Tensor]:
    """Return a quantized layer as plain tensors, for storage.

    "weight" is int8 (out, in). "scale" is float64 and "zero_point" int64, both () for one per layer or (out,) for
    one per channel. "bias" is float32 (out,); a layer without a bias has no such entry.
    """
    if isinstance(layer, Int8Linear):
        return int8_linear.to_tensors(layer)
    return cast(dict[str, Tensor], cast(Any, _implementation()).to_tensors(layer))


def from_tensors(weight: Tensor, scale: Tensor, zero_point: Tensor, bias: Tensor | None = None) -> nn.Module:
    """Return the quantized layer of the tensors of `to_tensors`, packed for the current engine."""
    implementation = _implementation() or int8_linear
    return cast(nn.Module, implementation.from_tensors(weight, scale, zero_point, bias))


def dequantize(model: nn.Module) -> nn.Module:
    """Return a copy of a quantized model with nn.Linear layers, whose weights have the values of the int8 ones.

    `model` does not change; the copy shares every other tensor with it.
    """
    clone = clone_sharing_tensors(model)
    layers = {name: layer for name, layer in clone.named_modules() if is_quantized(layer)}
    for name, layer in layers.items():
        tensors = to_tensors(layer)
        scale, zero_point = (tensors.pop(key).float().reshape(-1, 1) for key in ("scale", "zero_point"))
        weight = (tensors.pop("weight") - zero_point) * scale
        linear = nn.Linear(weight.shape[1], weight.shape[0], bias="bias" in tensors, device="meta")
        linear.load_state_dict({"weight": weight, **tensors}, assign=True)
        clone.set_submodule(name, linear)
    return clone.eval()


def engine() -> str:
    """Return the current quantization engine, by torch's name; "Int8Linear" if this torch has no `torch.ao`."""
    torch_ao = _implementation()
    return OWN_ENGINE if torch_ao is None else str(torch_ao.engine())


def _implementation() -> ModuleType | None:
    """Return the module that uses `torch.ao`, None if this torch no longer has it."""
    try:
        from edgeai_repro.compress import torch_ao
    except ImportError:
        return None
    return torch_ao


def has_static() -> bool:
    """Return whether this torch has static quantization."""
    return _implementation() is not None


def static() -> ModuleType:
    """Return the module of static quantization. Raises UserError if this torch no longer has `torch.ao`."""
    if not has_static():
        raise UserError("'static_quantization' must have torch.ao (this torch has none); use torch 2.15 or older")
    from edgeai_repro.compress import static_quantization

    return static_quantization
