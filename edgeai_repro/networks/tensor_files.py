"""Reads tensors from safetensors files of anyone, and compares them with a network before it takes memory."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load
from torch import Tensor, nn

from edgeai_repro.errors import UserError, one_line


def tensors_of(content: bytes, path: Path, hint: str) -> dict[str, Tensor]:
    """Return the tensors of a safetensors file by name. `path` and `hint`, the next step, are for the message.

    They take as much memory as the file: safetensors compares the shapes in the header with it. Raises UserError
    for any other file.
    """
    try:
        tensors: dict[str, Tensor] = load(content)
    except Exception as error:  # SafetensorError, and KeyError for a type of numbers that torch lacks
        raise UserError(f"{path}: must be a safetensors file (got {one_line(error)}); {hint}") from None
    return tensors


def difference(tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> str | None:
    """Return the first difference in names, shapes and kinds of numbers, None if there is none.

    `expected` may be on the meta device. Floats of any width can take each other's place.
    """
    for name in sorted(tensors.keys() | expected.keys()):
        if name not in tensors:
            return f"{name!r} is missing"
        if name not in expected:
            return f"{name!r} is one too many"
        given, wanted = tensors[name], expected[name]
        if given.shape != wanted.shape:
            return f"{name!r} has the shape {tuple(given.shape)} instead of {tuple(wanted.shape)}"
        if given.dtype != wanted.dtype and not (_is_float(given) and _is_float(wanted)):
            return f"{name!r} holds {given.dtype} instead of {wanted.dtype}".replace("torch.", "")
    return None


def fill(model: nn.Module, tensors: Mapping[str, Tensor], path: Path, hint: str) -> None:
    """Give a network these weights. Raises UserError unless they are those of such a network."""
    if problem := difference(tensors, model.state_dict()):
        raise UserError(f"{path}: must hold the weights of such a network (got another: {problem}); {hint}")
    model.load_state_dict(dict(tensors))


def _is_float(tensor: Tensor) -> bool:
    return tensor.dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64)
