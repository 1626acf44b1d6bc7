"""Graphs and weights for ONNX files of a few operators."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper


def graph_of(nodes: list[Any], arrays: dict[str, Any], *, sides: Sequence[Any], out: Sequence[Any]) -> Any:
    """Return a graph of these operators, from `image` to `answer`."""
    return helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, sides)],
        [helper.make_tensor_value_info("answer", TensorProto.FLOAT, out)],
        [numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )


def floats(*shape: int) -> Any:
    """Return random fp32 weights."""
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)
