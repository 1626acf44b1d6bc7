"""How papers counted their own pruned networks, where that is not what any counter reports.

Each convention takes the unpruned network and the pruned one, with all the filters cut that the paper lists, both
on the meta device. It returns the parameters and multiply-accumulates that the authors' script prints for each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import torch
from torch import Tensor, nn

from edgeai_repro.errors import UserError
from edgeai_repro.evidence.measurement import Settings
from edgeai_repro.measure.counts import Reported

Convention = Callable[[nn.Module, nn.Module, int, Settings], tuple[Reported, Reported]]


def hrank(dense: nn.Module, cut: nn.Module, resolution: int, conditions: Settings) -> tuple[Reported, Reported]:
    """Count as `get_flops.py` of lmbxmu/HRank (version c03ac85): outputs that are cut count, the next inputs don't.

    BatchNorm is not counted. The biases of convolutions are parameters; those of Linear layers also count as work.
    """
    linear = sum(parameter.numel() for layer in _linear(dense) for parameter in layer.parameters())
    convolutions = list(_convolutions(dense, resolution))
    filters = [layer.out_channels for layer, _ in _convolutions(cut, resolution)]
    if len(filters) != len(convolutions):
        raise UserError(
            "'against' must have as many convolutions as the model for convention 'hrank' "
            f"(got {len(convolutions)} and {len(filters)}); name the unpruned network"
        )

    def counted(kept: list[int]) -> Reported:
        parameters = macs = linear
        for (layer, pixels), outputs in zip(convolutions, kept, strict=True):
            weights = layer.weight.numel() // layer.out_channels * outputs
            parameters += weights + (outputs if layer.bias is not None else 0)
            macs += weights * pixels
        return Reported(parameters, macs)

    return counted([layer.out_channels for layer, _ in convolutions]), counted(filters)


def fpgm(dense: nn.Module, cut: nn.Module, resolution: int, conditions: Settings) -> tuple[Reported, Reported]:
    """Count as `cifar_resnet_flop.py` of he-y/soft-filter-pruning (version 919c399), which FPGM's readme names.

    A share `kept` of each layer's filters stays, as a real number. The first layer and the first convolution of a
    block lose outputs. The second convolution, and the first of a wider stage, lose inputs and outputs, although
    the shortcut keeps its channels. Only convolutions count.
    """
    if "kept" not in conditions:
        raise UserError("'conditions.kept' is missing: convention 'fpgm' needs the share of the filters that stay")
    kept = float(conditions["kept"])
    convolutions = list(_convolutions(dense, resolution))
    if not convolutions or len(convolutions) % 2 == 0:
        raise UserError(
            "'against' must be a ResNet with two convolutions per block for convention 'fpgm' "
            f"(got {len(convolutions)} convolutions); name the unpruned network"
        )
    widens = [layer.out_channels != layer.in_channels for layer, _ in convolutions]
    whole_inputs = [index == 0 or (index % 2 == 1 and not wider) for index, wider in enumerate(widens)]
    shares = [kept if whole else kept**2 for whole in whole_inputs]

    def counted(shares: list[float]) -> Reported:
        weights = [share * layer.weight.numel() for (layer, _), share in zip(convolutions, shares, strict=True)]
        macs = sum(weight * pixels for weight, (_, pixels) in zip(weights, convolutions, strict=True))
        return Reported(round(sum(weights)), round(macs))

    return counted([1.0] * len(shares)), counted(shares)


CONVENTIONS: Mapping[str, Convention] = {"hrank": hrank, "fpgm": fpgm}


def _linear(model: nn.Module) -> Iterator[nn.Linear]:
    return (layer for layer in model.modules() if isinstance(layer, nn.Linear))


def _convolutions(model: nn.Module, resolution: int) -> list[tuple[nn.Conv2d, int]]:
    """Return the convolutions in the order of execution, each with the number of pixels of its output."""
    found: list[tuple[nn.Conv2d, int]] = []

    def note(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        assert isinstance(layer, nn.Conv2d)
        found.append((layer, output.shape[-2] * output.shape[-1]))

    hooks = [layer.register_forward_hook(note) for layer in model.modules() if isinstance(layer, nn.Conv2d)]
    try:
        with torch.inference_mode():
            model(torch.zeros(1, 3, resolution, resolution, device="meta"))
    finally:
        for hook in hooks:
            hook.remove()
    return found
