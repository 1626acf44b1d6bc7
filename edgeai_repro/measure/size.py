"""What a model takes in storage: the bytes of its saved state_dict, and those after deflate."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import IO, Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

CHUNK_BYTES = 1 << 20


def state_dict_bytes(model: nn.Module) -> int:
    """Return the bytes of `torch.save(model.state_dict(), file)`, without writing them anywhere.

    The archive repeats the file's name in every record: the count is that of a file named `archive.pt`, or of a
    buffer; the Tiny's, saved as `x.pt`, is 12 kB (0.01 %) smaller.
    """
    counter = _ByteCounter()
    checksums = torch.serialization.get_crc32_options()
    torch.serialization.set_crc32_options(False)  # they would take nearly all of the time, and no byte less
    try:
        torch.save(model.state_dict(), cast(IO[bytes], counter))
    finally:
        torch.serialization.set_crc32_options(checksums)
    return counter.bytes


def deflated_bytes(model: nn.Module) -> int:
    """Return the bytes of the state_dict's tensors after deflate, in raw streams of 1 MiB input each.

    zlib's run-length strategy (Z_RLE): weights repeat nothing but runs of zeros. On normal weights pruned by 0 to
    90 % it comes within 4 % of level 9 and is under level 1, at three times the speed of level 1.
    """
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:  # zlib lets go of the interpreter's lock
        return sum(pool.map(_deflated, _chunks(model)))


class _ByteCounter:
    """A file that keeps the number of the bytes that it is given, and nothing else."""

    def __init__(self) -> None:
        self.bytes = 0

    def write(self, data: Any) -> int:
        size = memoryview(data).nbytes
        self.bytes += size
        return size

    def flush(self) -> None:
        """Do nothing: nothing is held."""


def _deflated(chunk: npt.NDArray[np.uint8]) -> int:
    stream = zlib.compressobj(level=1, wbits=-zlib.MAX_WBITS, memLevel=9, strategy=zlib.Z_RLE)
    return len(stream.compress(chunk.data)) + len(stream.flush())


def _chunks(model: nn.Module) -> Iterator[npt.NDArray[np.uint8]]:
    for tensor in stored_tensors(model):
        plain = tensor.int_repr() if tensor.is_quantized else tensor
        content = plain.detach().contiguous().view(-1).view(torch.uint8).numpy()
        yield from (content[start : start + CHUNK_BYTES] for start in range(0, len(content), CHUNK_BYTES))


def stored_tensors(model: nn.Module) -> Iterator[Tensor]:
    """Yield the tensors of the state_dict; a quantized layer's entry is a pair of its qint8 weight and its bias."""
    for entry in model.state_dict().values():
        values = entry if isinstance(entry, tuple) else (entry,)
        yield from (value for value in values if isinstance(value, Tensor))
