"""What ONNX operators multiply, by the documents of ONNX 1.23 and of ONNX Runtime 1.31 (domain com.microsoft).

An operator is in one of three states: it has a rule, it is known not to multiply and accumulate, or it is unknown.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from edgeai_repro.measure.onnx_graph import Graph

Shape = tuple[int, ...]
INT8 = 8
# Operators of ONNX itself that multiply or may, and have no rule. All others that have none don't multiply.
UNCOUNTED = frozenset(
    """
    AffineGrid CausalConvWithState DFT Det If LinearAttention Loop STFT Scan SequenceMap
    """.split()  # noqa: SIM905
)
# Operators of ONNX Runtime that don't multiply and accumulate. All others that have no rule are unknown.
WITHOUT_PRODUCTS = frozenset(
    """
    BiasAdd BiasDropout BiasGelu BiasSoftmax BiasSplitGelu BitmaskDropout BranchwiseRMSNorm CropAndResize
    DequantizeLinear EmbedLayerNormalization ExpandDims FastGelu GatedAdd GatedRMSNorm GatherBlockQuantized GatherND
    Gelu GemmaRotaryEmbedding GridSample GroupNorm IsAllFinite MRotaryEmbedding MaxpoolWithMask MulInteger
    NhwcMaxPool Pad QEmbedLayerNormalization QLinearAdd QLinearAveragePool QLinearConcat QLinearGlobalAveragePool
    QLinearLeakyRelu QLinearMul QLinearReduceMean QLinearSigmoid QLinearSoftmax QLinearWhere QuantizeLinear
    QuickGelu Range ReduceSumInteger RemovePadding RestorePadding RotaryEmbedding ScaledSiLU SkipGroupNorm
    SkipLayerNormalization SkipSimplifiedLayerNormalization TorchEmbedding Trilu Unique
    """.split()  # noqa: SIM905
)


class Product(NamedTuple):
    """`macs` multiply-accumulates of two values of the graph; their bits, if they aren't those of the values."""

    macs: int
    first: str
    second: str
    first_bits: int | None = None
    second_bits: int | None = None


class UnknownShapeError(Exception):
    """The shape of an input or an output isn't known."""


class Call:
    """An operator of a graph: the names and the shapes of its inputs, and its attributes."""

    def __init__(self, graph: Graph, node: Any) -> None:
        from onnx.helper import get_attribute_value

        self._graph = graph
        self.inputs: list[str] = list(node.input)
        self._output = node.output[0]
        self.attributes: Mapping[str, Any] = {one.name: get_attribute_value(one) for one in node.attribute}

    def has(self, index: int) -> bool:
        """Return whether an optional input is given."""
        return index < len(self.inputs) and bool(self.inputs[index])

    def shape(self, index: int) -> Shape:
        """Return the shape of an input. Raises UnknownShapeError."""
        return self._known(self.inputs[index])

    @property
    def output(self) -> Shape:
        """The shape of the first output. Raises UnknownShapeError."""
        return self._known(self._output)

    def product(self, macs: int, first: int, second: int, *bits: int | None) -> Product:
        """Return the product of two inputs."""
        return Product(macs, self.inputs[first], self.inputs[second], *bits)

    def _known(self, name: str) -> Shape:
        shape = self._graph.shape(name)
        if shape is None:
            raise UnknownShapeError
        return shape


Rule = Callable[[Call], Iterable[Product]]


def rule_of(domain: str, operator: str) -> Rule | None:
    """Return the rule of an operator, None if it is unknown. Operators that don't multiply have an empty rule."""
    if domain in ("", "ai.onnx"):
        known = RULES.get(operator)
        return known or (None if operator in UNCOUNTED else _nothing)
    if domain == "com.microsoft":
        return RUNTIME_RULES.get(operator) or (_nothing if operator in WITHOUT_PRODUCTS else RULES.get(operator))
    return None


def _nothing(call: Call) -> Iterable[Product]:
    return ()


def _convolution(features: int = 0, weight: int = 1) -> Rule:
    """Return the rule of a convolution with filters of the shape (out, in / groups, …)."""

    def rule(call: Call) -> Iterator[Product]:
        yield call.product(math.prod(call.output) * math.prod(call.shape(weight)[1:]), features, weight)

    return rule


def _transposed_convolution(call: Call) -> Iterator[Product]:
    yield call.product(math.prod(call.shape(0)) * math.prod(call.shape(1)[1:]), 0, 1)


def _matrix(first: int = 0, second: int = 1, *, bits: int | None = None) -> Rule:
    """Return the rule of a matrix product; `bits` are those of the first operand if it is quantized on the way."""

    def rule(call: Call) -> Iterator[Product]:
        axis = -2 if call.attributes.get("transA") and len(call.shape(first)) > 1 else -1
        yield call.product(math.prod(call.output) * call.shape(first)[axis], first, second, bits)

    return rule


def _packed_matrix(call: Call) -> Iterator[Product]:
    """Yield the product with a weight that is packed in few bits; the attributes have its size."""
    bits = int(call.attributes.get("bits", 4))
    yield call.product(math.prod(call.shape(0)) * int(call.attributes["N"]), 0, 1, None, bits)


