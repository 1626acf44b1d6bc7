"""The checks of structured pruning notice a planted wrong value."""

from __future__ import annotations

import re

import pytest
import torch

from edgeai_repro.compress.structured import compressed
from edgeai_repro.networks import convnext
from tests.support.helpers import (
    assert_same_outputs,
    assert_same_tensors,
    awaken,
    difference,
    small_convnext,
    snapshot,
    zero_channels,
    zero_one_more,
)

IMAGES = convnext.random_images(2)


def test_one_wrong_channel_is_noticed() -> None:
    """assert_same_outputs fails if one more channel is zero in one of the networks."""
    model = small_convnext()
    zero_channels(model, 0.5)
    small = compressed(model)
    assert_same_outputs(small, model, IMAGES)
    zero_one_more(model)

    with pytest.raises(AssertionError, match=r"largest difference of the outputs=.*, but should be at most 1e-05"):
        assert_same_outputs(small, model, IMAGES)


def test_one_wrong_bias_is_noticed() -> None:
    """assert_same_outputs fails if a hidden bias was lost, as if only weights were removed."""
    model = small_convnext()
    zero_channels(model, 0.5)
    small = compressed(model)
    convnext.mlp(convnext.blocks(small)[0])[0].bias.detach().zero_()

    with pytest.raises(AssertionError, match="largest difference of the outputs"):
        assert_same_outputs(small, model, IMAGES)


def test_initial_weights_would_hide_a_wrong_channel() -> None:
    """With torchvision's layer scale of 1e-6, removing half of the channels hardly changes the outputs."""
    dense, sparse = convnext.build("convnext_atto"), convnext.build("convnext_atto")
    zero_channels(sparse, 0.5)

    assert difference(dense, sparse, IMAGES) < 1e-5
    assert difference(awaken(dense), awaken(sparse), IMAGES) > 1e-2


def test_one_wrong_weight_is_noticed() -> None:
    """assert_same_tensors fails if one weight differs, and names its tensor."""
    model = small_convnext()
    wrong = snapshot(model)
    wrong["classifier.2.weight"][0, 0] += 1e-3

    with pytest.raises(AssertionError, match=re.escape("largest difference in classifier.2.weight=1.0e-03")):
        assert_same_tensors(wrong, snapshot(model), tolerance=1e-5)


def test_a_missing_tensor_is_noticed() -> None:
    """assert_same_tensors fails if a name is missing."""
    model = small_convnext()
    wrong = snapshot(model)
    del wrong["classifier.2.bias"]

    with pytest.raises(AssertionError, match="names="):
        assert_same_tensors(wrong, snapshot(model))


def test_shapes_are_compared() -> None:
    """assert_same_tensors fails for tensors of another shape, even if they broadcast."""
    with pytest.raises(AssertionError, match=r"shape of w=\(1,\), but should be \(3,\)"):
        assert_same_tensors({"w": torch.ones(1)}, {"w": torch.ones(3)})
