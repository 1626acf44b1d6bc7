"""Parameters and MACs, counted twice: as common tools report them, and as they actually are.

The tools are `parameters()` and thop. Both miss weights that quantization has packed. The actual counter knows each
kind of layer that multiplies weights by activations. It observes how often the model uses each weight when it runs,
and unpacks packed weights.
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
    """The parameters by `sum(p.numel() for p in model.parameters())`, and thop's MACs for one image."""

    parameters: int
    macs: int


@dataclass(frozen=True)
class Counts:
    """The values that a model actually stores, and its computation for one image.

    `parameters` are all learned values, packed or not, each counted once even if several layers share it.
    `nonzero_parameters` are those whose stored value, dequantized, is not 0. `macs` are multiply-accumulates of
    weights with activations (including padding, excluding biases) and, in attention, of activations with each
    other; `nonzero_macs` excludes those of weights that are 0. `bit_operations` are MACs × bits of a weight × bits
    of an activation: 32 × 32 in fp32, 8 × 8 in dynamically quantized layers.
    """

    parameters: int = 0
    nonzero_parameters: int = 0
    macs: int = 0
    nonzero_macs: int = 0
    bit_operations: int = 0

    def __add__(self, other: Counts) -> Counts:
        """Return the sum of each quantity."""
        return Counts(
            self.parameters + other.parameters,
            self.nonzero_parameters + other.nonzero_parameters,
            self.macs + other.macs,
            self.nonzero_macs + other.nonzero_macs,
            self.bit_operations + other.bit_operations,
        )


def count(model: nn.Module, resolution: int = 32) -> tuple[Reported, Counts]:
    """Return the reported and the actual counts for an RGB image of `resolution` × `resolution` pixels."""
    clone, image = clone_sharing_tensors(model), _image(model, resolution)
    return _reported(clone, image), sum(_by_kind(clone, image).values(), Counts())


def reported(model: nn.Module, resolution: int = 32) -> Reported:
    """Return the counts of common tools for an RGB image of `resolution` × `resolution` pixels."""
    return _reported(clone_sharing_tensors(model), _image(model, resolution))


def actual(model: nn.Module, resolution: int = 32) -> Counts:
    """Return the actual counts for an RGB image of `resolution` × `resolution` pixels."""
    return sum(by_kind(model, resolution).values(), Counts())


def by_kind(model: nn.Module, resolution: int = 32) -> dict[Kind, Counts]:
    """Return the actual counts by kind of layer; norms, layer scale and all other parameters are "other"."""
    return _by_kind(clone_sharing_tensors(model), _image(model, resolution))


def stored(model: nn.Module) -> Counts:
    """Return the parameters that a model stores, and those that are not 0, without running it; the work is 0."""
    values = [values for values in _stored(clone_sharing_tensors(model)) if not values.counted_before]
    return Counts(sum(value.size for value in values), sum(value.nonzero for value in values))


def linear_share(model: nn.Module) -> float:
    """Return the share of the parameters that are in layers of exactly the type nn.Linear, 0 to 1.

    torch's dynamic quantization replaces these layers only; the projections of attention have types of their own.
    """
    layers = {module: None for module in model.modules() if type(module) is nn.Linear}
    inside = {id(parameter): parameter.numel() for layer in layers for parameter in layer.parameters()}
    return sum(inside.values()) / sum(parameter.numel() for parameter in model.parameters())


def _reported(clone: nn.Module, image: Tensor) -> Reported:
    """Count with the tools. Changes `clone`: thop leaves its buffers total_ops and total_params in it."""
    with warnings.catch_warnings():
        # thop 0.1.1 imports distutils, which Python 3.12 dropped (setuptools brings it back).
        warnings.filterwarnings("ignore", "distutils Version classes are deprecated", DeprecationWarning)
        warnings.filterwarnings("ignore", "The distutils package is deprecated", DeprecationWarning)
        import thop

    parameters = sum(parameter.numel() for parameter in clone.parameters())
    macs, _ = thop.profile(clone, (image,), verbose=False)
    return Reported(parameters, int(macs))


def _by_kind(clone: nn.Module, image: Tensor) -> dict[Kind, Counts]:
    """Count by kind of layer. Changes `clone`: its mode, and hooks on its layers."""
    clone.eval()
    stored = list(_stored(clone))
    sizes = {(id(values.owner), values.name): values for values in stored}
    counts: dict[Kind, Counts] = {"conv": Counts(), "linear": Counts(), "attention": Counts(), "other": Counts()}
    for values in stored:
        if not values.counted_before:
            counts[_kind(values.owner)] += Counts(values.size, values.nonzero)
    for use in _uses(clone, image):
        bits = 8 * 8 if isinstance(use.owner, DynamicLinear) else 32 * 32
        size, nonzero = 1, 1
        if use.weight:
            size, nonzero = sizes[id(use.owner), use.weight].size, sizes[id(use.owner), use.weight].nonzero
        macs = use.times * size
        counts[_kind(use.owner)] += Counts(0, 0, macs, use.times * nonzero, macs * bits)
    return counts


@dataclass(frozen=True)
class _Stored:
    """A parameter of a layer, packed or not; `counted_before` if it was yielded for an earlier layer too."""

    owner: nn.Module
    name: str
    size: int
    nonzero: int
    counted_before: bool


def _stored(model: nn.Module) -> Iterator[_Stored]:
    nonzeros: dict[int, int] = {}
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            counted_before = id(parameter) in nonzeros
            if not counted_before:
                nonzeros[id(parameter)] = _count_nonzero(parameter.detach())
            yield _Stored(module, name, parameter.numel(), nonzeros[id(parameter)], counted_before)
        if isinstance(module, DynamicLinear):
            weight_and_bias = module._weight_bias()  # type: ignore[no-untyped-call]  # slow, because it unpacks
            for name, tensor in zip(("weight", "bias"), weight_and_bias, strict=True):
                if tensor is not None:
                    yield _Stored(module, name, tensor.numel(), _count_nonzero(tensor.detach()), False)


def _count_nonzero(tensor: Tensor) -> int:
    """Count the values that are not 0. A quantized value is 0 if it equals its zero point; on meta none is 0."""
    if tensor.is_meta:
        return tensor.numel()
    if not tensor.is_quantized:
        return int(torch.count_nonzero(tensor))
    per_tensor = tensor.qscheme() in (torch.per_tensor_affine, torch.per_tensor_symmetric)
    zero = tensor.q_zero_point() if per_tensor else tensor.q_per_channel_zero_points().unsqueeze(1)
    return int(np.count_nonzero(tensor.int_repr().numpy() != np.asarray(zero)))


@dataclass(frozen=True)
class _Use:
    """One call of a layer: each element of its `weight` is multiplied `times` times.

    If `weight` is None, `times` is the number of MACs itself.
    """

    owner: nn.Module
    weight: str | None
    times: int


def _uses(model: nn.Module, image: Tensor) -> list[_Use]:
    """Run the model on an image; return each use of a weight, in the order of execution."""
    uses: list[_Use] = []
    for module in model.modules():
        for layer, rule in RULES.items():
            if isinstance(module, layer):
                module.register_forward_hook(lambda *call, rule=rule: uses.extend(rule(*call)))
                break
    with torch.inference_mode():
        model(image)
    return uses


def _image(model: nn.Module, resolution: int) -> Tensor:
    """Return a random image on the device of the model: meta, or the CPU, which quantized layers need."""
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
    _ConvTransposeNd: _transposed_conv,  # before its base class _ConvNd
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
