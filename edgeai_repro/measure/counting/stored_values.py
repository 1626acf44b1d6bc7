"""The values that a network stores: parameters, packed weights, buffers and constants, each once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter
from torch.utils._python_dispatch import is_traceable_wrapper_subclass

from edgeai_repro.errors import UserError
from edgeai_repro.measure.counting.packed import bits_of, is_packed, packed_key, unpack

Role = Literal["parameter", "buffer", "temporary buffer", "attribute", "constant"]
PACKED_ATTRIBUTES = ("_packed_params", "_packed_weight", "param")  # of torch's quantized layers, if scripted
REGISTERED = ("_parameters", "_buffers", "_modules")
BYTE = 8


@dataclass(eq=False)
class StoredValue:
    """A tensor that a network keeps from one call to the next.

    `size` is the number of its values, `nonzero` of those that are not 0 after dequantization (counted for
    parameters and constants only). `bits` are all bits that it takes, with scales, zero points and indices.
    `value_bits` are those of one value. `tensors` are those that operators receive; `packed` is the key of the
    packed object instead.
    """

    owner: nn.Module
    name: str
    role: Role
    size: int
    nonzero: int
    bits: int
    value_bits: int
    tensors: list[Tensor] = field(default_factory=list)
    packed: int | None = None

    @property
    def is_parameter(self) -> bool:
        """Return True if the values are learned, as far as the network tells."""
        return self.role in ("parameter", "constant")

    @property
    def is_saved(self) -> bool:
        """Return True unless the values are made again when the network is built."""
        return self.role != "temporary buffer"


def stored_values(model: nn.Module) -> list[StoredValue]:
    """Return the values that a model stores, each once, even if several layers share it.

    Raises UserError if a parameter has no shape yet.
    """
    known: set[object] = set()
    values: list[StoredValue] = []
    for module in model.modules():
        for role, name, value in _of_module(module):
            key = packed_key(value) if isinstance(value, torch.ScriptObject) else id(value)
            if key not in known:
                known.add(key)
                values += _stored(module, role, name, value)
    return values


def _of_module(module: nn.Module) -> Iterator[tuple[Role, str, Any]]:
    for name, parameter in module.named_parameters(recurse=False):
        yield "parameter", name, parameter
    for name, buffer in module.named_buffers(recurse=False):
        yield "temporary buffer" if name in module._non_persistent_buffers_set else "buffer", name, buffer
    if isinstance(module, torch.jit.ScriptModule):
        for name in PACKED_ATTRIBUTES:
            if is_packed(value := getattr(module, name, None)):
                yield "parameter", name, value
        yield from _constants(module)
        return
    for name, value in vars(module).items():
        if isinstance(value, Tensor):
            yield "attribute", name, value
        elif isinstance(value, list | tuple | dict):
            if value and name not in REGISTERED and not isinstance(module, nn.RNNBase):  # its list repeats weights
                yield from _in_collection(name, value)
        elif is_packed(value):
            yield "parameter", name, value


def _in_collection(name: str, value: object) -> Iterator[tuple[Role, str, Any]]:
    """Yield the tensors, and those of modules, in a list or a dict, which torch does not register."""
    members = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list | tuple) else ()
    )
    for key, member in members:
        if isinstance(member, Tensor):
            yield "attribute", f"{name}.{key}", member
        elif isinstance(member, nn.Module):
            yield from (one for module in member.modules() for one in _of_module(module))


def _constants(module: torch.jit.ScriptModule) -> Iterator[tuple[Role, str, Any]]:
    """Yield the tensors and packed weights that freezing has put into the graph of a scripted module."""
    for node in [] if (graph := graph_of(module)) is None else graph.findAllNodes("prim::Constant"):
        value = node.output().toIValue()
        if is_packed(value):
            yield "parameter", node.output().debugName(), value
        elif isinstance(value, Tensor) and value.ndim and value.is_floating_point():
            yield "constant", node.output().debugName(), value


def graph_of(module: torch.jit.ScriptModule) -> Any:
    """Return the graph of a scripted module's forward, None if it has no forward."""
    try:
        return module.graph
    except (AttributeError, RuntimeError):
        return None


