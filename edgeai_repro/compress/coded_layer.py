"""Deep Compression's code of one layer (Han, Mao & Dally 2016, arXiv 1510.00149). NumPy only.

The weights that are not 0 become the nearest of 2^bits - 1 shared values, found by k-means that starts from equally
spaced values ("linear initialization", section 3.2). Positions are distances to the previous kept weight in
`index_bits` bits; a longer gap gets filler zeros (section 2, Figure 2), for which code 0 is reserved. Both streams
are then Huffman-coded (section 4).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgeai_repro.compress import huffman
from edgeai_repro.errors import UserError

Floats = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]
HEADER = struct.Struct("<QQBB")  # weights of the layer, symbols of each stream, bits of a code, bits of an index
ITERATIONS = 20  # of Lloyd's algorithm; a fixed number, so that a network has the same code everywhere


@dataclass(frozen=True)
class LayerCoding:
    """How a layer is coded: the share of its weights that is kept, bits of a shared value's code and of a gap."""

    density: float
    bits: int
    index_bits: int

    def __post_init__(self) -> None:
        """Raise UserError for a density outside of (0, 1] and for bits that do not fit into a byte."""
        if not 0 < self.density <= 1:
            raise UserError(f"'density' must be a share in (0, 1] (got {self.density!r}); 0.1 keeps a tenth")
        for name, bits in (("bits", self.bits), ("index_bits", self.index_bits)):
            if not 1 <= bits <= 8:
                raise UserError(f"{name!r} must be from 1 to 8 (got {bits!r}); the paper uses 5 and 8")


@dataclass(frozen=True)
class CodedLayer:
    """A layer as two streams of symbols: `codes`, with 0 for a filler, and `gaps`, distances less one.

    `values` are the shared values of the codes 1, 2, …; `size` is the number of weights of the layer.
    """

    size: int
    coding: LayerCoding
    values: Floats
    codes: Bytes
    gaps: Bytes

    @property
    def quantized_bytes(self) -> int:
        """The bytes before Huffman coding: a header, the shared values, and the symbols at their full bits."""
        bits = len(self.codes) * (self.coding.bits + self.coding.index_bits)
        return HEADER.size + self.values.nbytes + -(-bits // 8)

    @property
    def huffman_bytes(self) -> int:
        """The bytes of `to_bytes`, without writing them."""
        return HEADER.size + self.values.nbytes + sum(len(lengths) + size for lengths, size in self._streams())

    def _streams(self) -> list[tuple[huffman.Lengths, int]]:
        """Return the lengths of the codes and the bytes of each stream."""
        streams = []
        for symbols, bits in ((self.codes, self.coding.bits), (self.gaps, self.coding.index_bits)):
            counts = np.bincount(symbols, minlength=2**bits)
            lengths = huffman.code_lengths(counts)
            streams.append((lengths, huffman.stream_bytes(counts, lengths)))
        return streams

    def to_bytes(self) -> bytes:
        """Return the layer as bytes: header, shared values, and for each stream its code lengths and its codes."""
        header = HEADER.pack(self.size, len(self.codes), self.coding.bits, self.coding.index_bits)
        (code_lengths, _), (gap_lengths, _) = self._streams()
        codes, gaps = huffman.encode(self.codes, code_lengths), huffman.encode(self.gaps, gap_lengths)
        return b"".join((header, self.values.tobytes(), code_lengths.tobytes(), codes, gap_lengths.tobytes(), gaps))


def encode(weights: Floats, coding: LayerCoding) -> CodedLayer:
    """Return the weights that are not 0, flat and in fp32, as a coded layer."""
    positions = np.flatnonzero(weights)
    kept = weights[positions]
    values = shared_values(kept, 2**coding.bits - 1)
    codes, gaps = _relative(positions, _nearest(kept, values) + 1, 2**coding.index_bits)
    return CodedLayer(len(weights), coding, values, codes, gaps)


def decode(stream: bytes) -> Floats:
    """Return the weights of `CodedLayer.to_bytes`, flat and in fp32."""
    size, symbols, bits, index_bits = HEADER.unpack_from(stream)
    start = HEADER.size + 4 * (2**bits - 1)
    values = np.frombuffer(stream[HEADER.size : start], np.float32)
    streams = []
    for width in (bits, index_bits):
        lengths = np.frombuffer(stream[start : start + 2**width], np.uint8)
        start += 2**width
        streams.append(huffman.decode(stream[start:], lengths, symbols))
        start += huffman.stream_bytes(np.bincount(streams[-1], minlength=2**width), lengths)
    return _weights(size, values, *streams)


def decoded(layer: CodedLayer) -> Floats:
    """Return the weights that a decoder gets from a coded layer, flat and in fp32."""
    return _weights(layer.size, layer.values, layer.codes, layer.gaps)


def shared_values(kept: Floats, number: int) -> Floats:
    """Return `number` shared values of the kept weights by k-means with linear initialization, in ascending order.

    In one dimension the clusters of sorted weights are ranges, so prefix sums make a step of Lloyd's algorithm
    exact and independent of the number of weights. A value that no weight is nearest to stays where it is.
    """
    if not len(kept):
        return np.zeros(number, np.float32)
    ordered = np.sort(kept).astype(np.float64)
    sums = np.concatenate(([0.0], np.cumsum(ordered)))
    values = np.linspace(ordered[0], ordered[-1], number)
    for _ in range(ITERATIONS):
        ends = np.searchsorted(ordered, (values[1:] + values[:-1]) / 2)
        edges = np.concatenate(([0], ends, [len(ordered)]))
        sizes = np.diff(edges)
        means = np.diff(sums[edges]) / np.maximum(sizes, 1)
        values = np.where(sizes > 0, means, values)
    return values.astype(np.float32)


def _nearest(kept: Floats, values: Floats) -> npt.NDArray[np.int64]:
    return np.searchsorted((values[1:] + values[:-1]) / 2, kept)


def _relative(positions: npt.NDArray[np.int64], codes: npt.NDArray[np.int64], reach: int) -> tuple[Bytes, Bytes]:
    """Return the streams of codes and gaps, with a filler wherever a gap exceeds `reach` positions."""
    gaps = np.diff(positions, prepend=-1) - 1
    fillers = gaps // reach
    places = np.cumsum(fillers + 1) - 1  # of each kept weight among all symbols
    length = int(places[-1]) + 1 if len(places) else 0
    all_codes, all_gaps = np.zeros(length, np.uint8), np.full(length, reach - 1, np.uint8)
    all_codes[places], all_gaps[places] = codes, gaps % reach
    return all_codes, all_gaps


def _weights(size: int, values: Floats, codes: Bytes, gaps: Bytes) -> Floats:
    weights = np.zeros(size, np.float32)
    positions = np.cumsum(gaps.astype(np.int64) + 1) - 1
    kept = codes > 0
    weights[positions[kept]] = values[codes[kept].astype(np.int64) - 1]
    return weights
