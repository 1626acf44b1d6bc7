"""The fast depthwise convolution has the values and gradients of torch's own."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from edgeai_repro.networks import convnext
from edgeai_repro.networks.fast_cpu.depthwise import fast_depthwise


def gradients(conv: nn.Conv2d, images: torch.Tensor, back: torch.Tensor, *, bf16: bool) -> list[torch.Tensor]:
    """Return the output of `conv` and the gradients of its input, weight and bias, as float32."""
    images = images.clone().requires_grad_()
    conv.zero_grad()
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        output = conv(images)
    output.float().backward(back)
    assert images.grad is not None
    assert conv.weight.grad is not None
    assert conv.bias is not None
    assert conv.bias.grad is not None
    return [output.detach().float(), images.grad, conv.weight.grad, conv.bias.grad]


@pytest.mark.parametrize("bf16", [False, True], ids=["fp32", "bf16"])
@pytest.mark.parametrize(("height", "width"), [(1, 1), (2, 2), (4, 4), (8, 8), (16, 16), (20, 20), (3, 5), (1, 8)])
def test_values_and_gradients_equal_those_of_torch(height: int, width: int, bf16: bool) -> None:
    """For maps of any size, larger or smaller than the kernel, up to rounding."""
    generator = torch.Generator().manual_seed(0)
    conv = nn.Conv2d(6, 6, 7, padding=3, groups=6)
    convnext.initialise(conv, 0)
    nn.init.normal_(conv.bias, generator=generator)
    images, back = (torch.randn(5, 6, height, width, generator=generator) for _ in range(2))

    expected = gradients(conv, images, back, bf16=False)
    with fast_depthwise(conv):
        actual = gradients(conv, images, back, bf16=bf16)

    for theirs, ours in zip(expected, actual, strict=True):
        scale = float(theirs.abs().max())
        torch.testing.assert_close(ours, theirs, rtol=0, atol=scale * (2e-2 if bf16 else 1e-5))


def replaced(model: nn.Module) -> list[nn.Module]:
    """Return the modules that compute with another function than that of their class."""
    return [module for module in model.modules() if "forward" in vars(module)]


def test_the_model_is_restored_afterwards() -> None:
    """Only depthwise convolutions are replaced, and none after the block, not even after an exception."""
    model = convnext.build("convnext_atto")

    with fast_depthwise(model):
        assert replaced(model) == [block.block[0] for block in convnext.blocks(model)]

    with pytest.raises(RuntimeError, match=r"size of tensor|expected input"), fast_depthwise(model):
        model(torch.zeros(1, 5, 32, 32))

    assert replaced(model) == []


def test_blocks_can_be_nested() -> None:
    """The inner block neither replaces a layer again nor restores it."""
    model = convnext.build("convnext_atto")

    with fast_depthwise(model):
        outer = [vars(module)["forward"] for module in replaced(model)]
        with fast_depthwise(model):
            assert [vars(module)["forward"] for module in replaced(model)] == outer
        assert [vars(module)["forward"] for module in replaced(model)] == outer

    assert replaced(model) == []


@pytest.mark.parametrize(
    "conv",
    [nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 4, 3, groups=4), nn.Conv2d(4, 4, 3, 2, 1, groups=4)],
    ids=["dense", "no padding", "strided"],
)
def test_other_convolutions_are_not_replaced(conv: nn.Conv2d) -> None:
    """Only depthwise convolutions with stride 1 and 'same' padding are."""
    with fast_depthwise(conv):
        assert replaced(conv) == []
