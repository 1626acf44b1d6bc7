"""A torch without `torch.ao`, as it is announced."""

from __future__ import annotations

import sys

import pytest

from edgeai_repro import compress


def hide_torch_ao(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every import of torch's own quantization fail until the end of the test."""
    for name in ("torch.ao.quantization", "torch.ao.nn.quantized.dynamic"):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, "edgeai_repro.compress.torch_ao", raising=False)
    monkeypatch.delattr(compress, "torch_ao", raising=False)
