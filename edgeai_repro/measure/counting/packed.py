"""Weights that torch's quantization packs into script objects, which `parameters()` does not show."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

CLASSES = "__torch__.torch.classes."
FP16_BITS = 16


class PackedTensor(NamedTuple):
    """A weight or a bias in a packed object; `bits` are those of a stored value."""

    name: str
    tensor: Tensor
    bits: int


def packed_key(packed: torch.ScriptObject) -> int:
    """Return a number that is the same for all Python objects of one packed object."""
    return hash(packed)


def is_packed(value: object) -> bool:
    """Return True for an object of torch.classes that holds weights."""
    return isinstance(value, torch.ScriptObject) and value._type().qualified_name() in _UNPACK


def unpack(packed: torch.ScriptObject) -> Iterator[PackedTensor]:
    """Yield the weights and the biases of a packed object, with those of the objects in it. It copies them."""
    yield from _UNPACK[packed._type().qualified_name()](packed)


def inner_packed(packed: torch.ScriptObject) -> list[torch.ScriptObject]:
    """Return the linear layers in the packed weights of a recurrent cell, else the object itself."""
    if packed._type().qualified_name() != f"{CLASSES}rnn.CellParamsBase":
        return [packed]
    (_, _, _, _, linears), _ = _state(packed)
    return list(linears)


def _state(packed: Any) -> Any:
    return packed.__getstate__()


def _linear(packed: Any) -> Iterator[PackedTensor]:
    weight, bias = torch.ops.quantized.linear_unpack(packed)
    # Floats are packed as fp16 and unpacked as fp32.
    yield PackedTensor("weight", weight, bits_of(weight.dtype) if weight.is_quantized else FP16_BITS)
    if bias is not None:
        yield PackedTensor("bias", bias, bits_of(bias.dtype))


def _conv(packed: Any) -> Iterator[PackedTensor]:
    weight, bias = packed.unpack()
    yield PackedTensor("weight", weight, bits_of(weight.dtype))
    if bias is not None:
        yield PackedTensor("bias", bias, bits_of(bias.dtype))


def _cell(packed: Any) -> Iterator[PackedTensor]:
    for number, linear in enumerate(inner_packed(packed)):
        for part in _linear(linear):
            yield part._replace(name=f"{part.name}_{('ih', 'hh')[number % 2]}")


def _embedding(packed: Any) -> Iterator[PackedTensor]:
    weight = torch.ops.quantized.embedding_bag_unpack(packed)
    yield PackedTensor("weight", weight, bits_of(weight.dtype))


_UNPACK = {
    f"{CLASSES}quantized.LinearPackedParamsBase": _linear,
    f"{CLASSES}quantized.Conv2dPackedParamsBase": _conv,
    f"{CLASSES}quantized.Conv3dPackedParamsBase": _conv,
    f"{CLASSES}quantized.EmbeddingPackedParamsBase": _embedding,
    f"{CLASSES}rnn.CellParamsBase": _cell,
}


def bits_of(dtype: torch.dtype) -> int:
    """Return the bits of one value of a type; torch's types below a byte have their bits in their names."""
    return _SMALL_BITS.get(str(dtype).removeprefix("torch."), dtype.itemsize * 8)


_SMALL_BITS = {"quint4x2": 4, "quint2x4": 2, "float4_e2m1fn_x2": 4} | {
    f"{sign}{bits}": bits for bits in range(1, 8) for sign in ("int", "uint")
}
