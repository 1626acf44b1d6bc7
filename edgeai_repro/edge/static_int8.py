"""Static quantization of an ONNX file: int8 weights and activations, by ONNX Runtime's QDQ tool."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

from edgeai_repro.edge import export
from edgeai_repro.edge.images import Floats
from edgeai_repro.edge.runtime import optimized
from edgeai_repro.measure.onnx_reader import fix_input_shapes, read, to_graph
from edgeai_repro.measure.onnx_work import Work, count_work, fp32_products

PRODUCTS = ["Conv", "MatMul", "Gemm"]
RANDOM_IMAGES = 16  # to calibrate on if the user gives none


@dataclass(frozen=True)
class Calibration:
    """The images that ranges of activations are observed on: uint8 (n, 3, h, w), and what they are, in words."""

    images: NDArray[np.uint8]
    words: str


def random_calibration(side: int) -> Calibration:
    """Return random images of `side` pixels. Ranges on them are not those on photos, so accuracy may be lost."""
    pixels = np.random.default_rng(1).integers(0, 256, (RANDOM_IMAGES, 3, side, side), dtype=np.uint8)
    return Calibration(pixels, f"{RANDOM_IMAGES} random images")


def quantize(source: Path, target: Path, images: Floats) -> None:
    """Write the ONNX file `source` with int8 products to `target`, and a file of its weights.

    `images` are prepared inputs, float32 (n, 3, h, w). Convolutions and products with weights have int8 weights
    with one scale per output channel, and inputs and outputs with one scale per tensor, from the extremes on
    `images`. Products of activations with each other, as in attention, stay in fp32: in int8, ONNX Runtime 1.31
    gave logits of a two-layer ViT whose error was 20 times that of the same file without its optimizations.
    """
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        """The images, one at a time."""

        rest: Iterator[Floats] = iter(np.split(images, len(images)))

        def get_next(self) -> dict[str, Floats] | None:
            """Return the next image by the name of the input, None after the last."""
            image = next(self.rest, None)
            return None if image is None else {export.INPUT: image}

    model = onnx.shape_inference.infer_shapes(_with_own_biases(onnx.load(source)))
    onnx.helper.set_model_props(model, {"onnx.quant.pre_process": "onnxruntime.quant"})  # silences an advice
    with tempfile.TemporaryDirectory(dir=target.parent) as temporary:
        quantized = Path(temporary) / target.name
        quantize_static(
            model,
            quantized,
            Reader(),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=PRODUCTS,
            nodes_to_exclude=_products_of_activations(model),
            per_channel=True,
            weight_type=QuantType.QInt8,
            activation_type=QuantType.QUInt8,
        )
        export.save(onnx.load(quantized), target)


def _with_own_biases(model: onnx.ModelProto) -> onnx.ModelProto:
    """Give every layer its own tensor where torch's exporter stored equal ones once, with `Identity` nodes.

    ONNX Runtime quantizes no bias behind such a node, and then computes the layer in fp32: 45 of the 63
    convolutions of MobileNetV3-Large with random weights (ONNX Runtime 1.31).
    """
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in [node for node in model.graph.node if node.op_type == "Identity" and node.input[0] in stored]:
        copy = onnx.TensorProto()
        copy.CopyFrom(stored[node.input[0]])
        copy.name = node.output[0]
        model.graph.initializer.append(copy)
        model.graph.node.remove(node)
    return model


def _products_of_activations(model: onnx.ModelProto) -> list[str]:
    """Return the names of the matrix products without weights."""
    weights = {tensor.name for tensor in model.graph.initializer}
    return [node.name for node in model.graph.node if node.op_type == "MatMul" and not weights & set(node.input)]


def work(path: Path) -> tuple[Work, list[tuple[str, int]]]:
    """Return the work of a file as ONNX Runtime optimizes it, and the name and the MACs of each fp32 product."""
    temporary = path.with_name(f".optimized-{path.name}")  # next to the weights that it refers to
    try:
        model = read(optimized(path, temporary))
    finally:
        temporary.unlink(missing_ok=True)
    fix_input_shapes(model.graph)
    graph = to_graph(model)
    return count_work(graph), fp32_products(graph)


def in_words(products: list[tuple[str, int]]) -> tuple[str, ...]:
    """Return each kind of operator once, with its number, the most frequent first."""
    return tuple(f"{number} × {name}" for name, number in Counter(name for name, _ in products).most_common())
