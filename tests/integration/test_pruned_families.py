"""Structured pruning of a sample of families; `make pruning-survey` tries 40 of them with two libraries."""

from __future__ import annotations

import pytest

from tests.support.pruning import by_technique, by_torch_pruning, pruned

# The network, the side of its image, whether a group stays whole, and the least and largest share of the parameters
# that half of the channels can take: a quarter of a matrix's weights stay, a half of those with whole inputs.
SAMPLE = {
    "residual blocks": ("timm:resnet10t", False, (70.0, 75.1)),
    "inverted residuals with squeeze and excitation": ("timm:mobilenetv3_small_050", False, (70.0, 75.1)),
    "branches that are concatenated": ("squeezenet1_1", True, (70.0, 75.1)),
    "a depthwise convolution and a normalisation": ("timm:convnext_atto", True, (40.0, 50.0)),
    "branches that are added": ("timm:repvgg_a0", False, (70.0, 75.1)),
}


@pytest.mark.parametrize("family", SAMPLE)
def test_half_of_the_channels_are_removed_exactly(family: str) -> None:
    """The share of the parameters is that of the channels squared, unless groups stay whole."""
    name, has_whole_groups, (least, most) = SAMPLE[family]
    outcome = pruned(by_technique, name, 32)

    assert outcome.result == "exact", outcome.detail
    assert bool(outcome.detail) == has_whole_groups
    assert least < outcome.removed < most


def test_what_the_library_breaks_by_itself_is_found() -> None:
    """The control: half of all channels of ConvNeXt, with those that its normalisations mix, change the outputs."""
    outcome = pruned(by_torch_pruning, "timm:convnext_atto", 32)
    assert outcome.result == "differs"


def test_channels_that_are_shuffled_are_refused_in_a_line() -> None:
    """torch-pruning can't follow ShuffleNet's reshapes; the reason is its own."""
    outcome = pruned(by_technique, "shufflenet_v2_x0_5", 32)
    assert outcome.result == "refused"
    assert (
        "must be given a network that torch-pruning can follow (got ShuffleNetV2: ZeroDivisionError"
        in outcome.detail
    )
