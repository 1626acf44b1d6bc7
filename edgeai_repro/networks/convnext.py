"""ConvNeXt as torch modules: torchvision's code, built without the seconds that its initialisation takes."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar, cast

import torch
from torch import Tensor, nn
from torchvision.models import get_model
from torchvision.models.convnext import CNBlock, CNBlockConfig, ConvNeXt

from edgeai_repro.networks.variants import CONVNEXT_VARIANTS, TIMM_PREFIX, Architecture

WEIGHT_STD = 0.02  # torchvision's trunc_normal_(std=0.02), cut at ± 2 absolute, is this normal distribution
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

    The weights follow torchvision's initial distribution under `seed`; with `seed=None` they are left
    uninitialised, for a `state_dict` to fill. `hidden_widths` gives each block's MLP width where it was pruned;
    `stem_stride` is the stem's stride and kernel size. Input is (N, 3, H, W), H and W multiples of
    `8 * stem_stride`; output (N, num_classes) logits. Raises KeyError for an unknown name.
    """
    architecture = CONVNEXT_VARIANTS[name]
    with torch.device("meta"):
        model = _skeleton(architecture, num_classes, stem_stride)
        if hidden_widths is not None:
            resize_hidden(model, hidden_widths)
    model.to_empty(device="cpu")
    if seed is not None:
        initialise(model, seed)
    return model.eval()


def build_on_meta(name: str, *, num_classes: int = 10) -> nn.Module:
    """Build a ConvNeXt, or any other of torchvision's or timm's models, on the meta device, in eval mode.

    It has layers and shapes and no values: what is counted by shapes alone takes a fraction of a second.
    """
    with torch.device("meta"):
        architecture = CONVNEXT_VARIANTS.get(name)
        model = _skeleton(architecture, num_classes, 4) if architecture else _published(name, num_classes)
    return model.eval()


def build_timm(name: str, *, num_classes: int = 10, seed: int | None = 0) -> nn.Module:
    """Build timm's implementation of the ConvNeXt `name`, with Linear layers in its MLPs, in eval mode.

    The second source: the same layers as `build`, and the same parameters in the same order, under other names and
    with layer scales of shape (C,) for torchvision's (C, 1, 1).
    """
    import timm  # here, for it takes seconds

    architecture = CONVNEXT_VARIANTS[name]
    with torch.device("meta"):
        model = timm.create_model(
            name, num_classes=num_classes, conv_mlp=False, depths=architecture.depths, dims=architecture.widths
        )
    model.to_empty(device="cpu")
    if seed is not None:
        initialise(model, seed)
    return model.eval()


def build_from_zoo(name: str, *, num_classes: int = 10, seed: int = 0) -> nn.Module:
    """Build any of torchvision's classification models, or timm's `timm:NAME`, as its own code does under `seed`.

    It comes in eval mode, with random weights.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = _published(name, num_classes)
    return model.eval()


def _published(name: str, num_classes: int) -> nn.Module:
    if name.startswith(TIMM_PREFIX):
        import timm  # here, for it takes seconds

        return timm.create_model(name.removeprefix(TIMM_PREFIX), num_classes=num_classes)
    return cast(nn.Module, get_model(name, weights=None, num_classes=num_classes))


def _skeleton(architecture: Architecture, num_classes: int, stem_stride: int) -> ConvNeXt:
    followers = [*architecture.widths[1:], None]
    model = ConvNeXt(
        [
            CNBlockConfig(width, follower, depth)
            for width, follower, depth in zip(architecture.widths, followers, architecture.depths, strict=True)
        ],
        stochastic_depth_prob=architecture.stochastic_depth,
        num_classes=num_classes,
    )
    if stem_stride != 4:
        model.features[0][0] = nn.Conv2d(3, architecture.widths[0], stem_stride, stem_stride)
    return model


def blocks(model: nn.Module) -> list[CNBlock]:
    """Return the residual blocks in the order of execution."""
    return [module for module in model.modules() if isinstance(module, CNBlock)]


def hidden_widths(model: nn.Module) -> tuple[int, ...]:
    """Return each block's MLP width, in the order of the blocks; a quantized model answers too."""
    return tuple(int(block.block[3].out_features) for block in blocks(model))


def resize_hidden(model: ConvNeXt, widths: Sequence[int]) -> None:
    """Give each block new, uninitialised MLP layers of the given widths. Raises ValueError on a wrong count."""
    for block, width in zip(blocks(model), widths, strict=True):
        channels = cast(int, block.block[3].in_features)
        block.block[3] = nn.Linear(channels, width)
        block.block[5] = nn.Linear(width, channels)


def initialise(model: nn.Module, seed: int) -> None:
    """Fill all parameters as torchvision's constructor does: normal weights, zero biases, layer scale 1e-6.

    Each weight has a generator of its own, so that threads share the work and the values don't depend on them.
    """
    layers = [module for module in model.modules() if isinstance(module, nn.Conv2d | nn.Linear)]

    def draw(layer: nn.Conv2d | nn.Linear, own: int) -> None:
        layer.weight.detach().normal_(0.0, WEIGHT_STD, generator=torch.Generator().manual_seed(own))

    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        list(pool.map(draw, layers, draw_seeds(seed, len(layers))))
    for name, parameter in model.named_parameters():
        if name.endswith(("layer_scale", "gamma")):  # torchvision's and timm's name of it
            parameter.detach().fill_(LAYER_SCALE)
        elif name.endswith("bias"):
            parameter.detach().zero_()
        elif parameter.ndim == 1:  # the weight of a LayerNorm
            parameter.detach().fill_(1.0)


def draw_seeds(seed: int, count: int) -> list[int]:
    """Return `count` seeds drawn under `seed`."""
    drawn: list[int] = torch.randint(2**32, (count,), generator=torch.Generator().manual_seed(seed)).tolist()
    return drawn


def clone_sharing_tensors(model: M) -> M:
    """Return a new tree of modules over the same tensors: parameters, buffers and packed int8 weights.

    Layers can be replaced and buffers added in it without a trace in `model`, at no cost in memory; but a value
    written in place is seen by both.
    """
    memo: dict[int, object] = {id(buffer): buffer.detach() for buffer in model.buffers()}
    for parameter in model.parameters():
        memo[id(parameter)] = nn.Parameter(parameter.detach(), parameter.requires_grad)
    for module in model.modules():
        packed = [value for value in vars(module).values() if isinstance(value, torch.ScriptObject)]
        memo.update({id(value): value for value in packed})
    return copy.deepcopy(model, memo)


def random_images(count: int, resolution: int = 32, seed: int = 0) -> Tensor:
    """Return generated images, float32 (count, 3, resolution, resolution), standard normal."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, 3, resolution, resolution, generator=generator)
