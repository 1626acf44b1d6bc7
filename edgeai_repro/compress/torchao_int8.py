"""torchao's int8 dynamic quantization, the successor of `torch.ao`: int8 weights stay parameters."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from edgeai_repro.errors import MissingRequirement
from edgeai_repro.networks.convnext import clone_sharing_tensors


def quantize(model: nn.Module) -> nn.Module:
    """Return a copy of `model` with each nn.Linear in int8: symmetric, one scale per output channel.

    A layer stays an nn.Linear; its weight is a tensor subclass that holds int8 values and reports the shape and the
    type of the fp32 weight. Activations are rounded to int8 when the layer runs, with one scale per row. `model`
    does not change; the copy shares every tensor that is not quantized with it. Raises MissingRequirement if
    torchao isn't installed.
    """
    try:
        with _quiet_import():
            from torchao.quantization import Int8DynamicActivationInt8WeightConfig, quantize_
    except ModuleNotFoundError:
        remedy = "torchao isn't installed; pip install 'edgeai-repro[torchao]'"
        raise MissingRequirement("torch", remedy) from None
    clone = clone_sharing_tensors(model)
    quantize_(clone, Int8DynamicActivationInt8WeightConfig())
    return clone.eval()


@contextmanager
def _quiet_import() -> Iterator[None]:
    """Silence the lines that torch logs while torchao 0.18 registers its enums."""
    logger = logging.getLogger("torch.utils._pytree")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)
