"""Counts of exported networks, next to torch's and onnx-tool's; `docs/onnx-counts.md` has twenty."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.onnx_counts import NETWORKS, counted

SAMPLE = ("squeezenet1_1", "shufflenet_v2_x0_5", "timm:ghostnet_050")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("name", SAMPLE)
def test_count_of_a_file_is_that_of_the_network(name: str, tmp_path: Path) -> None:
    """Our count is torch's; onnx-tool's is the same for operators that multiply, and larger with all others."""
    pytest.importorskip("onnx_tool")
    one = counted(name, tmp_path)

    assert (one.ours, one.missing) == (one.torch, "")
    assert one.products is not None, one.problem
    assert one.tool is not None
    assert one.torch <= one.products <= one.tool
    assert one.torch < one.tool


def test_twenty_networks_of_as_many_families_are_compared() -> None:
    """None is there twice."""
    assert len(NETWORKS) == 20
