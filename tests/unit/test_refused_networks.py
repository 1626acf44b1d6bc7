"""Networks that can't be bundled are refused in one line, and nothing is left."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from edgeai_repro.edge import build
from edgeai_repro.errors import UserError
from tests.support.helpers import two_layers
from tests.support.network_sources import source

pytestmark = pytest.mark.usefixtures("one_thread")


class Doubling(nn.Module):
    """A network with a branch on values, which a trace fixes, or with a state that each call changes."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.way, self.inner = way, two_layers()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, image: Tensor) -> Tensor:
        """Return the logits, sometimes twice or more."""
        self.calls += 1
        double = float(image.sum()) > 0 if self.way == "branch" else self.calls
        return self.inner(image) * (1 + double)


class TestRefused:
    """Networks that can't be bundled are refused in one line, and nothing is left."""

    @pytest.mark.parametrize("way", ["branch", "state"])
    def test_forward_that_depends_on_more_than_shapes_gives_other_logits(self, way: str, tmp_path: Path) -> None:
        """The check against torch finds it."""
        network = source(Doubling(way))

        with pytest.raises(UserError, match=r"^fp32\.onnx: must give torch's logits .*keep branches"):
            build.build(network, tmp_path / "b", target=0.5)
        assert list(tmp_path.iterdir()) == []

    def test_network_for_gray_images_is_refused(self) -> None:
        """The line has torch's reason."""
        with pytest.raises(UserError, match=r"must take one RGB image of 32 pixels .*1 channel") as caught:
            source(two_layers(channels=1))
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize(
        ("network", "got"),
        [(nn.Conv2d(3, 4, 3), r"shape \(1, 4, 30, 30\)"), (nn.LSTM(32, 4), "")],
        ids=["feature maps", "no image"],
    )
    def test_network_without_logits_is_refused(self, network: nn.Module, got: str) -> None:
        """A map of features is no row of logits."""
        with pytest.raises(UserError, match=rf"'net' must .*{got}"):
            source(network)

    def test_network_with_several_inputs_is_refused(self) -> None:
        """Their shapes are named."""
        images = (torch.zeros(1, 3, 8, 8), torch.zeros(1, 1))

        with pytest.raises(
            UserError, match=r"must take one RGB image \(got 2 tensors: shape \(1, 3, 8, 8\), shape"
        ):
            source(inputs=images)

    def test_network_with_several_outputs_is_refused(self) -> None:
        """One of them would have to be chosen."""

        class Both(nn.Module):
            def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
                return image.mean((2, 3)), image

        with pytest.raises(UserError, match=r"must return logits .* \(got 2 tensors: shape \(1, 3\), shape"):
            source(Both())

    def test_dense_model_for_another_network_is_refused(self, tmp_path: Path) -> None:
        """Only a pruned ConvNeXt has one."""
        with pytest.raises(UserError, match=r"'--dense' must go with a pruned ConvNeXt \(got net\)"):
            build.build(source(), tmp_path / "b", dense=source(), target=0.5)
