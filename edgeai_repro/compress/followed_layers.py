"""What the dependency graph of `torch-pruning` follows, and which groups of channels must stay whole."""

from __future__ import annotations

from typing import Any

import torch_pruning
from torch import nn

NORMS = (nn.LayerNorm, nn.GroupNorm, nn.LocalResponseNorm)
# Parts of the names of autograd's nodes whose every output depends on several channels.
MIXING = ("bmm", "softmax", "scaleddotproduct", "layernorm", "groupnorm", "rmsnorm", "linalgvectornorm")
ELEMENTWISE = torch_pruning.ops.OPTYPE.ELEMENTWISE  # what the library takes unknown layers for


def followed(model: nn.Module) -> nn.Module:
    """Return the network itself, with gradients for the parameters that the library follows.

    These are all but the tables that a network looks positions up in, as Swin's attention does: the library's lists
    of a table's indices grow until one group takes minutes. A cut that needed a table changed is found inexact.
    """
    for layer in model.modules():
        for parameter in layer.parameters(recurse=False):
            table = parameter.ndim == 2 and torch_pruning.ops.module2type(layer) == ELEMENTWISE
            parameter.requires_grad_(parameter.is_floating_point() and not table)
    return model


def why_whole(node: Any, names: dict[Any, str]) -> str | None:
    """Return why a group with this node must stay whole, None if it needn't."""
    module = node.module
    if node.type == torch_pruning.ops.OPTYPE.OUTPUT:
        return "its channels are an output of the network"
    if isinstance(module, NORMS):
        return f"{names[module]} ({type(module).__name__}) normalises over channels"
    operator = str(node.name)
    if module not in names and any(part in operator.lower() for part in MIXING):
        return f"{operator.partition('(')[2].strip('()').removesuffix('Backward0')} mixes channels"
    return None
