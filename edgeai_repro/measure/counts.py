"""Counting parameters and work twice: as common tools report them, and as they are.

The tools are `parameters()` and thop; both look past weights that quantization has packed. The actual counter
knows each layer that multiplies weights by activations, asks at run time how often a weight is used, and takes
packed weights for what they are.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.ao.nn.quantized.dynamic import Linear as DynamicLinear
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from edgeai_repro.networks.convnext import clone_sharing_tensors, random_images

Kind = Literal["conv", "linear", "attention", "other"]


@dataclass(frozen=True)
class Reported:
    """What `sum(p.numel() for p in model.parameters())` and thop say, the MACs for one image."""

    parameters: int
    macs: int


@dataclass(frozen=True)
class Counts:
    """What is stored and computed; work is for one image.

    `parameters` are all learnt values, packed or not, each once however many layers share it; `nonzero_parameters`
    those whose stored value, dequantized, isn't 0. `macs` are multiply-accumulates of weights with activations
    (padding included, biases not) and, in attention, of activations with each other; in `nonzero_macs` a weight of
    0 takes none. `bit_operations` are MACs × bits of a weight × bits of an activation: 32 × 32 in fp32, 8 × 8 in
    dynamically quantized layers.
    """

    parameters: int = 0
    nonzero_parameters: int = 0
    macs: int = 0
    nonzero_macs: int = 0
    bit_operations: int = 0

    def __add__(self, other: Counts) -> Counts:
        """Return the sums, quantity by quantity."""
        return Counts(
            self.parameters + other.parameters,
            self.nonzero_parameters + other.nonzero_parameters,
            self.macs + other.macs,
            self.nonzero_macs + other.nonzero_macs,
            self.bit_operations + other.bit_operations,
        )


def reported(model: nn.Module, resolution: int = 32) -> Reported:
    """Count as a practitioner does, for an RGB image of that many pixels a side; `model` isn't changed."""
    with warnings.catch_warnings():
        # thop 0.1.1 imports distutils, which Python 3.12 dropped (setuptools brings it back).
        warnings.filterwarnings("ignore", "distutils Version classes are deprecated", DeprecationWarning)
        warnings.filterwarnings("ignore", "The distutils package is deprecated", DeprecationWarning)
        import thop

    # On a copy, for thop leaves its buffers total_ops and total_params behind, and they would be saved as well.
    macs, _ = thop.profile(clone_sharing_tensors(model), (_image(model, resolution),), verbose=False)
    return Reported(sum(parameter.numel() for parameter in model.parameters()), int(macs))


def actual(model: nn.Module, resolution: int = 32) -> Counts:
    """Count what `model` holds and what it computes for an RGB image of that many pixels a side."""
    return sum(by_kind(model, resolution).values(), Counts())


def stored(model: nn.Module) -> Counts:
    """Count what `model` holds, without running it: parameters and those that aren't 0; no work."""
    values = [values for values in _stored(clone_sharing_tensors(model)) if not values.seen]
    return Counts(sum(value.size for value in values), sum(value.nonzero for value in values))


def linear_share(model: nn.Module) -> float:
    """Return the share of the parameters that stand in layers of the very type nn.Linear, 0 to 1.

    Those are what torch's dynamic quantization replaces; attention's projections are of types of their own.
    """
    layers = {module: None for module in model.modules() if type(module) is nn.Linear}
    inside = {id(parameter): parameter.numel() for layer in layers for parameter in layer.parameters()}
    return sum(inside.values()) / sum(parameter.numel() for parameter in model.parameters())


def by_kind(model: nn.Module, resolution: int = 32) -> dict[Kind, Counts]:
    """Return the actual counts by kind of layer; norms, layer scale and all other parameters are "other"."""
    twin = clone_sharing_tensors(model).eval()
    stored = list(_stored(twin))
    sizes = {(id(values.owner), values.name): values for values in stored}
    counts: dict[Kind, Counts] = {"conv": Counts(), "linear": Counts(), "attention": Counts(), "other": Counts()}
    for values in stored:
        if not values.seen:
            counts[_kind(values.owner)] += Counts(values.size, values.nonzero)
    for use in _uses(twin, resolution):
        bits = 8 * 8 if isinstance(use.owner, DynamicLinear) else 32 * 32
        size, nonzero = 1, 1
        if use.weight:
            size, nonzero = sizes[id(use.owner), use.weight].size, sizes[id(use.owner), use.weight].nonzero
        macs = use.times * size
        counts[_kind(use.owner)] += Counts(0, 0, macs, use.times * nonzero, macs * bits)
    return counts


