"""ConvNeXt as torch modules: torchvision's code, without the seconds that its initialization takes."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn
from torchvision.models.convnext import CNBlock, CNBlockConfig, ConvNeXt

from edgeai_repro.errors import UserError
from edgeai_repro.networks.variants import CONVNEXT_VARIANTS, Architecture

WEIGHT_STD = 0.02  # torchvision uses trunc_normal_(std=0.02, a=-2, b=2), which never reaches its bounds
LAYER_SCALE = 1e-6
M = TypeVar("M", bound=nn.Module)


def build(
    name: str,
    *,
    num_classes: int = 10,
    stem_stride: int = 4,
    hidden_widths: Sequence[int] | None = None,
    seed: int | None = 0,
) -> ConvNeXt:
    """Build torchvision's ConvNeXt `name` in eval mode.

    The weights follow torchvision's initial distribution under `seed`. With `seed=None` they are uninitialized; a
    `state_dict` must fill them. `hidden_widths` are the MLP widths of a pruned network, one per block.
    `stem_stride` is the stride and the kernel size of the stem.

    The input is (N, 3, H, W), with H and W multiples of `8 * stem_stride`; the output is logits (N, num_classes).
    Raises KeyError for an unknown name and ValueError for a wrong number of widths.
    """
    model = build_on_meta(name, num_classes=num_classes, stem_stride=stem_stride, hidden_widths=hidden_widths)
    model.to_empty(device="cpu")
    if seed is not None:
        initialise(model, seed)
    return model.eval()


def build_on_meta(
    name: str, *, num_classes: int = 10, stem_stride: int = 4, hidden_widths: Sequence[int] | None = None
) -> ConvNeXt:
    """Build the ConvNeXt of `build` on the meta device, in eval mode: layers and shapes, without values."""
    with torch.device("meta"):
        model = _construct(CONVNEXT_VARIANTS[name], num_classes, stem_stride)
        if hidden_widths is not None:
            for block, width in zip(blocks(model), hidden_widths, strict=True):
                dim = mlp(block)[0].in_features
                set_mlp(block, nn.Linear(dim, width), nn.Linear(width, dim))
    return model.eval()


def _construct(architecture: Architecture, num_classes: int, stem_stride: int) -> ConvNeXt:
    following = [*architecture.dims[1:], None]
    model = ConvNeXt(
        [
            CNBlockConfig(dim, next_dim, depth)
            for dim, next_dim, depth in zip(architecture.dims, following, architecture.depths, strict=True)
        ],
        stochastic_depth_prob=architecture.drop_path_rate,
        num_classes=num_classes,
    )
    if stem_stride != 4:
        model.features[0][0] = nn.Conv2d(3, architecture.dims[0], stem_stride, stem_stride)
    return model


def blocks(model: nn.Module) -> list[CNBlock]:
    """Return the residual blocks in the order of execution."""
    return [module for module in model.modules() if isinstance(module, CNBlock)]


def mlp(block: CNBlock) -> tuple[nn.Linear, nn.Linear]:
    """Return the two Linear layers of a block's MLP: (expand, reduce). GELU stands between them."""
    return cast(nn.Linear, block.block[3]), cast(nn.Linear, block.block[5])


def set_mlp(block: CNBlock, expand: nn.Linear, reduce: nn.Linear) -> None:
    """Replace the two Linear layers of a block's MLP."""
    block.block[3], block.block[5] = expand, reduce


def hidden_widths(model: nn.Module) -> tuple[int, ...]:
    """Return the MLP width of each block, in the order of the blocks. The model may be quantized."""
    return tuple(int(mlp(block)[0].out_features) for block in blocks(model))


def stem_stride(model: nn.Module) -> int:
    """Return the stride of a ConvNeXt's stem."""
    return int(cast(Any, model).features[0][0].stride[0])


def num_classes(model: nn.Module) -> int:
    """Return the number of logits of a ConvNeXt. The model may be quantized."""
    return int(cast(Any, model).classifier[2].out_features)


def initialise(model: nn.Module, seed: int) -> None:
    """Fill all parameters as torchvision's constructor does: normal weights, zero biases, layer scale 1e-6.

    Each layer has its own generator, so that threads can share the work without an effect on the values.
    """
    layers = [module for module in model.modules() if isinstance(module, nn.Conv2d | nn.Linear)]

    def draw(layer: nn.Conv2d | nn.Linear, layer_seed: int) -> None:
        layer.weight.detach().normal_(0.0, WEIGHT_STD, generator=torch.Generator().manual_seed(layer_seed))

    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        list(pool.map(draw, layers, draw_seeds(seed, len(layers))))
    for name, parameter in model.named_parameters():
        if name.endswith(("layer_scale", "gamma")):  # its names in torchvision and timm
            parameter.detach().fill_(LAYER_SCALE)
        elif name.endswith("bias"):
            parameter.detach().zero_()
        elif parameter.ndim == 1:  # the weight of a LayerNorm
            parameter.detach().fill_(1.0)


def draw_seeds(seed: int, count: int) -> list[int]:
    """Return `count` seeds drawn under `seed`."""
    seeds: list[int] = torch.randint(2**32, (count,), generator=torch.Generator().manual_seed(seed)).tolist()
    return seeds


def clone_sharing_tensors(model: M) -> M:
    """Return new modules over the same tensors: parameters, buffers and packed int8 weights.

    Replacing a layer of the clone, or adding a buffer to it, does not change `model`. The clone takes no memory for
    values, so a value that is changed in place changes in both.
    """
    # deepcopy does not copy an object whose id is in its memo; it takes the entry.
    memo: dict[int, object] = {id(buffer): buffer.detach() for buffer in model.buffers()}
    for parameter in model.parameters():
        memo[id(parameter)] = nn.Parameter(parameter.detach(), parameter.requires_grad)
    for module in model.modules():
        for value in vars(module).values():
            if isinstance(value, torch.ScriptObject):
                memo[id(value)] = value
            elif isinstance(
                value, Tensor
            ):  # for example a pruned weight, which deepcopy refuses: it has a gradient
                memo[id(value)] = value.detach()
    return copy.deepcopy(model, memo)


def drop_hidden_channels(model: ConvNeXt, redundant: Sequence[Tensor | None]) -> ConvNeXt:
    """Return a copy of `model` without the redundant hidden channels of each block, bool (channels,) or None."""
    smaller = clone_sharing_tensors(model)  # copied only after the large layers are replaced
    for number, (block, mask) in enumerate(zip(blocks(smaller), redundant, strict=True)):
        if mask is None:
            continue
        kept = (~mask).nonzero().flatten()
        if not len(kept):
            raise UserError(
                f"'model' must keep a hidden channel in every layer (got none in block {number}); "
                "prune to a lower target"
            )
        expand, reduce = mlp(block)
        set_mlp(
            block,
            _linear(expand.weight.index_select(0, kept), expand.bias.index_select(0, kept)),
            _linear(reduce.weight.index_select(1, kept), reduce.bias),
        )
    return copy.deepcopy(smaller).eval()


def _linear(weight: Tensor, bias: Tensor) -> nn.Linear:
    layer = nn.Linear(weight.shape[1], weight.shape[0], device="meta")
    layer.weight, layer.bias = nn.Parameter(weight.detach()), nn.Parameter(bias.detach())
    return layer


def random_images(count: int, resolution: int = 32, seed: int = 0) -> Tensor:
    """Return random images from a standard normal distribution, float32 (count, 3, resolution, resolution)."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, 3, resolution, resolution, generator=generator)
