"""Faster CPU kernels for the layers of ConvNeXt and VGG, used for the time of a `with` block."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from torch import Tensor, nn


@contextmanager
def replaced_forward(replacements: Mapping[nn.Module, Callable[..., Tensor]]) -> Iterator[None]:
    """Let each of these modules compute with another function inside the block; restore them afterwards.

    Parameters, names and types of the modules stay the same. A module that is replaced already, by an outer block,
    keeps that function.
    """
    replaced = [module for module in replacements if "forward" not in vars(module)]
    for module in replaced:
        module.forward = replacements[module]
    try:
        yield
    finally:
        for module in replaced:
            del module.forward  # the attribute of the instance, which hides the method of the class
