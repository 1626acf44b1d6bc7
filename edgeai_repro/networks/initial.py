"""The weights that the CIFAR networks start from (He et al. 2015: normal, with the variance 2 / inputs)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeVar

import torch
from torch import nn

Network = TypeVar("Network", bound=nn.Module)


def with_weights(build: Callable[[], Network], seed: int | None) -> Network:
    """Return the network of `build` in eval mode, with the weights that `draw_weights` draws under `seed`."""
    with torch.device("meta"):  # not filled with torch's own random weights first
        model = build()
    model.to_empty(device="cpu")
    draw_weights(model, seed)
    return model.eval()


def draw_weights(model: nn.Module, seed: int | None) -> None:
    """Fill all parameters and buffers of convolutions, Linear and BatchNorm layers, in place.

    Convolutions are drawn with the variance 2 / inputs, Linear layers with 1 / inputs. Biases are zero, BatchNorm
    is the identity. With `seed=None` only BatchNorm is filled. The global generator is not used.
    """
    generator = None if seed is None else torch.Generator().manual_seed(seed)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.reset_parameters()
        elif generator is not None and isinstance(module, nn.Conv2d | nn.Linear):
            inputs = module.weight[0].numel()
            gain = 2.0 if isinstance(module, nn.Conv2d) else 1.0
            module.weight.detach().normal_(0.0, math.sqrt(gain / inputs), generator=generator)
            if module.bias is not None:
                module.bias.detach().zero_()


def draw_norms(model: nn.Module, seed: int = 0) -> None:
    """Fill the weights, biases and statistics of all BatchNorm layers at random under `seed`, in place.

    A fresh BatchNorm is the identity in eval mode, so that a comparison of outputs would not see an error in it.
    """
    generator = torch.Generator().manual_seed(seed)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            for tensor in (module.weight.detach(), module.running_var):
                tensor.uniform_(0.5, 1.5, generator=generator)
            for tensor in (module.bias.detach(), module.running_mean):
                tensor.uniform_(-0.5, 0.5, generator=generator)
