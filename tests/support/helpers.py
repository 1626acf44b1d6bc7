"""Networks whose every weight affects the output, and comparisons of two networks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torchvision.models.convnext import CNBlockConfig, ConvNeXt

from edgeai_repro.networks.convnext import blocks, initialise, mlp
from edgeai_repro.networks.variants import CONVNEXT_VARIANTS

M = TypeVar("M", bound=nn.Module)


def awaken(model: M, seed: int = 0) -> M:
    """Set layer scales to 0.5 and biases at random, and return the model.

    With the initial 1e-6 and zeros, a test of equal outputs would not notice a wrong block.
    """
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        if name.endswith(("layer_scale", "gamma")):  # its names in torchvision and timm
            parameter.detach().fill_(0.5)
        elif name.endswith("bias"):
            parameter.detach().normal_(0.0, 0.5, generator=generator)
    return model


def small_convnext(
    widths: Sequence[int] = (6, 8, 10, 12), depths: Sequence[int] = (1, 1, 2, 1), seed: int = 0
) -> ConvNeXt:
    """Return torchvision's ConvNeXt of these dims and depths, for 10 classes, in eval mode, after `awaken`."""
    settings = [
        CNBlockConfig(width, follower, depth)
        for width, follower, depth in zip(widths, [*widths[1:], None], depths, strict=True)
    ]
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = ConvNeXt(settings, num_classes=10)
    for parameter in model.parameters():
        if parameter.ndim > 1:
            parameter.detach().mul_(5)  # with so few channels, larger weights are needed to affect the output
    return awaken(model, seed).eval()


def build_timm(name: str, *, num_classes: int = 10, seed: int | None = 0) -> nn.Module:
    """Build timm's implementation of the ConvNeXt `name`, with Linear layers in its MLPs, in eval mode.

    It is an independent implementation. Its parameters have the same order as torchvision's, but other names, and
    its layer scales have the shape (C,) instead of (C, 1, 1).
    """
    import timm  # not at the top, because the import takes seconds

    architecture = CONVNEXT_VARIANTS[name]
    with torch.device("meta"):
        model = timm.create_model(
            name, num_classes=num_classes, conv_mlp=False, depths=architecture.depths, dims=architecture.dims
        )
    model.to_empty(device="cpu")
    if seed is not None:
        initialise(model, seed)
    return model.eval()


@torch.no_grad()
def zero_channels(model: ConvNeXt, share: float, seed: int = 0) -> None:
    """Set the given share of each MLP's hidden channels to zero, at random, in place."""
    generator = torch.Generator().manual_seed(seed)
    for block in blocks(model):
        layer, _ = mlp(block)
        channels = torch.randperm(layer.out_features, generator=generator)[: int(share * layer.out_features)]
        layer.weight[channels] = 0.0
        layer.bias[channels] = 0.0


@torch.no_grad()
def zero_one_more(model: ConvNeXt) -> None:
    """Set the strongest hidden channel of the middle block to zero, in place."""
    middle = blocks(model)[len(blocks(model)) // 2]
    expand, reduce = mlp(middle)
    strongest = (nn.functional.gelu(expand.bias).abs() * reduce.weight.norm(dim=0)).argmax()
    expand.weight[strongest] = 0.0
    expand.bias[strongest] = 0.0


@torch.inference_mode()
def difference(first: nn.Module, second: nn.Module, images: Tensor) -> float:
    """Return the largest absolute difference of the outputs of two networks."""
    return float((first(images) - second(images)).abs().max())


def assert_same_outputs(first: nn.Module, second: nn.Module, images: Tensor, tolerance: float = 1e-5) -> None:
    """Fail if an output of two networks differs by more than `tolerance`."""
    __tracebackhide__ = True
    largest = difference(first, second, images)
    assert largest <= tolerance, (
        f"largest difference of the outputs={largest:.1e}, but should be at most {tolerance:.0e}"
    )


def snapshot(model: nn.Module) -> dict[str, Tensor]:
    """Return a copy of the state_dict."""
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def assert_same_tensors(actual: dict[str, Any], expected: dict[str, Any], tolerance: float = 0.0) -> None:
    """Fail if two dicts of tensors differ in a name, or in a value by more than `tolerance`."""
    __tracebackhide__ = True
    assert actual.keys() == expected.keys(), f"names={sorted(actual)}, but should be {sorted(expected)}"
    for name, tensor in expected.items():
        shapes = tuple(actual[name].shape), tuple(tensor.shape)
        assert shapes[0] == shapes[1], f"shape of {name}={shapes[0]}, but should be {shapes[1]}"
        error = float((actual[name].double() - tensor.double()).abs().max())
        assert error <= tolerance, (
            f"largest difference in {name}={error:.1e}, but should be at most {tolerance:.0e}"
        )


def two_layers(classes: int = 3, *, channels: int = 3) -> nn.Module:
    """A convolution and a linear layer."""
    torch.manual_seed(0)
    pool = [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(nn.Conv2d(channels, 8, 3, 2), nn.ReLU(), *pool, nn.Linear(8, classes)).eval()
