"""Deployed networks compute what their training graphs compute, with fewer parameters."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from edgeai_repro.compress.techniques import apply
from edgeai_repro.errors import UserError
from edgeai_repro.networks.convnext import random_images
from edgeai_repro.networks.initial import draw_norms
from tests.support.helpers import assert_same_tensors, snapshot

# Parameters of the training graph and of the deployed one with 1000 classes, by closed forms of the fact sheet.
PARAMETERS = {"repvgg_a0": (9_108_968, 8_309_384), "mobileone_s0": (5_293_272, 2_078_504)}


def _build(name: str) -> nn.Module:
    """Return timm's network with random weights and BatchNorm statistics."""
    import timm

    torch.manual_seed(0)
    model = timm.create_model(name, num_classes=1000)
    draw_norms(model)
    return model.eval()


def _relative(first: nn.Module, second: nn.Module) -> float:
    """Return the largest difference of the outputs, relative to the largest output."""
    images = random_images(2, 32)
    with torch.inference_mode():
        expected, outputs = first(images), second(images)
    return float((outputs - expected).abs().max() / expected.abs().max())


@pytest.mark.parametrize("name", PARAMETERS)
def test_deployed_network_has_the_outputs_of_the_training_graph(name: str) -> None:
    """Within 1e-4, and with the parameters of the closed forms. The given network does not change."""
    network = _build(name)
    before = snapshot(network)
    deployed = apply(network, "reparameterize")

    assert _relative(network, deployed) < 1e-4
    assert tuple(sum(p.numel() for p in model.parameters()) for model in (network, deployed)) == PARAMETERS[name]
    assert_same_tensors(network.state_dict(), before)


def test_a_branch_that_is_left_out_is_seen() -> None:
    """This is the control: without one of about 50 branches, the outputs differ."""
    network = _build("repvgg_a0")
    changed = copy.deepcopy(network)
    norms = [module for module in changed.modules() if isinstance(module, nn.BatchNorm2d)]
    norms[len(norms) // 2].weight.data.zero_()

    assert _relative(network, apply(changed, "reparameterize")) > 1e-3


def test_network_in_training_mode_is_deployed_for_evaluation() -> None:
    """The statistics of BatchNorm are merged, not those of a batch."""
    network = _build("repvgg_a0")
    deployed = apply(copy.deepcopy(network).train(), "reparameterize")

    assert not deployed.training
    assert _relative(network, deployed) < 1e-4


def test_network_without_branches_is_refused() -> None:
    """One line names what it got."""
    with pytest.raises(UserError, match=r"must be applied to a network with branches .*\(got Sequential, "):
        apply(nn.Sequential(nn.Conv2d(3, 4, 3)), "reparameterize")


def test_network_without_values_is_refused() -> None:
    """timm can't merge on the meta device."""
    with pytest.raises(UserError, match=r"must have values to be reparameterized .*; build it on the CPU"):
        apply(nn.Conv2d(3, 4, 3, device="meta"), "reparameterize")
