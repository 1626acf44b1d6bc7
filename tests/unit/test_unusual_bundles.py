"""Bundles and audits of unusual networks by the command line: what can't be done is one line, the rest comes out."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from edgeai_repro.edge import bundle
from edgeai_repro.edge.export import export
from edgeai_repro.edge.manifest import TECHNIQUE_OF_VARIANT
from edgeai_repro.edge.runtime import open_session
from edgeai_repro.errors import UserError
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
    return Net(lambda x: x[x > 0][None, None, None].expand(1, 16, 1, -1))


def resized():
    return Net(lambda x: nn.functional.interpolate(x, scale_factor=x.shape[-1] / 8).relu())


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


def export_fails_after_pruning():
    def middle(x):
        if x.shape[1] < 16 and torch.onnx.is_in_onnx_export():
            raise ValueError("narrow")
        return x.relu()

    return Net(middle)
'''


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with a function for each network."""
    path = tmp_path_factory.mktemp("own") / "own.py"
    path.write_text(MODULE, encoding="utf-8")
    return path


@pytest.mark.parametrize("name", ["in_place", "resized"])
def test_changes_in_place_and_shapes_from_the_image_give_all_six_variants(
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
        ("dynamic", "torch"),
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
    file: Path, command: Command, tmp_path: Path
) -> None:
    """The manifest has the reason for each variant that is left out."""
    status, _, err = command(
        "bundle", f"{file}:export_fails_after_pruning", "--resolution=32", f"--output={tmp_path / 'b'}"
    )
    manifest = bundle.load(tmp_path / "b").manifest

    assert status == 0
    assert set(manifest.models) == {"fp32", "int8", "static-int8"}
    assert set(manifest.left_out) == {"pruned", "pruned-int8", "pruned-static-int8"}
    assert all("narrow" in reason for reason in manifest.left_out.values())
    assert err.count("\n") == 3


def test_calibration_folder_with_one_corrupt_image_leaves_out_static_int8_only(
    file: Path, command: Command, tmp_path: Path
) -> None:
    """The image has a line, and so has each variant that needs images."""
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "torn.png").write_bytes(b"\x89PNG\r\n\x1a\n torn")
    status, _, err = command(
        "bundle",
        f"{file}:in_place",
        "--resolution=32",
        f"--calibrate={tmp_path / 'photos'}",
        f"--output={tmp_path / 'b'}",
    )

    assert status == 0
    assert set(bundle.load(tmp_path / "b").manifest.models) == {"fp32", "int8", "pruned", "pruned-int8"}
    assert "torn.png: must be an image" in err
    assert err.count("must contain images to calibrate on (got none)") == 2


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


def odd_pooling() -> nn.Module:
    """Return a network that pools 15 × 15 to 4 × 4 values, which torch's TorchScript exporter can't express."""
    torch.manual_seed(0)
    pool = [nn.AdaptiveAvgPool2d(4), nn.Flatten()]
    return nn.Sequential(nn.Conv2d(3, 8, 3, 2), nn.ReLU(), *pool, nn.Linear(128, 4)).eval()


def test_current_exporter_writes_what_the_torchscript_one_cannot(tmp_path: Path) -> None:
    """The file has the names and the external weights of all others, and gives torch's logits."""
    pytest.importorskip("onnxscript")
    network, image = odd_pooling(), torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    path = tmp_path / "net.onnx"
    export(network, path, resolution=32)

    (logits,) = open_session(path, 1).run(None, {"image": image.numpy()})
    assert path.with_suffix(".weights").exists()
    torch.testing.assert_close(torch.from_numpy(logits), network(image).detach(), rtol=1e-5, atol=1e-6)


def test_package_of_the_current_exporter_is_named_if_it_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So is the reason of the TorchScript exporter."""
    monkeypatch.setitem(sys.modules, "onnxscript", None)

    with pytest.raises(UserError, match=r"got .*adaptive.*\); pip install onnxscript"):
        export(odd_pooling(), tmp_path / "net.onnx", resolution=32)
