"""The fast convolutions compute what torch's do, forward and backward."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from edgeai_repro.networks.fast_cpu.small_maps import fast_small_maps

pytestmark = pytest.mark.usefixtures("one_thread")


def _passes(conv: nn.Conv2d, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the output and the gradients of images and weights, for a loss that weighs each output."""
    images = images.clone().requires_grad_()
    output = conv(images)
    (output * torch.linspace(-1, 1, output.numel()).view_as(output)).sum().backward()
    assert images.grad is not None
    assert conv.weight.grad is not None
    gradient, conv.weight.grad = conv.weight.grad, None
    return output.detach(), images.grad, gradient


@pytest.mark.parametrize("side", [1, 2, 4, 8, 16])
def test_all_passes_agree(side: int) -> None:
    """Output and both gradients agree with float64, on maps that are replaced and on larger ones."""
    torch.manual_seed(0)
    conv = nn.Conv2d(256, 257, 3, padding=1, bias=False)
    images = torch.randn(3, 256, side, side).contiguous(memory_format=torch.channels_last)
    exact = nn.Conv2d(256, 257, 3, padding=1, bias=False).double()
    exact.weight.data.copy_(conv.weight)
    expected = _passes(exact, images.double())

    with fast_small_maps(conv):
        actual = _passes(conv, images)

    for ours, theirs in zip(actual, expected, strict=True):
        assert (ours - theirs).norm() < 1e-5 * theirs.norm()


def test_what_is_replaced_is_put_back() -> None:
    """Outside of the block the layer is torch's again."""
    conv = nn.Conv2d(256, 256, 3, padding=1, bias=False)

    with fast_small_maps(conv):
        assert "forward" in vars(conv)

    assert "forward" not in vars(conv)


@pytest.mark.parametrize(
    "conv",
    [
        nn.Conv2d(256, 256, 3, padding=1),
        nn.Conv2d(256, 256, 3, padding=1, stride=2, bias=False),
        nn.Conv2d(256, 256, 1, bias=False),
        nn.Conv2d(64, 256, 3, padding=1, bias=False),
    ],
    ids=["bias", "stride", "kernel", "narrow"],
)
def test_other_layers_are_left(conv: nn.Conv2d) -> None:
    """Only what was measured to be faster is replaced."""
    with fast_small_maps(conv):
        assert "forward" not in vars(conv)
