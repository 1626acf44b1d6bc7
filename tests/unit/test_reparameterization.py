"""Deployed networks compute what their training graphs compute, with fewer parameters."""

from __future__ import annotations

import copy

import pytest
import timm
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


@pytest.mark.parametrize("name", ["repvgg_a0", "mobileone_s0"])
def test_network_on_the_meta_device_is_deployed_with_the_same_shapes(name: str) -> None:
    """So its counts need no memory for weights."""
    with torch.device("meta"):
        on_meta = apply(timm.create_model(name), "reparameterize").state_dict()
    deployed = apply(_build(name), "reparameterize").state_dict()

    assert {key: (value.shape, value.dtype) for key, value in on_meta.items()} == {
        key: (value.shape, value.dtype) for key, value in deployed.items()
    }
    assert all(value.is_meta for value in on_meta.values())
