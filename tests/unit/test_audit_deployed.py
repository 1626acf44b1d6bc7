"""The rows of an audit for a network in ONNX Runtime."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from edgeai_repro.audit.audit import audit
from edgeai_repro.audit.deployed_rows import deployed_rows
from tests.support.helpers import two_layers

pytestmark = pytest.mark.usefixtures("one_thread")
SIDE = 32
IMAGE = (torch.zeros(1, 3, SIDE, SIDE),)


def test_static_int8_has_a_row_with_its_calibration_and_what_stayed_in_fp32() -> None:
    """All products are of 8 bits, so there are 64 bit operations per MAC."""
    nothing = ("unstructured_pruning", "combined", "filter_pruning", "static_quantization", "codebook")
    settings = dict.fromkeys(nothing, ()) | {"structured_pruning": ({"target": 0.5},)}
    audited = audit(two_layers(), resolution=SIDE, settings=settings, latency=False, threads=1, onnxruntime=True)
    rows = {row.technique: row for row in audited.rows}

    row = rows["onnxruntime static int8"]
    assert row.macs is not None
    assert row.macs.actual is not None
    assert row.bit_operations == 64 * row.macs.actual
    assert (row.fp32_macs, row.notes) == (0, {"calibration": "16 random images", "in fp32": "nothing"})
    assert rows["onnxruntime pruned static int8"].macs is not None
    assert rows["onnxruntime pruned static int8"].macs.actual < row.macs.actual  # type: ignore[operator]
    assert (rows["onnxruntime fp32"].output_error or 0) < 1e-5 < (row.output_error or 0) < 0.1
    assert (rows["onnxruntime pruned"].output_error or 0) > 0.1
    fp32 = rows["onnxruntime fp32"]
    assert fp32.macs is not None
    assert fp32.fp32_macs == fp32.macs.actual


def test_module_of_a_row_gives_the_networks_logits() -> None:
    """It is what is timed."""
    network, image = two_layers(), torch.rand(1, 3, SIDE, SIDE)
    _, deployed = next(deployed_rows("net", network, None, IMAGE, calibrate=None, threads=1))

    assert deployed is not None
    torch.testing.assert_close(deployed(image), network(image).detach())


def test_empty_calibration_folder_leaves_out_static_int8_only(tmp_path: Path) -> None:
    """Its row has the reason in one line."""
    rows = [row for row, _ in deployed_rows("net", two_layers(), None, IMAGE, calibrate=tmp_path, threads=1)]

    problems = {row.technique: row.problem for row in rows}
    reason = problems.pop("onnxruntime static int8")
    assert reason == f"{tmp_path}: must contain images to calibrate on (got none); add PNG or JPEG files"
    assert problems == {"onnxruntime fp32": None, "onnxruntime int8": None}
