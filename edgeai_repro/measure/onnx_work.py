"""The work of an ONNX graph: the multiply-accumulates of its operators, and the bits of their operands.

The rules are our own (`onnx_rules.py`), because onnx-tool, the only library found that counts these files, leaves
out or gets wrong what `docs/onnx-counts.md` shows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

from edgeai_repro.measure.onnx_graph import FP32_BITS, Graph
from edgeai_repro.measure.onnx_rules import Call, Product, UnknownShapeError, rule_of


@dataclass(frozen=True)
class Work:
    """The work of a graph for its input.

    `activation_macs` are those of activations with each other, `fp32_macs` those of which both operands have 32
    bits. `uncounted` are operators without a rule, and `shapeless` those with an unknown shape; both by name,
    and may have more MACs. `operators` is the number of operators.
    """

    macs: int = 0
    nonzero_macs: int = 0
    activation_macs: int = 0
    fp32_macs: int = 0
    bit_operations: int = 0
    operators: int = 0
    uncounted: tuple[str, ...] = ()
    shapeless: tuple[str, ...] = ()

    def __add__(self, other: Work) -> Work:
        """Return the sum of both."""
        return Work(*(getattr(self, field.name) + getattr(other, field.name) for field in fields(self)))


def count_work(graph: Graph) -> Work:
    """Return the work of all operators of a graph."""
    return sum((_work_of(graph, node) for node in graph.nodes), Work())


def fp32_products(graph: Graph) -> list[tuple[str, int]]:
    """Return the type and the MACs of each operator that multiplies operands of 32 bits."""
    works = ((node.op_type, _work_of(graph, node).fp32_macs) for node in graph.nodes)
    return [(name, macs) for name, macs in works if macs]


def _work_of(graph: Graph, node: Any) -> Work:
    rule, name = rule_of(node.domain, node.op_type), f"{node.domain}::{node.op_type}".removeprefix("::")
    if rule is None:
        return Work(operators=1, uncounted=(name,))
    try:
        return sum((_work(graph, product) for product in rule(Call(graph, node))), Work(operators=1))
    except (
        UnknownShapeError,
        KeyError,
        IndexError,
        ValueError,
    ):  # a shape or an attribute that a rule doesn't know
        return Work(operators=1, shapeless=(name,))


def _work(graph: Graph, product: Product) -> Work:
    origins = graph.origin(product.second), graph.origin(product.first)
    weight = next((name for name in origins if name in graph.arrays), "")
    array = graph.arrays.get(weight)
    bits = product.first_bits or graph.bits(product.first), product.second_bits or graph.bits(product.second)
    packed = product.second_bits is not None  # several values in a byte: zeros can't be told
    nonzero = product.macs
    if array is not None and array.size and not packed:
        nonzero = round(product.macs * graph.count_nonzero(weight) / array.size)
    return Work(
        product.macs,
        nonzero,
        activation_macs=product.macs if array is None else 0,
        fp32_macs=product.macs if bits == (FP32_BITS, FP32_BITS) else 0,
        bit_operations=product.macs * bits[0] * bits[1],
    )


def names(operators: tuple[str, ...]) -> Iterator[str]:
    """Yield each operator once, with the number of its calls."""
    for name in sorted(set(operators)):
        yield f"{operators.count(name)} × {name}"
