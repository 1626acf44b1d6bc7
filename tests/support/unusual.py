"""Small networks in unusual forms, and their inputs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
import torch.utils.mkldnn
from torch import Tensor, nn
from torch.ao.quantization import DeQuantStub, QuantStub, convert, default_qconfig, prepare, quantize_dynamic
from torch.nn import functional
from torch.nn.utils import prune

TOKENS, WIDTH, OUT = 5, 8, 4


class Apply(nn.Module):
    """A network whose forward is a function of itself and its inputs; its attributes are modules or tensors."""

    def __init__(self, function: Callable[..., Any], **attributes: Any) -> None:
        super().__init__()
        self.function = function
        for name, value in attributes.items():
            setattr(self, name, value)

    def forward(self, *inputs: Any) -> Any:
        """Call the function."""
        return self.function(self, *inputs)


class Buffers(nn.Module):
    """A linear layer of int8 weights and scales in buffers, dequantized in each call."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("weight", torch.arange(1, 33, dtype=torch.int8).view(OUT, WIDTH))
        self.register_buffer("scale", torch.ones(OUT, 1))
        self.register_buffer("bias", torch.ones(OUT))

    def forward(self, features: Tensor) -> Tensor:
        """Multiply."""
        return functional.linear(features, self.weight.float() * self.scale, self.bias)


class Tied(nn.Module):
    """An embedding whose table is the weight of the last layer, too."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(10, WIDTH)
        self.head = nn.Linear(WIDTH, 10, bias=False)
        self.head.weight = self.table.weight

    def forward(self, tokens: Tensor) -> Tensor:
        """Return logits for each token."""
        return self.head(self.table(tokens))


@dataclass(frozen=True)
class Form:
    """A network, its inputs and what a counter must find; `bits` are bits × bits of an operation, on average."""

    build: Callable[[], nn.Module]
    inputs: Callable[[], tuple[Any, ...]]
    macs: int
    parameters: int
    activation_macs: int = 0
    bits: float = 32 * 32


def linear() -> nn.Linear:
    """Return the layer of most rows."""
    return nn.Linear(WIDTH, OUT)


def masked() -> nn.Module:
    """Return a layer with a mask of torch.nn.utils.prune: 12 of 32 weights are 0."""
    return prune.random_unstructured(linear(), "weight", amount=12)


def lora() -> nn.Module:
    """Return a layer whose weight is a matrix plus a product of two thin ones."""
    weight, down, up = (nn.Parameter(torch.ones(shape)) for shape in ((OUT, WIDTH), (2, WIDTH), (OUT, 2)))
    return Apply(
        lambda self, x: functional.linear(x, self.weight + self.up @ self.down), weight=weight, down=down, up=up
    )


def half_zero() -> Tensor:
    """Return a weight (4, 8) with 16 zeros."""
    return torch.ones(OUT, WIDTH).index_fill(0, torch.tensor([1, 3]), 0.0)


def sparse(layout: torch.layout) -> nn.Parameter:
    """Return `half_zero` in a sparse layout."""
    weight = half_zero().to_sparse() if layout == torch.sparse_coo else half_zero().to_sparse_csr()
    return nn.Parameter(weight, requires_grad=False)


def quantized(layer: nn.Module, dtype: torch.dtype = torch.qint8) -> nn.Module:
    """Return a dynamically quantized layer."""
    return quantize_dynamic(nn.Sequential(layer), {type(layer)}, dtype=dtype)


def static_int8() -> nn.Module:
    """Return a convolution, a transposed one and a linear layer, all statically quantized, for `images`."""
    layers = [nn.Conv2d(3, 4, 3), nn.ReLU(), nn.ConvTranspose2d(4, 4, 1), nn.Flatten(), nn.Linear(144, 5)]
    network = nn.Sequential(QuantStub(), *layers, DeQuantStub()).eval()
    network.qconfig = network[3].qconfig = default_qconfig  # type: ignore[assignment]
    prepare(network, inplace=True)(*images())
    return convert(network)


def torchao(config: str) -> nn.Module:
    """Return a layer of 64 × 32 weights under a configuration of torchao, used twice with another between."""
    quantization = pytest.importorskip("torchao.quantization")
    network = nn.Sequential(nn.Linear(64, 32, bias=False))
    quantization.quantize_(network, getattr(quantization, config)())
    return Apply(lambda self, x: self.a(self.a(x) @ self.b), a=network, b=weight(32, 64))


def tokens() -> tuple[Tensor]:
    """Return features (1, 5, 8)."""
    return (torch.ones(1, TOKENS, WIDTH),)


def wide_tokens() -> tuple[Tensor]:
    """Return features (1, 5, 64)."""
    return (torch.ones(1, TOKENS, 64),)


def images() -> tuple[Tensor]:
    """Return an image (1, 3, 8, 8)."""
    return (torch.ones(1, 3, 8, 8),)


def small_cnn() -> nn.Module:
    """Return a convolution 3 × 3, batch norm, ReLU and a linear layer, for `images`."""
    layers = [nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 5)]
    return nn.Sequential(*layers).eval()


def weight(*shape: int) -> nn.Parameter:
    """Return a parameter of ones."""
    return nn.Parameter(torch.ones(shape))


def attention(**settings: Any) -> nn.MultiheadAttention:
    """Return attention over `WIDTH` channels in two heads."""
    return nn.MultiheadAttention(WIDTH, 2, batch_first=True, **settings)


def encoder_layer() -> nn.TransformerEncoderLayer:
    """Return an encoder layer with 16 hidden features."""
    return nn.TransformerEncoderLayer(WIDTH, 2, 16, batch_first=True)
