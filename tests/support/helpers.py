"""Networks whose every weight shows in the output, and the comparison of two networks' outputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models.convnext import CNBlockConfig, ConvNeXt

from edgeai_repro.networks.convnext import blocks


def awaken(model: ConvNeXt, seed: int = 0) -> ConvNeXt:
    """Set layer scales to 0.5 and biases at random: with 1e-6 and zeros, no test of equality would see a block."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        if name.endswith("layer_scale"):
            parameter.detach().fill_(0.5)
        elif name.endswith("bias"):
            parameter.detach().normal_(0.0, 0.5, generator=generator)
    return model


def small_convnext(
    widths: Sequence[int] = (6, 8, 10, 12), depths: Sequence[int] = (1, 1, 2, 1), seed: int = 0
) -> ConvNeXt:
    """Return torchvision's ConvNeXt of these widths and depths, 10 classes, awake, in eval mode."""
    settings = [
        CNBlockConfig(width, follower, depth)
        for width, follower, depth in zip(widths, [*widths[1:], None], depths, strict=True)
    ]
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = ConvNeXt(settings, num_classes=10)
    for parameter in model.parameters():
        if parameter.ndim > 1:
            parameter.detach().mul_(5)  # so few channels need more weight to be heard
    return awaken(model, seed).eval()


@torch.no_grad()
def zero_channels(model: ConvNeXt, share: float, seed: int = 0) -> None:
    """Set the given share of each MLP's hidden channels to zero, at random, in place."""
    generator = torch.Generator().manual_seed(seed)
    for block in blocks(model):
        layer = block.block[3]
        chosen = torch.randperm(layer.out_features, generator=generator)[: int(share * layer.out_features)]
        layer.weight[chosen] = 0.0
        layer.bias[chosen] = 0.0


@torch.no_grad()
def zero_one_more(model: ConvNeXt) -> None:
    """Set the strongest hidden channel of the middle block to zero, in place."""
    middle = blocks(model)[len(blocks(model)) // 2]
    expand, reduce = middle.block[3], middle.block[5]
    strongest = (nn.functional.gelu(expand.bias).abs() * reduce.weight.norm(dim=0)).argmax()
    expand.weight[strongest] = 0.0
    expand.bias[strongest] = 0.0


@torch.inference_mode()
def difference(first: nn.Module, second: nn.Module, images: Tensor) -> float:
    """Return the largest absolute difference of two networks' outputs."""
    return float((first(images) - second(images)).abs().max())


def assert_same_outputs(first: nn.Module, second: nn.Module, images: Tensor, tolerance: float = 1e-5) -> None:
    """Fail where two networks' outputs differ by more than `tolerance` anywhere."""
    __tracebackhide__ = True
    found = difference(first, second, images)
    assert found <= tolerance, (
        f"largest difference of the outputs={found:.1e}, but should be at most {tolerance:.0e}"
    )


def snapshot(model: nn.Module) -> dict[str, Tensor]:
    """Return a copy of the state_dict."""
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def assert_same_tensors(found: dict[str, Any], expected: dict[str, Any], tolerance: float = 0.0) -> None:
    """Fail where two dicts of tensors differ in a name, or in a value by more than `tolerance`."""
    __tracebackhide__ = True
    assert found.keys() == expected.keys(), f"names={sorted(found)}, but should be {sorted(expected)}"
    for name, tensor in expected.items():
        shapes = tuple(found[name].shape), tuple(tensor.shape)
        assert shapes[0] == shapes[1], f"shape of {name}={shapes[0]}, but should be {shapes[1]}"
        error = float((found[name].double() - tensor.double()).abs().max())
        assert error <= tolerance, (
            f"largest difference in {name}={error:.1e}, but should be at most {tolerance:.0e}"
        )
