"""Counters that print, fail, aren't installed or have been overwritten."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional

from edgeai_repro.audit.counters import counter_rows
from edgeai_repro.compress.techniques import apply
from edgeai_repro.errors import MissingRequirement
from edgeai_repro.measure.counters import adapters
from edgeai_repro.measure.counters.adapters import Counter, CounterError
from edgeai_repro.measure.counters.providers import providers
from edgeai_repro.measure.counting.run import Inputs
from tests.support.small_networks import LINEAR, WIDTH, convolution, image, tokens


def test_a_counter_that_prints_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """What a counter prints does not reach the terminal."""

    def chatty(model: nn.Module, inputs: Inputs) -> adapters.Numbers:
        print("200 warnings")
        return 1, None

    Counter("chatty", "torch", chatty).count(convolution(), image())

    assert capsys.readouterr().out == ""


def test_a_counter_that_fails_leaves_torch_and_the_network_as_they_were() -> None:
    """Functions that it replaced and buffers that it added are gone."""
    network, before = convolution(), functional.linear

    def breaks(model: nn.Module, inputs: Inputs) -> adapters.Numbers:
        functional.linear = functional.relu
        torch.Tensor.planted = 1  # type: ignore[attr-defined]
        model.register_buffer("planted", torch.zeros(1))
        raise RuntimeError("first line\nsecond line")

    with pytest.raises(CounterError, match=r"^breaks fails: RuntimeError: first line$"):
        Counter("breaks", "torch", breaks).count(network, image())
    assert functional.linear is before
    assert not hasattr(torch.Tensor, "planted")
    assert list(network.state_dict()) == ["0.weight"]


def test_a_counter_that_is_not_installed_says_how_to_install_it() -> None:
    """The message is one line with the command."""
    with pytest.raises(MissingRequirement, match=r"pip install 'edgeai-repro\[counters\]'"):
        Counter("absent", "no_such_module", lambda model, inputs: (0, None)).count(convolution(), image())


def test_a_counter_that_fails_has_one_line_in_its_row_and_the_other_rows_stand() -> None:
    """fvcore can't trace a quantized layer; thop counts it as nothing."""
    quantized = apply(nn.Sequential(nn.Linear(WIDTH, WIDTH)), "dynamic_quantization", {})

    rows = {row.counter: row for row in counter_rows(quantized, "dynamic_quantization", tokens(), LINEAR, print)}

    assert (rows["fvcore"].problem or "").startswith("fvcore fails: ")
    assert rows["thop"].macs == 0
    assert rows["thop"].differences == ["no rule for quantized Linear: 1 call, 100.0 %"]
    assert "thop" in rows["thop"].provider


def test_the_distribution_that_provides_a_shared_module_is_the_one_whose_files_are_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two distributions list the module; the second has overwritten the first."""
    for name, code in (("first", b"ONE = 1\n"), ("second", b"TWO = 2\n")):
        install(tmp_path, name, code)
    monkeypatch.syspath_prepend(str(tmp_path))

    assert [one.name for one in providers("shared")] == ["second"]


def install(folder: Path, name: str, code: bytes) -> None:
    """Install a distribution whose only module is `shared`, over another one's."""
    module = folder / "shared" / "__init__.py"
    module.parent.mkdir(exist_ok=True)
    module.write_bytes(code)
    information = folder / f"{name}-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    digest = base64.urlsafe_b64encode(hashlib.sha256(code).digest()).rstrip(b"=").decode()
    (information / "RECORD").write_text(f"shared/__init__.py,sha256={digest},{len(code)}\n")
