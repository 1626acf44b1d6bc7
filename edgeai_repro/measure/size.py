"""The size of a model: the bytes of its saved state_dict, and those after deflate."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import IO, Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import is_traceable_wrapper_subclass

CHUNK_BYTES = 1 << 20


def state_dict_bytes(model: nn.Module) -> int:
    """Return the number of bytes that `torch.save(model.state_dict(), file)` writes, without writing them.

    The archive repeats the name of the file in every record. The count is that of a file named `archive.pt`, or of
    a buffer. ConvNeXt-Tiny saved as `x.pt` is 12 kB (0.01 %) smaller. Of a model on the meta device it is the count
    of one with values, which it gets without their memory.
    """
    state = model.state_dict()
    if any(tensor.is_meta for tensor in state.values() if isinstance(tensor, Tensor)):
        state = _with_untouched_memory(model)
    counter = _ByteCounter()
    checksums = torch.serialization.get_crc32_options()
    torch.serialization.set_crc32_options(False)  # they take nearly all of the time and have a fixed size
    try:
        torch.save(state, cast(IO[bytes], counter))
    finally:
        torch.serialization.set_crc32_options(checksums)
    return counter.bytes


def value_bytes(model: nn.Module) -> int:
    """Return the bytes of the tensors of the state_dict, without the archive around them."""
    return sum(tensor.numel() * tensor.element_size() for tensor in stored_tensors(model))


def deflated_bytes(model: nn.Module) -> int:
    """Return the bytes of the state_dict's tensors after deflate, compressed in pieces of 1 MiB.

    The strategy is zlib's run-length encoding (Z_RLE), because in weights only zeros repeat. On normal weights
    pruned by 0 to 90 % the result is within 4 % of level 9 and smaller than that of level 1, at three times its
    speed.
    """
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:  # zlib releases the GIL
        return sum(pool.map(_deflated, _chunks(model)))


def tensor_bytes(model: nn.Module) -> int:
    """Return the bytes of the state_dict's tensors, without a container, as a raw file of them would have."""
    return sum(len(chunk) for chunk in _chunks(model))


def zipped_bytes(model: nn.Module) -> int:
    """Return the size of a zip file with the state_dict's tensors in one deflated entry, at the default level."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("weights", "w") as entry:
        for chunk in _chunks(model):
            entry.write(chunk.data)
    return len(buffer.getvalue())


def _with_untouched_memory(model: nn.Module) -> dict[str, Tensor]:
    """Return the state_dict of a model on the meta device, with tensors that nobody has written to.

    The system gives memory to a page when it is first touched, and `_ByteCounter` doesn't touch the values.
    """
    state = model.state_dict(keep_vars=True)
    empty: dict[int, Tensor] = {}  # a tensor that several layers share is saved once
    for name, tensor in state.items():
        state[name] = empty.setdefault(id(tensor), torch.empty(tensor.shape, dtype=tensor.dtype))
    return state


class _ByteCounter:
    """A file object that counts the bytes written to it and drops them."""

    def __init__(self) -> None:
        self.bytes = 0

    def write(self, data: Any) -> int:
        size = memoryview(data).nbytes
        self.bytes += size
        return size

    def flush(self) -> None:
        """Do nothing, because nothing is buffered."""


def _deflated(chunk: npt.NDArray[np.uint8]) -> int:
    stream = zlib.compressobj(level=1, wbits=-zlib.MAX_WBITS, memLevel=9, strategy=zlib.Z_RLE)
    return len(stream.compress(chunk.data)) + len(stream.flush())


def _chunks(model: nn.Module) -> Iterator[npt.NDArray[np.uint8]]:
    for tensor in stored_tensors(model):
        values = tensor.int_repr() if tensor.is_quantized else tensor
        content = values.detach().contiguous().view(-1).view(torch.uint8).numpy()
        yield from (content[start : start + CHUNK_BYTES] for start in range(0, len(content), CHUNK_BYTES))


def stored_tensors(model: nn.Module) -> Iterator[Tensor]:
    """Yield the tensors of the state_dict, of a quantized layer its qint8 weight and its bias.

    A tensor subclass, such as torchao's, is yielded as the plain tensors that it consists of.
    """
    for entry in model.state_dict().values():
        values = entry if isinstance(entry, tuple) else (entry,)
        yield from (plain for value in values if isinstance(value, Tensor) for plain in _plain_tensors(value))


def _plain_tensors(tensor: Tensor) -> Iterator[Tensor]:
    if not is_traceable_wrapper_subclass(tensor):
        yield tensor
        return
    names, _ = tensor.__tensor_flatten__()
    for name in names:
        yield from _plain_tensors(getattr(tensor, name))
