"""The proof that a removal is exact finds planted faults, and says nothing of a correct removal."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from edgeai_repro.compress.pruning_exactness import Cut, Original

IMAGE = (torch.randn(2, 3, 4, 4),)
KEPT = [0, 2, 3]  # of four channels


class Network(nn.Module):
    """Two convolutions with BatchNorm; `scale` is that of the second one's output."""

    def __init__(self, width: int = 4, scale: float = 1.0) -> None:
        super().__init__()
        self.first, self.norm, self.second = nn.Conv2d(3, width, 1), nn.BatchNorm2d(width), nn.Conv2d(width, 2, 1)
        self.scale = scale

    def forward(self, images: Tensor) -> Tensor:
        """Return two channels."""
        return images[:, :2] + self.scale * self.second(self.norm(self.first(images)).sigmoid())


def _cut(kept: dict[str, list[int]] | None = None, **options: float) -> tuple[Network, Cut]:
    """Return a network and its removal of the channel 1; `kept` are other channels of some layers."""
    network, smaller, kept = Network(**options).eval(), Network(len(KEPT), **options).eval(), kept or {}
    places = {}
    for name, tensor in [*network.named_parameters(), *network.named_buffers()]:
        if tensor.is_floating_point():
            positions = torch.arange(tensor.numel()).view(tensor.shape)
            layer = name.partition(".")[0]
            channels = kept.get(layer, KEPT)
            outputs_stay = layer == "second"
            places[name] = positions[:, channels] if name == "second.weight" else positions
            places[name] = places[name] if outputs_stay else positions[channels]
    return network, Cut(smaller, places)


def _why_inexact(network: Network, cut: Cut) -> str | None:
    return Original(network, IMAGE).why_inexact(cut)


def test_a_correct_removal_is_exact() -> None:
    """Even behind a sigmoid, which gives 0.5 for 0: the weights that read the channel are removed, too."""
    assert _why_inexact(*_cut()) is None


def test_a_cut_leaves_no_zeros_behind() -> None:
    """Only while it is compared, so that the next cut meets the same original."""
    network, cut = _cut()
    before = network.first.weight.detach().clone()
    with cut.masked(network):
        zeros = [channel for channel in range(4) if not network.first.weight[channel].any()]

    assert zeros == [1]
    assert torch.equal(network.first.weight, before)


def test_the_wrong_input_channel_is_found() -> None:
    """The second convolution lost the inputs of another channel."""
    reason = _why_inexact(*_cut({"second": [0, 1, 2]}))
    assert "differ by" in (reason or "")


def test_the_wrong_statistics_are_found() -> None:
    """BatchNorm lost another channel; on fresh statistics, which are all equal, nobody would see it."""
    reason = _why_inexact(*_cut({"norm": [0, 1, 3]}))
    assert "differ by" in (reason or "")


def test_channels_in_another_order_are_found() -> None:
    """The channels that are left are the right ones, but two are exchanged in one layer."""
    reason = _why_inexact(*_cut({"first": [2, 0, 3]}))
    assert "differ by" in (reason or "")


def test_outputs_that_hide_the_channels_are_no_proof() -> None:
    """With a layer scale of 1e-6 that is no parameter, even a wrong removal looks right; the control says so."""
    reason = _why_inexact(*_cut({"second": [0, 1, 2]}, scale=1e-6))
    assert reason == "the outputs don't depend on its channels"


def test_a_smaller_network_that_does_not_run_is_found() -> None:
    """One layer kept all its channels."""
    network, cut = _cut()
    cut.structure.second = nn.Conv2d(4, 2, 1)
    cut.places["second.weight"] = torch.arange(8).view(2, 4, 1, 1)
    assert "the network doesn't run" in (_why_inexact(network, cut) or "")


def test_a_network_that_does_not_run_with_zeros_is_found() -> None:
    """What a network raises is part of the reason, whichever of the three networks raises it."""

    class RefusesZeros(Network):
        def forward(self, images: Tensor) -> Tensor:
            if not self.first.weight.all():
                raise ValueError("a weight is 0")
            return super().forward(images)

    _, cut = _cut()
    assert "with zeros in its channels" in (_why_inexact(RefusesZeros().eval(), cut) or "")
