"""Canonical Huffman codes of streams of small symbols (Huffman 1952), for one stream at a time. NumPy only."""

from __future__ import annotations

import heapq
from itertools import count

import numpy as np
import numpy.typing as npt

Symbols = npt.NDArray[np.uint8]
Lengths = npt.NDArray[np.uint8]  # bits of each symbol's code; 0 for a symbol that does not occur


def code_lengths(counts: npt.NDArray[np.int64]) -> Lengths:
    """Return the bits of each symbol's code, from how often it occurs; one symbol alone takes one bit."""
    lengths = np.zeros(len(counts), np.uint8)
    order = count()  # among equal counts the earlier node comes first, so that codes are the same everywhere
    heap = [(int(times), next(order), [symbol]) for symbol, times in enumerate(counts) if times]
    if len(heap) == 1:
        lengths[heap[0][2]] = 1
    heapq.heapify(heap)
    while len(heap) > 1:
        (rarest, _, symbols), (rare, _, others) = heapq.heappop(heap), heapq.heappop(heap)
        lengths[symbols + others] += 1
        heapq.heappush(heap, (rarest + rare, next(order), symbols + others))
    return lengths


def stream_bytes(counts: npt.NDArray[np.int64], lengths: Lengths) -> int:
    """Return the bytes of a stream in which the symbols occur `counts` times."""
    return -(-int(counts @ lengths.astype(np.int64)) // 8)


def encode(symbols: Symbols, lengths: Lengths) -> bytes:
    """Return the codes of the symbols, one after the other, the last byte filled with zeros."""
    codes, bits = _codes(lengths), lengths.astype(np.int64)[symbols]
    if not len(symbols):
        return b""
    # The position of each bit in its code, from the highest: bits-1 … 0.
    ends = np.cumsum(bits)
    shift = np.repeat(ends, bits) - 1 - np.arange(ends[-1])
    return np.packbits((np.repeat(codes[symbols], bits) >> shift.astype(np.uint64)) & 1).tobytes()


def decode(stream: bytes, lengths: Lengths, length: int) -> Symbols:
    """Return the first `length` symbols of a stream of `encode`. Raises ValueError if it ends before."""
    symbols = {(int(bits), int(code)): symbol for symbol, (bits, code) in _table(lengths).items()}
    decoded: list[int] = []
    code = bits = 0
    stream_bits = iter(np.unpackbits(np.frombuffer(stream, np.uint8)).tolist())
    while len(decoded) < length:
        bit = next(stream_bits, None)
        if bit is None:
            raise ValueError(f"the stream must hold {length} symbols (got {len(decoded)})")
        code, bits = 2 * code + bit, bits + 1
        if (bits, code) in symbols:
            decoded.append(symbols[bits, code])
            code = bits = 0
    return np.array(decoded, np.uint8)


def _codes(lengths: Lengths) -> npt.NDArray[np.uint64]:
    codes = np.zeros(len(lengths), np.uint64)
    for symbol, (_, code) in _table(lengths).items():
        codes[symbol] = code
    return codes


def _table(lengths: Lengths) -> dict[int, tuple[int, int]]:
    """Return the length and the code of each symbol: in order of length, then of the symbol, counting up."""
    table, code, before = {}, 0, 0
    for symbol in np.argsort(lengths, kind="stable").tolist():
        bits = int(lengths[symbol])
        if bits:
            code <<= bits - before
            table[symbol] = (bits, code)
            code, before = code + 1, bits
    return table
