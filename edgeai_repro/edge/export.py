"""Exports a torch model as an ONNX file: in fp32, and with int8 weights by ONNX Runtime's dynamic quantization."""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path

import onnx
import torch
from torch import nn

from edgeai_repro.edge.bundle import WEIGHTS_SHA256
from edgeai_repro.edge.onnx_convnext import ChannelsLastConvNeXt
from edgeai_repro.files import sha256

INPUT, OUTPUT = "image", "logits"
OPSET = 20  # the first that has Gelu as one node; needs ONNX Runtime 1.17 or later
EXTERNAL_FROM = 1024  # bytes from which a tensor is stored in the file of weights, not in the graph's


def export(model: nn.Module, path: Path, *, resolution: int = 32) -> None:
    """Write a ConvNeXt as an ONNX file and a file of its weights.

    The input is one image, float32 (1, 3, resolution, resolution).
    """
    image = torch.zeros(1, 3, resolution, resolution)
    with tempfile.TemporaryDirectory(dir=path.parent) as temporary, torch.no_grad():
        exported = Path(temporary) / path.name
        with warnings.catch_warnings():
            # torch 2.9 and later deprecate this exporter, the only one that needs no package besides torch.
            warnings.filterwarnings("ignore", ".*legacy TorchScript-based ONNX export", DeprecationWarning)
            warnings.filterwarnings("ignore", "The feature will be removed", DeprecationWarning)
            torch.onnx.export(
                ChannelsLastConvNeXt(model, resolution).eval(),
                (image,),
                exported,
                dynamo=False,
                opset_version=OPSET,
                input_names=[INPUT],
                output_names=[OUTPUT],
            )
        _save(onnx.load(exported), path)


def quantize(source: Path, target: Path) -> None:
    """Write the ONNX file `source` with int8 weights in its matrix products to `target`, and a file of its weights.

    Weights have one scale per output channel. Activations have one scale per tensor, computed from their values at
    run time, as in torch's dynamic quantization.

    ONNX Runtime advises to optimise the graph before it is quantized. That would fuse products and biases into
    nodes that only take matrices, with two reshapes each (144 in ConvNeXt-Small). Without it, ONNX Runtime fuses
    the quantized products when it loads the file, and needs no reshapes.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    model = onnx.load(source)
    # Marks the graph as optimised, which silences the advice.
    onnx.helper.set_model_props(model, {"onnx.quant.pre_process": "onnxruntime.quant"})
    with tempfile.TemporaryDirectory(dir=target.parent) as temporary:
        quantized = Path(temporary) / target.name
        quantize_dynamic(
            model, quantized, per_channel=True, weight_type=QuantType.QInt8, op_types_to_quantize=["MatMul"]
        )
        _save(onnx.load(quantized), target)


def weights_file(path: Path) -> Path:
    """Return the file of the weights of the ONNX file at `path`."""
    return path.with_suffix(".weights")


def _save(model: onnx.ModelProto, path: Path) -> None:
    """Write a model's weights into a separate file, and its graph, with the sha256 of the weights, to `path`.

    ONNX Runtime maps separate weights into memory. If they were part of the graph's file, it would hold them twice
    while it loads.
    """
    weights = weights_file(path)
    weights.unlink(missing_ok=True)  # onnx would append to it
    onnx.external_data_helper.convert_model_to_external_data(
        model, location=weights.name, size_threshold=EXTERNAL_FROM
    )
    onnx.save(model, path)
    weights.chmod(path.stat().st_mode)  # onnx makes it readable by its owner only
    onnx.helper.set_model_props(model, {WEIGHTS_SHA256: sha256(weights)})
    onnx.save(model, path)
