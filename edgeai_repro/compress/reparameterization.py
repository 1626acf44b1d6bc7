"""Structural reparameterization: the branches of a training graph merged into the layers that are deployed.

RepVGG (Ding et al. 2021), MobileOne (Vasu et al. 2022) and others train blocks of several branches whose sum is one
convolution. The merging is timm's.
"""

from __future__ import annotations

import copy

import torch
from torch import nn

from edgeai_repro.errors import UserError


def reparameterize(model: nn.Module) -> nn.Module:
    """Return the deployed network of `model`, in eval mode, on its device, which may be meta.

    `model` does not change. Raises UserError for a network in which timm finds no branches to merge.
    """
    from timm.utils.model import reparameterize_model  # not at the top, because timm's import takes seconds

    device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    with torch.no_grad(), device:  # timm creates the merged layers on the current device
        deployed: nn.Module = reparameterize_model(copy.deepcopy(model).eval(), inplace=True)
    if deployed.state_dict().keys() == model.state_dict().keys():
        raise UserError(
            f"'reparameterize' must be applied to a network with branches that timm can merge "
            f"(got {type(model).__name__}, which has none); RepVGG and MobileOne have some"
        )
    return deployed
