"""A graph of an ONNX file: its operators, its weights, and the shape and the type of every value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
RENAMING = ("Identity", "Transpose", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Expand")
CONVERTING = ("QuantizeLinear", "DequantizeLinear", "Cast")
# By operator, the inputs that are scales and zero points.
SCALES: Mapping[str, Sequence[int]] = {
    "QuantizeLinear": (1, 2),
    "DequantizeLinear": (1, 2),
    "ConvInteger": (2, 3),
    "MatMulInteger": (2, 3),
    "QLinearConv": (1, 2, 4, 5, 6, 7),
    "QLinearMatMul": (1, 2, 4, 5, 6, 7),
    "QGemm": (1, 2, 4, 5, 7, 8),
    "MatMulIntegerToFloat": (2, 3, 4, 5),
    "DynamicQuantizeMatMul": (2, 3),
    "MatMulNBits": (2, 3),
    "QAttention": (3, 4, 6, 7),
    "DynamicQuantizeLSTM": (8, 9, 10, 11),
}
QUANTIZED_ELEMENTWISE = "QLinear"  # prefix of more operators of ONNX Runtime, whose small inputs are all scales
ZERO_POINTS = {  # by operator, the int8 weight and its zero point
    "DequantizeLinear": (0, 2),
    "ConvInteger": (1, 3),
    "MatMulInteger": (1, 3),
    "QLinearConv": (3, 5),
    "QLinearMatMul": (3, 5),
    "QGemm": (3, 5),
    "MatMulIntegerToFloat": (1, 5),
    "DynamicQuantizeMatMul": (1, 3),
    "QAttention": (1, 7),
}
BIASES = {"QLinearConv": 8, "QGemm": 6, "DequantizeLinear": 0}  # by operator, a bias of integers
INTEGERS = "iu"  # kinds of NumPy's types
OTHER_TYPES = "V"  # of ml_dtypes: bfloat16, int4, float8
FP32_BITS = 32


class Value(NamedTuple):
    """The shape of a value, and the bits of one of its elements."""

    shape: tuple[int, ...]
    bits: int


@dataclass(frozen=True)
class Graph:
    """A graph: its operators, its constant tensors, and the values whose shape is known, by name."""

    nodes: Sequence[Any]
    arrays: Mapping[str, Array]
    values: Mapping[str, Value]
    producers: Mapping[str, Any]

    @classmethod
    def of(cls, nodes: Sequence[Any], arrays: Mapping[str, Array], values: Mapping[str, Value]) -> Graph:
        """Return the graph of these operators, with the constants among them as tensors."""
        from onnx.numpy_helper import to_array

        constants = {
            node.output[0]: to_array(attribute.t)
            for node in nodes
            if node.op_type == "Constant"
            for attribute in node.attribute
            if attribute.name == "value"
        }
        return cls(
            [node for node in nodes if node.op_type != "Constant"],
            {**constants, **arrays},
            values,
            {output: node for node in nodes for output in node.output if node.op_type != "Constant"},
        )

    def weights(self) -> dict[str, Array]:
        """Return the learned values by name: no shapes, indices, single numbers, scales or zero points."""
        left_out = {name for node in self.nodes for name in self._scales(node)}
        biases = {
            node.input[BIASES[node.op_type]]
            for node in self.nodes
            if node.op_type in BIASES and len(node.input) > BIASES[node.op_type]
        }
        used = {name for node in self.nodes for name in node.input}
        return {
            name: array
            for name, array in self.arrays.items()
            if name in used - left_out and array.ndim and _is_learned(array, is_bias=name in biases)
        }

    def count_nonzero(self, name: str) -> int:
        """Return the number of values of a tensor that are not 0; int8 ones are 0 at their zero point."""
        array = self.arrays[name]
        if array.dtype.kind not in INTEGERS:
            return int(np.count_nonzero(array))
        return int(np.count_nonzero(array != self._zero_point(name)))

    def origin(self, name: str) -> str:
        """Return the value from which `name` comes by renaming, reshaping and converting only."""
        return self._back(name, (*RENAMING, *CONVERTING))

    def bits(self, name: str) -> int:
        """Return the bits of an operand: those of the values that it is dequantized from, else of its own type."""
        source = self._back(name, RENAMING)
        node = self.producers.get(source)
        if node is not None and node.op_type == "DequantizeLinear":
            source = node.input[0]
        if source in self.arrays:
            return bits_of(self.arrays[source])
        return self.values[source].bits if source in self.values else FP32_BITS

    def shape(self, name: str) -> tuple[int, ...] | None:
        """Return the shape of a value, None if unknown."""
        if name in self.arrays:
            return self.arrays[name].shape
        return self.values[name].shape if name in self.values else None

    def _back(self, name: str, through: Sequence[str]) -> str:
        while name not in self.arrays and name in self.producers and self.producers[name].op_type in through:
            name = self.producers[name].input[0]
        return name

    def _scales(self, node: Any) -> list[str]:
        if node.op_type in SCALES:
            return [node.input[index] for index in SCALES[node.op_type] if index < len(node.input)]
        if node.op_type.startswith(QUANTIZED_ELEMENTWISE):
            return [name for name in node.input if name in self.arrays and self.arrays[name].size == 1]
        return []

    def _zero_point(self, weight: str) -> Any:
        """Return the zero point of an int8 weight, in a shape that fits the weight; 0 if it has none."""
        array = self.arrays[weight]
        for node in self.nodes:
            place, zero = ZERO_POINTS.get(node.op_type, (0, len(node.input)))
            if len(node.input) > zero and node.input[place] == weight and node.input[zero] in self.arrays:
                point = self.arrays[node.input[zero]]
                if point.size == 1:
                    return point.reshape(())
                axis = next((axis for axis in range(array.ndim) if array.shape[axis] == point.size), 0)
                return point.reshape([-1 if axis == other else 1 for other in range(array.ndim)])
        return 0


def _is_learned(array: Array, *, is_bias: bool) -> bool:
    if array.dtype.kind in "fc" + OTHER_TYPES:
        return True
    return array.dtype.kind in INTEGERS and array.dtype.itemsize < 8 and (is_bias or array.ndim > 1)


def bits_of(array: Array) -> int:
    """Return the bits of a value of a tensor; types below a byte have their bits in their names."""
    name = array.dtype.name
    return int(name.removeprefix("uint").removeprefix("int")) if name.endswith("int4") else array.itemsize * 8
