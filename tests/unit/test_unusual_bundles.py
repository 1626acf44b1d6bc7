"""Bundles and audits of unusual networks by the command line: what fails is one line, and the rest comes out."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from edgeai_repro.edge import bundle
from edgeai_repro.edge.manifest import TECHNIQUE_OF_VARIANT
from tests.support.commands import Command

pytestmark = pytest.mark.usefixtures("one_thread")
MODULE = '''
import torch
from torch import nn


class Net(nn.Module):
    """A convolution and a linear layer; `middle` changes the features between them."""

    def __init__(self, middle, channels=3):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.middle = nn.Conv2d(channels, 16, 3, 2), middle
        self.pool, self.last = nn.AdaptiveAvgPool2d(1), nn.Linear(16, 4)

    def forward(self, image):
        return self.last(self.pool(self.middle(self.first(image))).flatten(1))


def in_place():
    def middle(x):
        x.relu_().mul_(2)
        x[:, :, 0] += 1
        return x

    return Net(middle)


def dynamic():
    return Net(lambda x: x + x[x > 0].sum())


def resized():
    return Net(lambda x: nn.functional.interpolate(x, size=(x.shape[-2] // 2, 12)).relu())


def odd_pool():
    return Net(nn.AdaptiveAvgPool2d(4))


@torch.library.custom_op("edgeai_unusual::double", mutates_args=())
def double(x: torch.Tensor) -> torch.Tensor:
    return x * 2


@double.register_fake
def _(x):
    return torch.empty_like(x)


def custom():
    return Net(lambda x: torch.ops.edgeai_unusual.double(x).relu())


def grey():
    return Net(nn.ReLU(), channels=1)


def two_inputs():
    class Two(Net):
        def forward(self, image, scale):
            return super().forward(image * scale)

    return Two(nn.ReLU()), (torch.zeros(1, 3, 32, 32), torch.ones(1))


def two_outputs():
    class Both(Net):
        def forward(self, image):
            return super().forward(image), image

    return Both(nn.ReLU())


def custom_after_pruning():
    return Net(lambda x: x.relu() if x.shape[1] == 16 else torch.ops.edgeai_unusual.double(x).relu() / 2)
'''


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with a function for each network."""
    path = tmp_path_factory.mktemp("own") / "own.py"
    path.write_text(MODULE, encoding="utf-8")
    return path


@pytest.mark.parametrize("name", ["in_place", "resized", "dynamic"])
def test_changes_in_place_and_shapes_from_the_image_or_its_values_give_all_six_variants(
    name: str, file: Path, command: Command, tmp_path: Path
) -> None:
    """Each was compared with torch before it was written."""
    status, _, err = command("bundle", f"{file}:{name}", "--resolution=32", f"--output={tmp_path / 'b'}")

    assert (status, err) == (0, "")
    assert set(bundle.load(tmp_path / "b").manifest.models) == set(TECHNIQUE_OF_VARIANT)


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("custom", "must be one that torch can export (got "),
        ("grey", "must take one RGB image of 32 pixels (got "),
        ("two_inputs", "must take one RGB image (got 2 tensors: shape (1, 3, 32, 32), shape (1,)); write a module"),
        ("two_outputs", "must return logits of the shape (1, classes) (got 2 tensors: shape (1, 4), shape"),
    ],
)
def test_network_that_no_bundle_can_hold_is_refused_in_a_line(
    name: str, line: str, file: Path, command: Command, tmp_path: Path
) -> None:
    """Nothing is left behind."""
    status, out, err = command("bundle", f"{file}:{name}", "--resolution=32", f"--output={tmp_path / 'b'}")

    assert (status, out) == (2, "")
    assert line in err
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_pruned_network_that_cannot_be_exported_leaves_the_dense_variants(
    file: Path, command: Command, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The manifest has the reason for each variant that is left out."""
    status, *_ = command("bundle", f"{file}:custom_after_pruning", "--resolution=32", f"--output={tmp_path / 'b'}")
    manifest = bundle.load(tmp_path / "b").manifest

    assert status == 0
    assert set(manifest.models) == {"fp32", "int8", "static-int8"}
    assert set(manifest.left_out) == {"pruned", "pruned-int8", "pruned-static-int8"}
    assert all("one that torch can export (got " in reason for reason in manifest.left_out.values())
    assert sum("left out: " in message for message in caplog.messages) == 3


def test_calibration_folder_with_one_corrupt_image_leaves_out_static_int8_only(
    file: Path, command: Command, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The image has a line, and so has each variant that needs images."""
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "torn.png").write_bytes(b"\x89PNG\r\n\x1a\n torn")
    status, *_ = command(
        "bundle",
        f"{file}:in_place",
        "--resolution=32",
        f"--calibrate={tmp_path / 'photos'}",
        f"--output={tmp_path / 'b'}",
    )

    assert status == 0
    assert set(bundle.load(tmp_path / "b").manifest.models) == {"fp32", "int8", "pruned", "pruned-int8"}
    assert "torn.png: must be an image" in caplog.text
    assert caplog.text.count("must contain images to calibrate on (got none)") == 2


def test_audit_of_a_custom_operator_has_a_line_for_what_needs_the_operator_elsewhere(
    file: Path, command: Command
) -> None:
    """Counts, sizes and int8 come out; the counts are a lower bound, and ONNX Runtime has a line."""
    status, out, _ = command(
        "audit", f"{file}:custom", "--resolution=32", "--no-latency", "--onnxruntime", "--threads=1"
    )

    assert status == 0
    assert "edgeai_unusual::double have no rule; the MACs are a lower bound" in out
    assert "onnxruntime fp32  the network must be one that torch can export" in out
    assert "dynamic quantization" in out


def test_current_exporter_writes_what_the_torchscript_one_cannot(
    file: Path, command: Command, tmp_path: Path
) -> None:
    """It has no form of a pooling from 15 × 15 to 4 × 4 values. All six variants come out, each like torch's."""
    pytest.importorskip("onnxscript")
    status, *_ = command("bundle", f"{file}:odd_pool", "--resolution=32", f"--output={tmp_path / 'b'}")

    assert status == 0
    assert set(bundle.load(tmp_path / "b").manifest.models) == set(TECHNIQUE_OF_VARIANT)


def test_package_of_the_current_exporter_is_named_if_it_is_missing(
    file: Path, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So is the reason of the TorchScript exporter."""
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    status, _, err = command("bundle", f"{file}:odd_pool", "--resolution=32", f"--output={tmp_path / 'b'}")

    assert status == 2
    assert "adaptive" in err
    assert "pip install onnxscript" in err
