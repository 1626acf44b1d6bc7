"""Our own int8 linear layer: the same int8 weights as torch's dynamic quantization, without `torch.ao`.

torch announced the removal of `torch.ao` (pytorch/ao issue 2259). This layer keeps the paper's claims judgeable
afterwards: as in `torch.ao`, the weights are not parameters, so common counters miss them.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

LEVELS = 127  # activations are symmetric: -127 to 127
WEIGHT_LEVELS = 127.5  # torch's default observer divides the range by 255 steps, half of them on each side


class Int8Linear(nn.Module):
    """A linear layer with int8 weights, one scale per layer; activations are quantized when it runs.

    `weight` is int8 (out, in), `scale` float32 () and `bias` float32 (out,) or None. All are buffers. The input is
    floating point (..., in); it is rounded to int8 with one symmetric scale per call.
    """

    weight: Tensor
    scale: Tensor
    bias: Tensor | None

    def __init__(self, weight: Tensor, scale: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        self.out_features, self.in_features = weight.shape
        self.register_buffer("weight", weight)
        self.register_buffer("scale", scale)
        self.register_buffer("bias", bias)

    @classmethod
    def of(cls, layer: nn.Linear) -> Int8Linear:
        """Return the int8 form of a layer, with the weights that torch's dynamic quantization gives it."""
        weight = layer.weight.detach().float()
        scale = (weight.abs().amax() / WEIGHT_LEVELS).clamp(min=torch.finfo(torch.float32).eps)
        rounded = (weight * (1 / scale)).round().clamp(-128, 127).to(torch.int8)
        return cls(rounded, scale, None if layer.bias is None else layer.bias.detach().float())

    def forward(self, features: Tensor) -> Tensor:
        """Return the layer's output, (..., out), in the type of the input."""
        rows = features.reshape(-1, self.in_features)
        scale = (rows.abs().amax() / LEVELS).clamp(min=torch.finfo(rows.dtype).eps)
        rounded = (rows / scale).round().to(torch.int8)
        products = torch._int_mm(rounded, self.weight.t())  # the only product of int8 matrices that torch offers
        output = products * (scale * self.scale)
        if self.bias is not None:
            output = output + self.bias
        return output.to(features.dtype).reshape(*features.shape[:-1], self.out_features)

    def extra_repr(self) -> str:
        """Return the sizes for `print(model)`."""
        return f"in_features={self.in_features}, out_features={self.out_features}, dtype=int8"


def quantize(model: nn.Module) -> nn.Module:
    """Replace each nn.Linear in `model` by its int8 form, in place, and return the model.

    Like torch's dynamic quantization, it leaves subclasses of nn.Linear as they are. A layer that is used in two
    places stays one layer.
    """
    layers: dict[nn.Module, Int8Linear] = {}
    for name, layer in list(model.named_modules(remove_duplicate=False)):
        if name and type(layer) is nn.Linear:
            layers.setdefault(layer, Int8Linear.of(layer))
            model.set_submodule(name, layers[layer])
    return model.eval()


def to_tensors(layer: Int8Linear) -> dict[str, Tensor]:
    """Return a layer as plain tensors (see `quantization.to_tensors`)."""
    tensors = {"weight": layer.weight, "scale": layer.scale.double(), "zero_point": torch.tensor(0)}
    return tensors if layer.bias is None else tensors | {"bias": layer.bias}


def from_tensors(weight: Tensor, scale: Tensor, zero_point: Tensor, bias: Tensor | None = None) -> Int8Linear:
    """Return the layer of the tensors of `to_tensors`; a scale per channel is kept. Zero points must be 0."""
    if zero_point.any():
        raise ValueError("'zero_point' must be 0: weights are symmetric")
    return Int8Linear(weight, scale.float(), bias)
