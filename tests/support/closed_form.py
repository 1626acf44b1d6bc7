"""What a network stores and computes, layer by layer. Nothing is built, run or taken from the package."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass
class Closed:
    """What a network stores and computes, layer by layer.

    `linear` are the parameters, and `linear_weights` the weights, of plain fully connected layers, which dynamic
    quantization replaces. `linear_macs` are their products. `buffers` are stored values that are no parameters.
    `thop` is what thop 0.1.1 reports: four operations per normalized element, nothing of `nn.MultiheadAttention`.
    `side` is that of the image, and then that of the maps.
    """

    side: int = 224
    classes: int = 1000
    params: int = 0
    macs: int = 0
    linear: int = 0
    linear_weights: int = 0
    linear_macs: int = 0
    buffers: int = 0
    thop: int = 0

    def conv(
        self,
        inputs: int,
        outputs: int,
        kernel: int = 1,
        stride: int = 1,
        *,
        groups: int = 1,
        bias: bool = False,
        padding: int | None = None,
    ) -> None:
        """Add a convolution; without `padding`, the side is only divided by the stride, rounded up."""
        if padding is None:
            self.side = math.ceil(self.side / stride)
        else:
            self.side = (self.side + 2 * padding - kernel) // stride + 1
        weights = kernel * kernel * inputs // groups * outputs
        self.params += weights + bias * outputs
        self.macs += weights * self.side**2
        self.thop += weights * self.side**2

    def batch_norm(self, channels: int) -> None:
        """Add a batch normalization: scale and shift; mean, variance and a counter are buffers."""
        self.params += 2 * channels
        self.buffers += 2 * channels
        self.thop += 4 * channels * self.side**2

    def layer_norm(self, channels: int, positions: int = 0) -> None:
        """Add a layer normalization; thop sees that of an `nn.LayerNorm`, at its number of `positions`."""
        self.params += 2 * channels
        self.thop += 4 * channels * positions

    def pool(self, kernel: int, stride: int, padding: int = 0, *, up: bool = False) -> None:
        """Add a pooling, which rounds the side down or `up`."""
        divide = math.ceil if up else math.floor
        self.side = divide((self.side + 2 * padding - kernel) / stride) + 1

    def dense(
        self, inputs: int, outputs: int, times: int = 1, *, bias: bool = True, plain: bool = True, seen: bool = True
    ) -> None:
        """Add a fully connected layer that is applied at `times` positions; `seen` if thop sees it called."""
        weights = inputs * outputs
        self.params += weights + bias * outputs
        self.macs += weights * times
        self.thop += weights * times if plain and seen else 0
        if plain:
            self.linear += weights + bias * outputs
            self.linear_weights += weights
            self.linear_macs += weights * times

    def attention(self, width: int, tokens: int, windows: int = 1) -> None:
        """Add the two products of activations in self-attention within each window."""
        self.macs += 2 * windows * tokens * tokens * width