def _stored(owner: nn.Module, role: Role, name: str, value: Any) -> Iterator[StoredValue]:
    if isinstance(value, torch.ScriptObject):
        key = packed_key(value)
        for part in unpack(value):
            size = part.tensor.numel()
            bits = size * part.bits + _bits_of_scales(part.tensor)
            weight = part.name.startswith("weight")
            nonzero = count_nonzero(part.tensor.detach())
            yield StoredValue(
                owner, part.name, role, size, nonzero, bits, part.bits, packed=key if weight else None
            )
        return
    if isinstance(value, UninitializedParameter | UninitializedBuffer):
        raise UserError(f"a lazy layer must have its shape (got none for {name!r}); call the network once first")
    tensors = _inner_tensors(value.detach())
    bits = sum(_bits(tensor) for tensor in tensors)
    size = value.numel() if value.layout == torch.strided or value.is_mkldnn else tensors[0].numel()
    if value.layout != torch.strided:
        tensors.append(value)  # an operator receives the whole, too
    nonzero = 0
    if role in ("parameter", "constant"):
        nonzero = count_nonzero(_masked(owner, name, value.detach()))
    yield StoredValue(owner, name, role, size, nonzero, bits, bits_of(tensors[0].dtype), tensors)


def _masked(owner: nn.Module, name: str, value: Tensor) -> Tensor:
    """Return a weight with the mask of torch.nn.utils.prune, if it has one."""
    mask = getattr(owner, f"{name.removesuffix('_orig')}_mask", None) if name.endswith("_orig") else None
    return value * mask if isinstance(mask, Tensor) else value


def _inner_tensors(tensor: Tensor) -> list[Tensor]:
    """Return the plain tensors that a tensor consists of, the values first: itself, if it is plain."""
    if tensor.layout == torch.sparse_coo:
        tensor = tensor.coalesce()
        return [tensor.values(), tensor.indices()]
    if tensor.layout in (torch.sparse_csr, torch.sparse_bsr):
        return [tensor.values(), tensor.crow_indices(), tensor.col_indices()]
    if tensor.layout in (torch.sparse_csc, torch.sparse_bsc):
        return [tensor.values(), tensor.ccol_indices(), tensor.row_indices()]
    if is_traceable_wrapper_subclass(tensor):
        names, _ = tensor.__tensor_flatten__()
        return [plain for name in names for plain in _inner_tensors(getattr(tensor, name))]
    return [tensor]


def _bits(tensor: Tensor) -> int:
    return tensor.numel() * bits_of(tensor.dtype) + _bits_of_scales(tensor)


def _bits_of_scales(tensor: Tensor) -> int:
    """Return the bits of a quantized tensor's scales and zero points: 64 for a pair, as torch stores them."""
    if not tensor.is_quantized:
        return 0
    if tensor.qscheme() in (torch.per_tensor_affine, torch.per_tensor_symmetric):
        return 2 * 64
    return _bits(tensor.q_per_channel_scales()) + _bits(tensor.q_per_channel_zero_points())


def count_nonzero(tensor: Tensor) -> int:
    """Count the values that are not 0. A quantized value is 0 if it equals its zero point; on meta none is 0."""
    if tensor.is_meta:
        return tensor.numel()
    if tensor.layout != torch.strided:
        tensor = tensor.to_dense() if tensor.is_mkldnn else _inner_tensors(tensor)[0]
    elif is_traceable_wrapper_subclass(tensor):
        tensor = tensor.dequantize() if hasattr(tensor, "dequantize") else torch.cat(_inner_tensors(tensor)[:1])
    if not tensor.is_quantized:
        return int(torch.count_nonzero(tensor))
    if tensor.qscheme() in (torch.per_tensor_affine, torch.per_tensor_symmetric):
        zero: Any = tensor.q_zero_point()
    else:
        shape = [-1 if axis == tensor.q_per_channel_axis() else 1 for axis in range(tensor.ndim)]
        zero = tensor.q_per_channel_zero_points().view(shape)
    return int(np.count_nonzero(tensor.int_repr().numpy() != np.asarray(zero)))