def _einsum(call: Call) -> Iterator[Product]:
    """Yield the product of two operands: every combination of the indices is one multiplication."""
    equation = call.attributes["equation"].decode().replace(" ", "")
    terms = equation.partition("->")[0].split(",")
    if len(terms) != 2 or "." in equation:
        raise UnknownShapeError
    sizes = {
        index: size
        for number, term in enumerate(terms)
        for index, size in zip(term, call.shape(number), strict=True)
    }
    yield call.product(math.prod(sizes.values()), 0, 1)


def _recurrent(bits: int | None = None) -> Rule:
    """Return the rule of an LSTM, a GRU or an RNN: the input and the state by their weights, at each step."""

    def rule(call: Call) -> Iterator[Product]:
        steps, batch, _ = call.shape(0)
        for weight in (1, 2):
            yield call.product(steps * batch * math.prod(call.shape(weight)), 0, weight, bits)

    return rule


def _attention(call: Call) -> Iterator[Product]:
    """Yield the two products of ONNX's Attention: queries by keys, and the result by values."""
    query, key, value = (call.shape(index) for index in range(3))
    past = call.shape(4)[2] if call.has(4) else 0
    if len(query) == 3:
        heads, key_heads = int(call.attributes["q_num_heads"]), int(call.attributes["kv_num_heads"])
        pairs, widths = query[0] * query[1] * (key[1] + past), (query[2], heads * value[2] // key_heads)
    else:
        pairs, widths = query[0] * query[2] * (key[2] + past), (query[1] * query[3], query[1] * value[3])
    yield call.product(pairs * widths[0], 0, 1)
    yield call.product(pairs * widths[1], 0, 2)


def _attention_with_projection(past_input: int, bits: int | None = None) -> Rule:
    """Return the rule of ONNX Runtime's Attention: one projection to queries, keys and values, and two products."""

    def rule(call: Call) -> Iterator[Product]:
        batch, tokens, _ = call.shape(0)
        columns = call.shape(1)[-1]
        widths = call.attributes.get("qkv_hidden_sizes") or [columns // 3] * 3
        past = call.shape(past_input)[3] if call.has(past_input) else 0
        yield call.product(batch * tokens * math.prod(call.shape(1)), 0, 1)
        for width in (widths[0], widths[2]):
            # Both operands are made inside the operator, as floats.
            yield Product(batch * tokens * (tokens + past) * int(width), call.inputs[0], "", 32, 32)

    return rule


def _multi_head_attention(call: Call) -> Iterator[Product]:
    query = call.shape(0)
    if len(query) == 5:  # packed: (batch, tokens, heads, 3, width of a head)
        pairs, width = query[0] * query[1] ** 2, query[2] * query[4]
        yield call.product(2 * pairs * width, 0, 0)
        return
    key, heads = call.shape(1), int(call.attributes["num_heads"])
    tokens = key[1] if len(key) == 3 else key[2] if len(key) == 4 else key[1]
    tokens += call.shape(6)[2] if call.has(6) else 0
    yield call.product(query[0] * query[1] * tokens * query[2], 0, 1)
    value = call.shape(2) if call.has(2) else key
    width = value[2] if len(value) == 3 else heads * value[-1]
    yield call.product(query[0] * query[1] * tokens * width, 0, 2 if call.has(2) else 1)


def _grouped_query_attention(call: Call) -> Iterator[Product]:
    batch, tokens, width = call.shape(0)
    heads, groups = int(call.attributes["num_heads"]), int(call.attributes["kv_num_heads"])
    if not call.has(1):  # queries, keys and values in one input
        width = width * heads // (heads + 2 * groups)
    past = call.shape(3)[2] if call.has(3) else 0
    for operand in (1, 2):
        yield call.product(batch * tokens * (tokens + past) * width, 0, operand if call.has(operand) else 0)


RULES: Mapping[str, Rule] = {
    "Attention": _attention,
    "Conv": _convolution(),
    "ConvInteger": _convolution(),
    "ConvTranspose": _transposed_convolution,
    "DeformConv": _convolution(),
    "Einsum": _einsum,
    "GRU": _recurrent(),
    "Gemm": _matrix(),
    "LSTM": _recurrent(),
    "MatMul": _matrix(),
    "MatMulInteger": _matrix(),
    "QLinearConv": _convolution(0, 3),
    "QLinearMatMul": _matrix(0, 3),
    "RNN": _recurrent(),
}
RUNTIME_RULES: Mapping[str, Rule] = {
    "Attention": _attention_with_projection(4),
    "DynamicQuantizeLSTM": _recurrent(INT8),
    "DynamicQuantizeMatMul": _matrix(bits=INT8),
    "FusedConv": _convolution(),
    "FusedGemm": _matrix(),
    "FusedMatMul": _matrix(),
    "GemmFastGelu": _matrix(),
    "GroupQueryAttention": _grouped_query_attention,
    "MatMulBnb4": _packed_matrix,
    "MatMulFpQ4": _packed_matrix,
    "MatMulIntegerToFloat": _matrix(),
    "MatMulNBits": _packed_matrix,
    "MultiHeadAttention": _multi_head_attention,
    "NhwcFusedConv": _convolution(),
    "QAttention": _attention_with_projection(8),
    "QGemm": _matrix(0, 3),
    "TransposeMatMul": _matrix(),
}
