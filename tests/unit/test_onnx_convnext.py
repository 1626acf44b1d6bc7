"""The ConvNeXt for ONNX Runtime is the same function as torchvision's."""

from __future__ import annotations

import pytest
import torch

from edgeai_repro.edge.onnx_convnext import ChannelsLastConvNeXt
from edgeai_repro.networks import convnext
from tests.support.helpers import awaken

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize(("resolution", "stem_stride"), [(32, 4), (32, 2), (48, 4), (224, 4)])
def test_logits_are_those_of_torchvision(resolution: int, stem_stride: int) -> None:
    """They are equal to rounding, at each size of activations that kernels are cropped for."""
    model = awaken(convnext.build("convnext_atto", stem_stride=stem_stride))
    images = convnext.random_images(2, resolution)
    with torch.inference_mode():
        expected = model(images)
        logits = ChannelsLastConvNeXt(model, resolution)(images)

    torch.testing.assert_close(logits, expected, rtol=1e-5, atol=1e-5)
    assert not torch.allclose(expected[0], expected[1], atol=5e-4), "the images must give different logits"


def test_kernels_keep_only_taps_that_meet_a_pixel() -> None:
    """At 32 pixels the last two stages keep 3 × 3 and 1 × 1 of 7 × 7 taps, and none of these can be left out."""
    model = awaken(convnext.build("convnext_atto"))
    channels_last = ChannelsLastConvNeXt(model, 32)
    kernels = [part.depthwise for part in channels_last.parts if hasattr(part, "depthwise")]

    assert [kernel.kernel_size[0] for kernel in kernels] == [7] * 4 + [3] * 6 + [1] * 2
    images = convnext.random_images(2)
    with torch.inference_mode():
        expected = model(images)
        kernels[4].weight[:, :, 0, 0] = 0
        assert (channels_last(images) - expected).abs().max() > 1e-4


def test_exported_model_is_not_changed() -> None:
    """Folding and cropping work on copies."""
    model = convnext.build("convnext_atto")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    ChannelsLastConvNeXt(model, 32)

    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
