"""A torch model as an ONNX file: in fp32, and with int8 weights by ONNX Runtime's dynamic quantization."""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path

import onnx
import torch
from torch import nn

from edgeai_repro.edge.bundle import WEIGHTS_SHA256
from edgeai_repro.edge.onnx_convnext import ChannelsLast
from edgeai_repro.files import sha256

INPUT, OUTPUT = "image", "logits"
OPSET = 20  # the first that has Gelu as one node; ONNX Runtime 1.17 and later read it
LEAST_APART = 1024  # bytes of a tensor that is kept out of the graph's file


def export(model: nn.Module, path: Path, *, resolution: int = 32) -> None:
    """Write a ConvNeXt for one image, float32 (1, 3, resolution, resolution): an ONNX file, and one of weights."""
    image = torch.zeros(1, 3, resolution, resolution)
    with tempfile.TemporaryDirectory(dir=path.parent) as aside, torch.no_grad():
        whole = Path(aside) / path.name
        with warnings.catch_warnings():
            # torch 2.9 and later say so of the exporter that needs no package beside torch.
            warnings.filterwarnings("ignore", ".*legacy TorchScript-based ONNX export", DeprecationWarning)
            warnings.filterwarnings("ignore", "The feature will be removed", DeprecationWarning)
            torch.onnx.export(
                ChannelsLast(model, resolution).eval(),
                (image,),
                whole,
                dynamo=False,
                opset_version=OPSET,
                input_names=[INPUT],
                output_names=[OUTPUT],
            )
        _save(onnx.load(whole), path)


def quantize(source: Path, target: Path) -> None:
    """Write an ONNX file with int8 weights in its matrix products, one scale an output channel, and their file.

    Activations are quantized as they come, one scale a tensor, as in torch's dynamic quantization. ONNX Runtime
    advises to optimise the graph first, which would fuse products and biases into nodes that take matrices alone,
    with two reshapes each (144 in ConvNeXt-Small); it fuses quantized products at loading, and without these.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    model = onnx.load(source)
    onnx.helper.set_model_props(model, {"onnx.quant.pre_process": "onnxruntime.quant"})  # or it is advised
    with tempfile.TemporaryDirectory(dir=target.parent) as aside:
        whole = Path(aside) / target.name
        quantize_dynamic(
            model, whole, per_channel=True, weight_type=QuantType.QInt8, op_types_to_quantize=["MatMul"]
        )
        _save(onnx.load(whole), target)


def weights_file(path: Path) -> Path:
    """Return the file of the weights of the ONNX file at `path`."""
    return path.with_suffix(".weights")


def _save(model: onnx.ModelProto, path: Path) -> None:
    """Write a model's weights into a file of their own, and its graph, which names their sha256, into `path`.

    ONNX Runtime maps weights that lie apart into memory, where it would hold those of one file two times over while
    it loads.
    """
    weights = weights_file(path)
    weights.unlink(missing_ok=True)  # onnx would append
    onnx.external_data_helper.convert_model_to_external_data(
        model, location=weights.name, size_threshold=LEAST_APART
    )
    onnx.save(model, path)
    weights.chmod(path.stat().st_mode)  # onnx lets its owner alone read it
    onnx.helper.set_model_props(model, {WEIGHTS_SHA256: sha256(weights)})
    onnx.save(model, path)
