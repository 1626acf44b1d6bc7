"""Finds linear layers that dynamic quantization leaves in fp32 in silence, because their type is not nn.Linear."""

from __future__ import annotations

import torch
from torch import nn

from edgeai_repro.audit.schema import SkippedLinear
from edgeai_repro.compress.quantization import is_quantized, quantize
from edgeai_repro.measure import size
from edgeai_repro.networks.convnext import clone_sharing_tensors

TOLERANCE = 1e-6  # of the largest output of a layer


def find_skipped(model: nn.Module, quantized_bytes: int | None) -> SkippedLinear | None:
    """Return the layers of subclasses of nn.Linear, and the bytes that a mapping of their types would save.

    torch's dynamic quantization matches exact types. The other layers are replaced by nn.Linear here, where that
    computes the same, and the network is quantized; its file is compared with `quantized_bytes`, those of the model
    as torch quantizes it (None: unknown). Returns None if no layer is skipped.
    """
    layers = {name: layer for name, layer in model.named_modules() if _is_skipped(layer)}
    if not layers:
        return None
    same = {name: layer for name, layer in layers.items() if _computes_the_same(layer)}
    replaced = clone_sharing_tensors(model)
    for name, layer in same.items():
        replaced.set_submodule(name, _as_linear(layer))
    saved = None
    if quantized_bytes is not None and same:
        saved = quantized_bytes - size.state_dict_bytes(quantize(replaced))
    parameters = sum(parameter.numel() for layer in layers.values() for parameter in layer.parameters())
    return SkippedLinear(
        layers=list(layers),
        types=sorted({_type_name(layer) for layer in layers.values()}),
        parameters=parameters,
        share=parameters / sum(parameter.numel() for parameter in model.parameters()),
        bytes_saved=saved,
        computing_something_else=[name for name in layers if name not in same],
    )


def _is_skipped(layer: nn.Module) -> bool:
    """Return whether a layer is of a subclass of nn.Linear that isn't meant to stay as it is.

    torch's MultiheadAttention reads the weights of its output projection itself and would not run with others.
    """
    kept = (nn.Linear, nn.modules.linear.NonDynamicallyQuantizableLinear)
    return isinstance(layer, nn.Linear) and type(layer) not in kept and not is_quantized(layer)


@torch.no_grad()
def _computes_the_same(layer: nn.Module) -> bool:
    """Return whether a layer gives what nn.Linear gives with its weights, on random features."""
    assert isinstance(layer, nn.Linear)
    features = torch.randn(4, layer.in_features, generator=torch.Generator().manual_seed(0))
    features = features.to(layer.weight.device, layer.weight.dtype)
    expected = nn.functional.linear(features, layer.weight, layer.bias)
    training = layer.training
    try:
        actual = layer.eval()(features)
    except Exception:  # a stranger's layer may raise anything
        return False
    finally:
        layer.train(training)
    if actual.shape != expected.shape:
        return False
    return float((actual - expected).abs().max()) <= TOLERANCE * float(expected.abs().max())


def _as_linear(layer: nn.Module) -> nn.Linear:
    assert isinstance(layer, nn.Linear)
    linear = nn.Linear(layer.in_features, layer.out_features, bias=layer.bias is not None, device="meta")
    linear.load_state_dict(dict(layer.named_parameters(recurse=False)), assign=True)
    return linear


def _type_name(layer: nn.Module) -> str:
    return f"{type(layer).__module__.partition('.')[0]}'s {type(layer).__name__}"
