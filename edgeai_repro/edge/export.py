"""Exports a torch network as an ONNX file: in fp32, and in int8 by ONNX Runtime's dynamic quantization."""

from __future__ import annotations

import io
import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import onnx
import torch
from torch import nn
from torchvision.models.convnext import ConvNeXt

from edgeai_repro.checksums import sha256
from edgeai_repro.edge.bundle import WEIGHTS_SHA256
from edgeai_repro.edge.onnx_convnext import ChannelsLastConvNeXt
from edgeai_repro.errors import UserError, one_line

INPUT, OUTPUT = "image", "logits"
OPSET = 20  # the first that has Gelu as one node; needs ONNX Runtime 1.17 or later
FLOAT = onnx.TensorProto.FLOAT
EXTERNAL_FROM = 1024  # bytes from which a tensor is stored in the file of weights, not in the graph's


def export(model: nn.Module, path: Path, *, resolution: int = 32) -> None:
    """Write a network as an ONNX file and a file of its weights.

    The input is one image, float32 (1, 3, resolution, resolution); the output is logits (1, classes). A ConvNeXt is
    rewritten for ONNX Runtime. torch's TorchScript exporter writes the file; if it can't, torch's current one does,
    which needs the package onnxscript. Raises UserError if neither can.
    """
    network = rewritten(model, resolution).eval()
    with tempfile.TemporaryDirectory(dir=path.parent) as temporary, torch.no_grad(), _quiet():
        exported = Path(temporary) / path.name
        try:
            _write(network, exported, resolution, dynamo=False)
        except Exception as first:  # whatever tracing a stranger's network raises
            _write_with_current_exporter(network, exported, resolution, first)
        save(_without_shapes_of_weights(onnx.load(exported)), path)


def _without_shapes_of_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """Remove the shapes of weights, which torch's current exporter lists again: quantization transposes weights."""
    weights = {tensor.name for tensor in model.graph.initializer}
    kept = [value for value in model.graph.value_info if value.name not in weights]
    del model.graph.value_info[:]
    model.graph.value_info.extend(kept)
    return model


def rewritten(model: nn.Module, resolution: int) -> nn.Module:
    """Return the same function of an image in the form that ONNX Runtime runs fastest, or the network itself."""
    if isinstance(model, ConvNeXt) and len(model.classifier) == 3:
        return ChannelsLastConvNeXt(model, resolution)
    return model


def _write(network: nn.Module, path: Path, resolution: int, *, dynamo: bool) -> None:
    image = torch.zeros(1, 3, resolution, resolution)
    names: dict[str, Any] = {"input_names": [INPUT], "output_names": [OUTPUT]}
    torch.onnx.export(network, (image,), path, dynamo=dynamo, opset_version=OPSET, **names)


def _write_with_current_exporter(network: nn.Module, path: Path, resolution: int, first: Exception) -> None:
    """Write a network that the TorchScript exporter refused. Raises UserError if the current one does, too."""
    if find_spec("onnxscript") is None:
        raise UserError(
            f"the network must be one that torch can export (got {one_line(first)[:120]}); "
            "pip install onnxscript, which torch's current exporter needs, and try again"
        ) from first
    try:
        _write(network, path, resolution, dynamo=True)
    except Exception as second:  # torch's exporters raise many types
        raise UserError(
            f"the network must be one that torch can export (got {one_line(first)[:120]}, and from the current "
            f"exporter {one_line(second.__cause__ or second)[:120]}); replace what it can't follow"
        ) from second


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the exporters: what they say of torch's code, and the graph that torch prints past Python."""
    exporter = logging.getLogger("torch.onnx")
    level = exporter.level
    exporter.setLevel(logging.ERROR)
    sys.stdout.flush()
    terminal, nowhere = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        os.dup2(terminal, 1)
        os.close(terminal)
        os.close(nowhere)
        exporter.setLevel(level)


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
        save(onnx.load(quantized), target)


def weights_file(path: Path) -> Path:
    """Return the file of the weights of the ONNX file at `path`."""
    return path.with_suffix(".weights")


def save(model: onnx.ModelProto, path: Path) -> None:
    """Write a model's weights into a separate file, and its graph, with the sha256 of the weights, to `path`.

    ONNX Runtime maps separate weights into memory. If they were part of the graph's file, it would hold them twice
    while it loads.
    """
    weights = weights_file(path)
    weights.unlink(missing_ok=True)  # onnx would append to it
    tensors = [tensor for tensor in model.graph.initializer if tensor.HasField("raw_data")]
    large = [tensor for tensor in tensors if len(tensor.raw_data) >= EXTERNAL_FROM]
    # A small network's largest weight: small tensors may be shapes, which ONNX Runtime reads from the graph only.
    large = large or sorted(tensors, key=lambda one: (one.data_type == FLOAT, len(one.raw_data)))[-1:]
    for tensor in large:  # not onnx's function for all: it looks for the file in the current folder
        onnx.external_data_helper.set_external_data(tensor, weights.name)
    onnx.save(model, path)
    weights.chmod(path.stat().st_mode)  # onnx makes it readable by its owner only
    onnx.helper.set_model_props(model, {WEIGHTS_SHA256: sha256(weights)})
    onnx.save(model, path)