@dataclass(frozen=True)
class _Stored:
    """A layer's own parameter, packed or not, and whether an earlier layer has shown it already."""

    owner: nn.Module
    name: str
    size: int
    nonzero: int
    seen: bool


def _stored(model: nn.Module) -> Iterator[_Stored]:
    nonzeros: dict[int, int] = {}
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            seen = id(parameter) in nonzeros
            if not seen:
                nonzeros[id(parameter)] = _count_nonzero(parameter.detach())
            yield _Stored(module, name, parameter.numel(), nonzeros[id(parameter)], seen)
        if isinstance(module, DynamicLinear):
            weight_and_bias = module._weight_bias()  # type: ignore[no-untyped-call]  # unpacks, which takes its time
            for name, tensor in zip(("weight", "bias"), weight_and_bias, strict=True):
                if tensor is not None:
                    yield _Stored(module, name, tensor.numel(), _count_nonzero(tensor.detach()), seen=False)


def _count_nonzero(tensor: Tensor) -> int:
    """Count the values that aren't 0; a quantized one is 0 where it equals its zero point, on meta it isn't."""
    if tensor.is_meta:
        return tensor.numel()
    if not tensor.is_quantized:
        return int(torch.count_nonzero(tensor))
    per_tensor = tensor.qscheme() in (torch.per_tensor_affine, torch.per_tensor_symmetric)
    zero = tensor.q_zero_point() if per_tensor else tensor.q_per_channel_zero_points().unsqueeze(1)
    return int(np.count_nonzero(tensor.int_repr().numpy() != np.asarray(zero)))


@dataclass(frozen=True)
class _Use:
    """Each element of the owner's weight of that name is multiplied so many times; without a name, so many MACs."""

    owner: nn.Module
    weight: str | None
    times: int


def _uses(model: nn.Module, resolution: int) -> list[_Use]:
    """Run the model on one image and note each use of a weight, in the order of execution."""
    uses: list[_Use] = []
    for module in model.modules():
        for layer, rule in RULES.items():
            if isinstance(module, layer):
                module.register_forward_hook(lambda *call, rule=rule: uses.extend(rule(*call)))
                break
    with torch.inference_mode():
        model(_image(model, resolution))
    return uses


def _image(model: nn.Module, resolution: int) -> Tensor:
    """Return an image where the model is; what has no parameters, quantized layers alone, is on the CPU."""
    on_meta = any(parameter.is_meta for parameter in model.parameters())
    return random_images(1, resolution).to("meta") if on_meta else random_images(1, resolution)


def _conv(layer: _ConvNd, inputs: tuple[Tensor, ...], output: Tensor) -> Iterator[_Use]:
    yield _Use(layer, "weight", output.numel() // layer.out_channels)


def _transposed_conv(layer: _ConvTransposeNd, inputs: tuple[Tensor, ...], output: Tensor) -> Iterator[_Use]:
    yield _Use(layer, "weight", inputs[0].numel() // layer.in_channels)


def _linear(layer: nn.Linear | DynamicLinear, inputs: tuple[Tensor, ...], output: Tensor) -> Iterator[_Use]:
    yield _Use(layer, "weight", output.numel() // layer.out_features)


def _self_attention(layer: nn.MultiheadAttention, inputs: tuple[Tensor, ...], output: Any) -> Iterator[_Use]:
    query, key = inputs[:2]
    if query.shape != key.shape or layer.in_proj_weight is None:
        raise NotImplementedError("only self-attention is counted, with one width for queries, keys and values")
    tokens = query.numel() // layer.embed_dim
    sequence = query.shape[1] if layer.batch_first and query.ndim == 3 else query.shape[0]
    yield _Use(layer, "in_proj_weight", tokens)
    yield _Use(layer, None, 2 * tokens * sequence * layer.embed_dim)  # queries by keys, and the result by values
    yield _Use(layer.out_proj, "weight", tokens)  # its forward is not called


RULES: dict[type[nn.Module], Callable[..., Iterator[_Use]]] = {
    _ConvTransposeNd: _transposed_conv,  # before _ConvNd, which it derives from
    _ConvNd: _conv,
    nn.Linear: _linear,
    DynamicLinear: _linear,
    nn.MultiheadAttention: _self_attention,
}
KINDS: dict[Kind, tuple[type[nn.Module], ...]] = {
    "conv": (_ConvNd,),
    "linear": (nn.Linear, DynamicLinear),
    "attention": (nn.MultiheadAttention,),
}


def _kind(layer: nn.Module) -> Kind:
    return next((kind for kind, types in KINDS.items() if isinstance(layer, types)), "other")
