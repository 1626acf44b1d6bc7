"""Int8 simulated in torch is what the definition says, and leaves the network as it was."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from edgeai_repro.edge.simulated_int8 import dynamic_logits, static_logits

pytestmark = pytest.mark.usefixtures("one_thread")


def linear(weight: float) -> nn.Module:
    """A linear layer of one weight without a bias, behind a pooling of one value."""
    layer = nn.Linear(1, 1, bias=False)
    layer.weight = nn.Parameter(torch.tensor([[weight]]))
    return nn.Sequential(nn.Flatten(), layer)


def test_dynamic_inputs_are_rounded_to_255_levels_of_their_own_range() -> None:
    """0.25 of a range 0 … 1 is 63.75 of 255 levels; the weights are exact, because they are the largest."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(2, 2, bias=False))
    network[1].weight = nn.Parameter(torch.eye(2))
    image = torch.tensor([1.0, 0.25]).view(1, 1, 1, 2)

    logits = dynamic_logits(network, image)

    torch.testing.assert_close(logits, torch.tensor([[1.0, 64 / 255]]))


def test_static_inputs_are_cut_at_the_range_of_the_calibration() -> None:
    """3 is cut to 2, the largest value of the calibration."""
    images, calibration = torch.full((1, 1, 1, 1), 3.0), torch.full((1, 1, 1, 1), 2.0)

    torch.testing.assert_close(static_logits(linear(1.0), images, calibration), torch.tensor([[2.0]]))


def test_convolutions_are_rounded_by_static_int8_only() -> None:
    """A weight of 0.3 of the largest is 38.1 of 127 levels, and the output 254.3 of 255."""
    network = nn.Sequential(nn.Conv2d(1, 1, (1, 2), bias=False), nn.Flatten())
    network[0].weight = nn.Parameter(torch.tensor([1.0, 0.3]).view(1, 1, 1, 2))
    image = torch.tensor([0.0, 1.0]).view(1, 1, 1, 2)

    assert dynamic_logits(network, image).item() == pytest.approx(0.3)
    assert static_logits(network, image, image).item() == pytest.approx(0.3 * 254 / 255)
    assert network[0].weight[0, 0, 0, 1].item() == pytest.approx(0.3), "the network must not change"
    assert network(image).item() == pytest.approx(0.3), "no hook may stay"
