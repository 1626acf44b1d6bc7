"""The rules of operators that compute several products: attention, recurrent and bilinear layers."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

import torch
from torch import Tensor

from edgeai_repro.measure.counting.products import Call, PackedProduct, Product, rows


def recurrent_layer(call: Call) -> Iterator[Product]:
    """Yield the products of a layer in one direction: the input and the state are multiplied at each step."""
    features = call.arguments["input"]
    for name in ("weight0", "weight1"):  # of the input and of the state; the others are biases
        weight = call.arguments[name]
        yield Product("matrix", weight.numel() * rows(features), features, weight)


def recurrent_network(call: Call) -> Iterator[Product | PackedProduct]:
    """Yield the products of all layers of an LSTM, GRU or RNN: each matrix is used at every step."""
    features = call.first_of("input", "data")
    for weight in call.first_of("weight", "params"):
        if isinstance(weight, torch.ScriptObject):
            yield PackedProduct("matrix", rows(features), features, weight)
        elif weight.ndim == 2:
            yield Product("matrix", weight.numel() * rows(features), features, weight)


def _attention(query: Tensor, key: Tensor, value: Tensor) -> Iterator[Product]:
    """Yield queries × keys and the result × values, for shapes (…, heads, tokens, width). Masks don't matter.

    Several heads of queries may share a head of keys and values.
    """
    scores = query.numel() // query.shape[-1] * key.shape[-2]
    yield Product("attention", scores * query.shape[-1], query, key)
    yield Product("attention", scores * value.shape[-1], key, value)


def scaled_dot_product(call: Call) -> Iterator[Product]:
    """Yield the two products of an attention operator."""
    yield from _attention(*(call.first_of(name, name[0]) for name in ("query", "key", "value")))


def attention_by_torch(call: Call) -> Iterator[Product]:
    """Yield the products of an operator that takes several sequences as one; torch has the formula."""
    from torch.utils.flop_counter import flop_registry

    name = "_flash_attention_forward" if "cum_seq_q" in call.arguments else "_efficient_attention_forward"
    flops = flop_registry[getattr(torch.ops.aten, name)](**call.arguments, out_val=call.output)
    yield Product("attention", flops // 2, call.arguments["query"], call.arguments["key"])


def self_attention(call: Call) -> Iterator[Product]:
    """Yield the products of the fused nn.MultiheadAttention: projections, attention, output projection."""
    query = call.first_of("query", "src")
    key = call.arguments.get("key", query)
    width, weight = call.arguments["embed_dim"], call.arguments["qkv_weight"]
    queries, keys = _lengths(query), _lengths(key)
    yield Product("matrix", weight.numel() // 3 * (sum(queries) + 2 * sum(keys)), query, weight)
    scores = sum(rows * columns for rows, columns in zip(queries, keys, strict=True))
    yield Product("attention", 2 * scores * width, query, key)
    projection = call.arguments["proj_weight"]
    yield Product("matrix", projection.numel() * sum(queries), query, projection)


def encoder_layer(call: Call) -> Iterator[Product]:
    """Yield the products of the fused nn.TransformerEncoderLayer: attention and two linear layers."""
    yield from self_attention(call)
    features = call.arguments["src"]
    for name in ("ffn_weight_1", "ffn_weight_2"):
        weight = call.arguments[name]
        yield Product("matrix", weight.numel() * sum(_lengths(features)), features, weight)


def _lengths(batch: Tensor) -> list[int]:
    """Return the number of tokens of each sequence in a batch, (N, tokens, width) or nested."""
    if batch.is_nested:
        return [int(shape[0]) for shape in batch._nested_tensor_size()]
    return [batch.shape[1]] * batch.shape[0]


def trilinear(call: Call) -> Iterator[Product]:
    """Yield the products of nn.Bilinear in torch's order: i1 × i2 first, then the sums of them × i3."""
    operands = [call.arguments[name] for name in ("i1", "i2", "i3")]
    missing = [set(call.arguments[f"expand{number}"]) for number in (1, 2, 3)]
    axes = range(operands[0].ndim + len(missing[0]))
    sizes = dict.fromkeys(axes, 1)
    for operand, absent in zip(operands, missing, strict=True):
        sizes |= dict(zip((axis for axis in axes if axis not in absent), operand.shape, strict=True))
    both = [axis for axis in axes if axis not in missing[0] & missing[1]]
    summed = set(call.arguments["sumdim"]) & missing[2]  # before i3 is multiplied
    last = [axis for axis in axes if axis not in summed and not (axis not in both and axis in missing[2])]
    yield Product("matrix", prod(sizes[axis] for axis in both), operands[0], operands[1])
    yield Product("matrix", prod(sizes[axis] for axis in last), operands[0], operands[2])
