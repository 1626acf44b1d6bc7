"""Chooses who prunes a network: OTOv3's HESSO if it can follow it, else DepGraph."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, cast

from torch import nn
from torchvision.models.convnext import ConvNeXt

from edgeai_repro.compress import channel_pruning, structured
from edgeai_repro.errors import UserError
from edgeai_repro.evidence.measurement import Settings
from edgeai_repro.networks.variants import IMAGENET_RESOLUTION

HESSO = "hesso"


def prune_to_each(
    model: nn.Module, settings: Sequence[Settings], inputs: tuple[Any, ...] | None
) -> Iterator[nn.Module]:
    """Yield a pruned copy of a network for each of several settings.

    `importance` is hesso, which only torchvision's ConvNeXt can have and has by default, or l1 or group_norm, which
    is the default of all other networks. `target` is a share of `target_of`: of the groups, which HESSO ranks over
    all layers and DepGraph within each, or, with DepGraph only, of the parameters or macs. `inputs` are those of
    the network, None for an image. Raises UserError for whatever the two refuse.
    """
    by_hesso = [setting for setting in settings if _takes_hesso(model, setting)]
    targets = [float(setting["target"]) for setting in by_hesso]
    smaller = structured.prune(cast(ConvNeXt, model), targets) if targets else iter(())
    for setting in settings:
        yield next(smaller)[1] if setting in by_hesso else _by_depgraph(model, setting, inputs)


def _takes_hesso(model: nn.Module, setting: Settings) -> bool:
    importance = setting.get("importance", HESSO if isinstance(model, ConvNeXt) else "")
    if importance != HESSO:
        return False
    if not isinstance(model, ConvNeXt):
        raise UserError(
            f"'importance' must be l1 or group_norm for {type(model).__name__} (got 'hesso', which follows "
            "torchvision's ConvNeXt only); leave it out"
        )
    if (kind := setting.get("target_of", "groups")) != "groups":
        raise UserError(f"'target_of' must be groups with HESSO (got {kind!r}); set 'importance' to group_norm")
    return True


def _by_depgraph(model: nn.Module, setting: Settings, inputs: tuple[Any, ...] | None) -> nn.Module:
    goal = channel_pruning.Goal(
        float(setting["target"]), cast(channel_pruning.TargetOf, setting.get("target_of", "groups"))
    )
    importance = cast(channel_pruning.Importance, setting.get("importance", "group_norm"))
    inputs = inputs or channel_pruning.example_image(model, IMAGENET_RESOLUTION)
    return channel_pruning.prune(model, inputs, goal, importance=importance)
