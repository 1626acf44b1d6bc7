"""Sources of bundles of any network."""

from __future__ import annotations

from typing import Any

from torch import nn

from edgeai_repro.edge.any_network import network_source
from edgeai_repro.edge.model_source import ModelSource
from tests.support.helpers import two_layers

SIDE = 32  # pixels of the images


def source(network: nn.Module | None = None, **options: Any) -> ModelSource:
    """Return the source of a network, by default one of two layers."""
    return network_source("net", network or two_layers(), resolution=SIDE, **options)
