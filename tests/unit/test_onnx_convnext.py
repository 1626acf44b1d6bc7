"""ConvNeXt as a runtime likes it is the same function."""

from __future__ import annotations

import pytest
import torch

from edgeai_repro.edge.onnx_convnext import ChannelsLast
from edgeai_repro.networks import convnext
from tests.support.helpers import awaken

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize(("resolution", "stem_stride"), [(32, 4), (32, 2), (48, 4), (224, 4)])
def test_same(resolution: int, stem_stride: int) -> None:
    """The logits are torchvision's to rounding, at every size of the activations that kernels are cut to."""
    model = awaken(convnext.build("convnext_atto", stem_stride=stem_stride))
    images = convnext.random_images(2, resolution)
    with torch.inference_mode():
        expected = model(images)
        found = ChannelsLast(model, resolution)(images)

    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    assert not torch.allclose(expected[0], expected[1], atol=5e-4), "else the images would not matter"


def test_taps() -> None:
    """At 32 pixels the last stages keep 3 × 3 and 1 × 1 taps of 7 × 7; one tap less would show."""
    model = awaken(convnext.build("convnext_atto"))
    changed = ChannelsLast(model, 32)
    kernels = [part.depthwise for part in changed.parts if hasattr(part, "depthwise")]

    assert [kernel.kernel_size[0] for kernel in kernels] == [7] * 4 + [3] * 6 + [1] * 2
    images = convnext.random_images(2)
    with torch.inference_mode():
        expected = model(images)
        kernels[4].weight[:, :, 0, 0] = 0
        assert (changed(images) - expected).abs().max() > 1e-4


def test_untouched() -> None:
    """The model that is exported is left as it was."""
    model = convnext.build("convnext_atto")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    ChannelsLast(model, 32)

    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
