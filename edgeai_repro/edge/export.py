"""A torch model as an ONNX file: in fp32, and with int8 weights by ONNX Runtime's dynamic quantization."""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path

import torch
from torch import nn

INPUT, OUTPUT = "image", "logits"
# The first opset with LayerNormalization. From 20 on the exporter writes Gelu as one node, which gains nothing: the
# runtime fuses the pieces all the same (ConvNeXt-Small, ONNX Runtime 1.31, one Zen 5 core: equal to the noise).
OPSET = 17


def export(model: nn.Module, path: Path, *, resolution: int = 32) -> None:
    """Write a model for one image, float32 (1, 3, resolution, resolution), as an ONNX file with a tidied graph."""
    from onnxruntime.quantization.shape_inference import quant_pre_process

    image = torch.zeros(1, 3, resolution, resolution)
    with tempfile.TemporaryDirectory(dir=path.parent) as aside, torch.no_grad():
        raw = Path(aside) / path.name
        with warnings.catch_warnings():
            # torch 2.9 and later say so of the exporter that needs no package beside torch.
            warnings.filterwarnings("ignore", ".*legacy TorchScript-based ONNX export", DeprecationWarning)
            warnings.filterwarnings("ignore", "The feature will be removed", DeprecationWarning)
            torch.onnx.export(
                model.eval(),
                (image,),
                raw,
                dynamo=False,
                opset_version=OPSET,
                input_names=[INPUT],
                output_names=[OUTPUT],
            )
        # Folds what is constant and drops nodes that do nothing: 214 of ConvNeXt-Small's 1,000.
        quant_pre_process(raw, path, skip_symbolic_shape=True)


def quantize(source: Path, target: Path) -> None:
    """Write an ONNX file with int8 weights in its matrix products, one scale an output channel.

    Activations are quantized as they come, one scale a tensor, as in torch's dynamic quantization.
    """
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    graph = onnx.load(source)
    del graph.graph.value_info[:]  # quantize_dynamic trips over the shapes that were noted there
    quantize_dynamic(
        graph, target, per_channel=True, weight_type=QuantType.QInt8, op_types_to_quantize=["MatMul", "Gemm"]
    )
