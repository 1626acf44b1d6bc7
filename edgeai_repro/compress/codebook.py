"""Deep Compression without its retraining (Han, Mao & Dally 2016, arXiv 1510.00149), for a whole network.

Of each convolution and Linear layer the largest weights are kept, the layer's `density`, and coded as
`coded_layer.py` describes. All other values, biases for example, stay fp32.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from edgeai_repro.claims.coding_tables import CodingTable
from edgeai_repro.compress.coded_layer import CodedLayer, LayerCoding, decoded, encode
from edgeai_repro.compress.unstructured import prune
from edgeai_repro.errors import UserError
from edgeai_repro.networks.convnext import clone_sharing_tensors


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
