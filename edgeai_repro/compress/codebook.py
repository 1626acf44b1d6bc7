"""Deep Compression without its retraining (Han, Mao & Dally 2016, arXiv 1510.00149): prune, share values, code.

Of each convolution and Linear layer the largest weights are kept, the layer's `density`. Their values become the
nearest of 2^bits - 1 shared ones, found by k-means that starts from equally spaced values ("linear
initialization", section 3.2). Positions are distances to the previous kept weight in `index_bits` bits; a longer
gap gets filler zeros (section 2, Figure 2), for which code 0 is reserved. Both streams are then Huffman-coded
(section 4). All other values, biases for example, stay fp32.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from edgeai_repro.claims.coding_tables import CodingTable
from edgeai_repro.compress import huffman
from edgeai_repro.compress.unstructured import prune
from edgeai_repro.errors import UserError
from edgeai_repro.networks.convnext import clone_sharing_tensors

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


@dataclass(frozen=True)
class CodedSize:
    """The size of a coded network. All other values than the coded weights are fp32 and count in every size.

    `dense` are the bytes of all values in fp32; `quantized` and `huffman` are those of the code before and after
    Huffman coding. `weights` are those of the coded layers, `kept` those that are not 0, `symbols` these with the
    fillers.
    """

    dense: int
    quantized: int
    huffman: int
    weights: int
    kept: int
    symbols: int


CodingOf = Callable[[str, nn.Module], LayerCoding]


def uniform(density: float, conv_bits: int, linear_bits: int, index_bits: int) -> CodingOf:
    """Return one coding for all convolutions and one for all Linear layers."""
    conv, linear = LayerCoding(density, conv_bits, index_bits), LayerCoding(density, linear_bits, index_bits)
    return lambda _, layer: linear if isinstance(layer, nn.Linear) else conv


def from_table(model: nn.Module, table: CodingTable) -> CodingOf:
    """Return the coding of each layer from a paper's table, whose rows are the layers in the order of the modules.

    Raises UserError for another number of layers and for a layer of another size, naming the row.
    """
    layers = [name for name, module in model.named_modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    sizes = [model.get_parameter(f"{name}.weight").numel() for name in layers]
    if len(layers) != len(table.layers):
        raise UserError(
            f"'table' must have a row for each layer of the network, {len(layers)} (got {len(table.layers)}); "
            "give that of this network"
        )
    for row, size in zip(table.layers, sizes, strict=True):
        if row.weights != size:
            raise UserError(
                f"'table' must fit the network: {row.name} must have {size} weights (got {row.weights}); "
                "give that of this network"
            )
    rows = dict(zip(layers, table.layers, strict=True))
    return lambda name, _: LayerCoding(rows[name].kept / 100, rows[name].bits, rows[name].index_bits)


def coded_size(model: nn.Module) -> CodedSize:
    """Return the size of the code that a network of `compress` was decoded from."""
    size = model.coded_size
    assert isinstance(size, CodedSize)
    return size


def compress(model: nn.Module, coding_of: CodingOf) -> nn.Module:
    """Return a copy of `model` decoded from its code, whose size `coded_size` returns.

    `coding_of` gives the coding of each Conv2d and Linear layer from its name and itself. The copy shares all
    other tensors with `model`, which does not change. Raises UserError for a network without such layers.
    """
    copy = clone_sharing_tensors(model)
    layers = {
        name: module
        for name, module in copy.named_modules()
        if isinstance(module, nn.Conv2d | nn.Linear) and isinstance(module.weight, nn.Parameter)
    }
    if not layers:
        raise UserError("'codebook' must be given a network with convolutions or Linear layers (got none)")
    done: dict[int, nn.Parameter] = {}  # layers that share a weight go on sharing it, and it is coded once
    coded: list[CodedLayer] = []
    for name, layer in layers.items():
        original = id(layer.weight)
        if original not in done:
            coding = coding_of(name, layer)
            pruned = prune(layer, 1 - coding.density).get_parameter("weight").detach()
            coded.append(encode(pruned.flatten().numpy(), coding))
            weight = torch.from_numpy(decoded(coded[-1])).view(layer.weight.shape)
            done[original] = nn.Parameter(weight, layer.weight.requires_grad)
        layer.weight = done[original]
    values = sum(tensor.numel() for tensor in (*copy.parameters(), *copy.buffers()))
    weights = sum(layer.size for layer in coded)
    copy.coded_size = CodedSize(  # type: ignore[assignment]  # a plain attribute, which travels with the network
        dense=4 * values,
        quantized=4 * (values - weights) + sum(layer.quantized_bytes for layer in coded),
        huffman=4 * (values - weights) + sum(layer.huffman_bytes for layer in coded),
        weights=weights,
        kept=sum(int(np.count_nonzero(layer.codes)) for layer in coded),
        symbols=sum(len(layer.codes) for layer in coded),
    )
    return copy
