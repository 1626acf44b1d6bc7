"""Metrics of single techniques: what a code, a zip and a deployed graph are compared with."""

from __future__ import annotations

import copy
import io
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from torch import nn

from edgeai_repro.claims.registry import TECHNIQUES, technique
from edgeai_repro.evidence.measurement import Measurement, Settings
from edgeai_repro.measure.compressed_models import CompressedModels
from edgeai_repro.measure.size import stored_tensors, tensor_bytes, zipped_bytes
from tests.support.factories import case, claim

NETWORK = """
import torch
from torch import nn


def make():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 12, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(2028, 10))
    for parameter in model.parameters():
        nn.init.normal_(parameter)
    return model.eval(), (torch.zeros(1, 1, 28, 28),)
"""
TABLE = """
tables:
  own:
    layers:
      - &row {name: conv, weights: 108, kept: 50, bits: 8, index_bits: 4, quantized: 20, huffman: 10,
              huffman_bits: 6, huffman_index_bits: 3}
      - {<<: *row, name: fc, weights: 20280, kept: 10, bits: 5}
    total: {quantized: 8, huffman: 5}
"""
PARAMETERS = 20_410
INT8 = 20_280 + 4 * 130 + 12  # bytes of weights in int8, others in fp32, a scale and a zero point


@pytest.fixture
def own(tmp_path: Path) -> str:
    """The network above, as a claim names it."""
    path = tmp_path / "own.py"
    path.write_text(NETWORK, encoding="utf-8")
    return f"{path}:make"


def _row(model: str, metric: str, technique: str, **fields: Any) -> Measurement:
    """Return the only row of a claim."""
    (measured,) = (
        CompressedModels().measure(case(claim(metric=metric, technique=technique, models=[model], **fields))).rows
    )
    return measured


def _values(row: Measurement) -> tuple[float, float | None]:
    return row.reported.value, None if row.actual is None else row.actual.value


def test_a_zip_is_not_the_file(own: str) -> None:
    """Zeros make the zip smaller, not the file; the zip counts if it is what is stored."""
    zipped, plain = _values(
        _row(
            own, "zipped_size_ratio", "layerwise_pruning", settings={"sparsity": 0.8}, conditions={"stored": "file"}
        )
    )
    assert zipped > 3
    assert plain == 1.0

    stored = _row(
        own, "zipped_size_ratio", "layerwise_pruning", settings={"sparsity": 0.8}, conditions={"stored": "zip"}
    )
    assert _values(stored) == (zipped, zipped)


def test_int8_makes_the_file_smaller(own: str) -> None:
    """One byte for each weight of the Linear layer."""
    _, plain = _values(_row(own, "zipped_size_ratio", "dynamic_quantization", conditions={"stored": "file"}))

    assert plain == pytest.approx(4 * PARAMETERS / INT8)


def test_zip_has_the_bytes_of_a_file_written_elsewhere() -> None:
    """All tensors in one entry, deflated."""
    layer = nn.Linear(300, 30)
    data = b"".join(tensor.numpy().tobytes() for tensor in stored_tensors(layer))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("weights", data)

    assert tensor_bytes(layer) == len(data) == 4 * 9030
    assert zipped_bytes(layer) == pytest.approx(len(buffer.getvalue()), rel=0.001, abs=30)


def test_a_code_is_not_the_file(own: str) -> None:
    """The decoded network has every weight in fp32 again; the code counts if it is what is stored."""
    settings = {"density": 0.1}
    given = {"settings": settings, "conditions": {"stage": "quantized", "stored": "file"}}
    by_code, by_file = _values(_row(own, "coded_size_ratio", "codebook", **given))
    # 2028 kept weights with 0.227 fillers each at 9 bits, 11 at 12; 22 biases, two codebooks, two headers.
    code = 2028 * 1.227 * 9 / 8 + 11 * 1.227 * 12 / 8 + 4 * (22 + 31 + 255) + 2 * 18
    assert by_code == pytest.approx(83_800 / code, rel=0.02)
    assert by_file == pytest.approx(1.0, abs=0.01)

    given["conditions"] = {"stage": "huffman", "stored": "code"}
    after_huffman = _row(own, "coded_size_ratio", "codebook", **given)
    assert _values(after_huffman)[0] == _values(after_huffman)[1]
    assert after_huffman.reported.value != by_code
    assert int(after_huffman.notes["code_bytes"]) > 0


@pytest.mark.parametrize(
    ("metric", "stage", "alexnet", "vgg"),
    [
        ("table_size_ratio", {"stage": "quantized"}, 26.95, 33.34),
        ("table_size_ratio", {"stage": "huffman"}, 34.49, 52.69),
        ("table_weights_ratio", {}, 8.97, 13.14),
        ("table_weight_bits", {}, 5.38, 6.37),
    ],
)
def test_rows_of_a_table_are_added_up(metric: str, stage: dict[str, str], alexnet: float, vgg: float) -> None:
    """The sums were computed elsewhere. Nothing is built, so the model may be any."""
    rows = [
        _row("alexnet", metric, "none", conditions={"table": f"han2016-{name}", **stage})
        for name in ("alexnet", "vgg16")
    ]

    assert [row.reported.value for row in rows] == pytest.approx([alexnet, vgg], abs=0.005)
    assert [row.actual for row in rows] == [None, None]


def test_total_of_a_table_is_compared_with_the_file(
    own: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A network of two layers, of which the table prints 5 %; its file is as large as before."""
    (tmp_path / "claims" / "coding").mkdir(parents=True)
    (tmp_path / "claims" / "coding" / "own.yaml").write_text(TABLE, encoding="utf-8")
    monkeypatch.chdir(tmp_path)

    row = _row(own, "printed_size_ratio", "codebook", settings={"table": "own"}, conditions={"stage": "huffman"})

    assert row.reported.value == 20.0
    assert row.actual is not None
    assert row.actual.value == pytest.approx(1.0, abs=0.01)


def test_training_graph_is_reported_and_deployed_graph_is_actual() -> None:
    """MobileOne-S0 with 1000 classes: parameters by the closed forms of the fact sheet."""
    conditions = {"resolution": 32, "classes": 1000}

    row = _row("timm:mobileone_s0", "deployed_params", "reparameterize", conditions=conditions)

    assert _values(row) == (5.293272, 2.078504)


def test_outputs_of_a_deployed_network_are_compared_relatively() -> None:
    """The control is a technique that changes weights: its outputs differ visibly."""
    deployed = _row("timm:mobileone_s0", "output_difference", "reparameterize")
    pruned = _row("timm:mobileone_s0", "output_difference", "layerwise_pruning", settings={"sparsity": 0.5})

    assert deployed.reported.value < 1e-5
    assert pruned.reported.value > 1e-2


def test_batchnorm_is_at_random_when_outputs_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    """A technique that drops every BatchNorm is seen; fresh ones would be the identity."""
    monkeypatch.setitem(TECHNIQUES, "dropped", None)  # restored after the test

    @technique("dropped")
    def dropped(network: nn.Module, settings: Sequence[Settings]) -> Iterator[nn.Module]:
        """Replace each BatchNorm by the identity."""
        changed = copy.deepcopy(network)
        for name, module in network.named_modules():
            if isinstance(module, nn.BatchNorm2d):
                changed.set_submodule(name, nn.Identity())
        yield changed

    assert _row("resnet20", "output_difference", "dropped").reported.value > 0.01
