"""The audit's answers: why is it not faster, why does the count differ? And which numbers are missing."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from torch import nn

from edgeai_repro.audit.answers import answer_all
from edgeai_repro.audit.audit import SETTINGS, audit, techniques_of
from edgeai_repro.audit.schema import Answer, Conventions, Operators, ReportedAndActual, Row, Weights
from edgeai_repro.audit.table import render
from edgeai_repro.audit.warnings import find_warnings
from edgeai_repro.claims.registry import TECHNIQUES
from edgeai_repro.measure import size
from tests.support.audits import UNCOMPRESSED_ONLY
from tests.support.helpers import small_convnext

pytestmark = pytest.mark.usefixtures("undeflated")
QUANTIZED = {name: [] for name in techniques_of() if name != "dynamic_quantization"}
LSTM = """
import torch
from torch import nn


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(8, 16, batch_first=True)
        self.head = nn.Linear(16, 4)

    def forward(self, steps):
        return self.head(self.lstm(steps)[0][:, -1])


def with_inputs():
    return Network(), (torch.randn(1, 5, 8),)


def without_inputs():
    return Network()
"""


def row(technique: str, *, macs: int = 1000, fp32: int = 1000, bits: int = 1024) -> Row:
    """Return a row with this work."""
    return Row(
        technique=technique,
        parameters=ReportedAndActual(reported=50, actual=50),
        macs=ReportedAndActual(reported=macs, actual=macs),
        fp32_macs=fp32,
        bit_operations=macs * bits,
        operators=Operators(count=200, small=150, seconds_each=1e-5),
    )


def answers(rows: list[Row], instructions: list[str] | None = None, threads: int = 1) -> dict[str, list[str]]:
    """Return the answers about some rows by question."""
    conventions = Conventions(vectors=5, running_statistics=3, last_layer=20, outputs=10)
    found = answer_all(rows, Weights(by_bits={8: 45, 32: 5}), conventions, instructions, threads)
    assert all(isinstance(answer, Answer) for answer in found)
    return {answer.question: answer.sentences for answer in found}


def test_fp32_share_bounds_the_speed() -> None:
    """A quarter of the MACs in fp32 leaves at most a factor of 4."""
    slow = answers([row("none"), row("dynamic_quantization", fp32=250, bits=304)])["Why is it not faster?"]

    assert slow[0].startswith("dynamic quantization: 25 % of the MACs stay in fp32; if all others took no time, ")
    assert "4 times as fast as in fp32" in slow[0]


@pytest.mark.parametrize("fp32", [0, 9_999])
def test_share_of_none_or_all_is_told_in_words(fp32: int) -> None:
    """With 0 % of the MACs in fp32 nothing bounds the speed; with 100 % it would be "1 times as fast"."""
    rows = [row("none", macs=10_000, fp32=10_000), row("dynamic_quantization", macs=10_000, fp32=fp32)]
    told = answers(rows)["Why is it not faster?"][0]

    assert ("all MACs" in told) == (fp32 > 0)
    assert not re.search(r"\b(0|100) %|times as fast", told)


@pytest.mark.parametrize(("reported", "part"), [(0, "all of"), (4, "nearly all of"), (4000, "60 % of")])
def test_macs_that_thop_leaves_out_are_a_part_of_all(reported: int, part: str) -> None:
    """A quantized network loses nearly all of them, which is not 100 %."""
    counted = Row(technique="none", macs=ReportedAndActual(reported=reported, actual=10_000))

    assert f"leaves out {part} the model's MACs" in "\n".join(find_warnings([counted], {}))


@pytest.mark.parametrize(("after", "fewer"), [(1000, "no fewer"), (900, "10 % fewer")])
def test_nothing_removed_is_no_percentage(after: int, fewer: str) -> None:
    """Parameters and MACs that are all still there are "no fewer", not "0 % fewer"."""
    before, now = (
        ReportedAndActual(reported=number, actual=actual) for number, actual in ((1000, 1000), (50, after))
    )
    rows = [
        Row(technique="none", parameters=before, macs=before, bit_operations=1000),
        Row(technique="dynamic_quantization", parameters=now, macs=now, bit_operations=100),
    ]
    text = "\n".join(find_warnings(rows, {"linear": 0.9}))

    assert f"parameters() reports 95 % fewer, but {fewer} are stored" in text
    assert f"thop reports 95 % fewer MACs, but {fewer} are computed" in text
    assert not re.search(r"\b0 % fewer", text)


def test_network_without_linear_layers_saves_nothing() -> None:
    """There is none, instead of 0 % of the parameters in nn.Linear."""
    rows = [Row(technique="none"), Row(technique="dynamic_quantization")]

    assert find_warnings(rows, {"linear": 0.0}) == [
        "dynamic quantization replaces only nn.Linear, and here is none: it saves nothing"
    ]


@pytest.mark.parametrize(
    ("instructions", "expected"),
    [([], "has no instruction that adds up int8 products"), (["VNNI"], "adds up int8 products by VNNI")],
)
def test_missing_int8_instructions_are_a_reason(instructions: list[str], expected: str) -> None:
    """Without them int8 saves memory, not computing; unknown instructions are not mentioned."""
    rows = [row("none"), row("dynamic_quantization", fp32=0, bits=64)]

    assert expected in "\n".join(answers(rows, instructions)["Why is it not faster?"])
    assert "int8 products" not in "\n".join(answers(rows, None)["Why is it not faster?"])
    assert "int8 products" not in "\n".join(answers(rows[:1], instructions)["Why is it not faster?"])


def test_fixed_cost_and_threads_are_reasons() -> None:
    """200 operators of 10 µs each take 2 ms; three quarters of them have few outputs."""
    slow = "\n".join(answers([row("none")], threads=2)["Why is it not faster?"])

    assert "200 operators run; at 10.0 µs each, measured here on one value, their fixed cost is about 2 ms" in slow
    assert "with 2 threads: 75 % of the operators return fewer than 32,768 values" in slow
    assert "threads" not in "\n".join(answers([row("none")], threads=1)["Why is it not faster?"])


def test_counting_conventions_are_listed() -> None:
    """FLOPs are twice the MACs; biases, statistics and the last layer are what counts differ by."""
    text = "\n".join(answers([row("none", macs=2_000_000)])["Why is my count not the paper's?"])

    assert "2 M MACs are 4 M FLOPs" in text
    assert "of 50 parameters, 5 are biases and weights of normalisations" in text
    assert "20 parameters are in the last linear layer, which has 10 outputs" in text
    assert "--counters" in text


def test_storage_in_part_is_said_so() -> None:
    """45 of 50 weights in int8 are 90 %."""
    (text,) = answers([row("none")])["Is it really quantized?"]

    assert text == "in part: stored are 90 % of the weights in 8 bits, 10 % of the weights in 32 bits"


def test_inputs_of_a_file_are_used(tmp_path: Path) -> None:
    """A function that returns its network's inputs, too, lets an LSTM be audited; without them its row says so."""
    path = tmp_path / "mine.py"
    path.write_text(LSTM, encoding="utf-8")
    results = [
        audit(f"{path}:{name}", settings=UNCOMPRESSED_ONLY, latency=False)
        for name in ("with_inputs", "without_inputs")
    ]
    counted, refused = (result.uncompressed for result in results)
    assert "(a function), its own inputs" in render(results[0], colour=False)

    assert counted.problem is None
    assert counted.macs is not None
    assert counted.macs.actual == 5 * 4 * 16 * (8 + 16) + 16 * 4
    assert refused.macs is None
    assert "the network must run on its input float32 (1, 3, 224, 224)" in (refused.problem or "")
    assert refused.bytes


@pytest.mark.parametrize("counter", ["state_dict_bytes", "deflated_bytes"])
def test_failing_counter_leaves_one_number_out(monkeypatch: pytest.MonkeyPatch, counter: str) -> None:
    """Its row has the reason and all other numbers."""

    def fail(model: nn.Module) -> int:
        raise RuntimeError("no such tensor")

    monkeypatch.setattr(size, counter, fail)
    result = audit(nn.Conv2d(3, 4, 3), resolution=8, settings=UNCOMPRESSED_ONLY, latency=False).uncompressed

    assert "can't be counted: RuntimeError: no such tensor" in (result.problem or "")
    assert result.macs is not None
    assert result.parameters == ReportedAndActual(reported=112, actual=112)


def test_share_of_fp32_macs_is_that_of_convolutions() -> None:
    """After dynamic quantization of a ConvNeXt only its convolutions are in fp32."""
    result = audit(small_convnext(), resolution=32, settings=QUANTIZED, latency=False)
    quantized = result.rows[-1]

    assert quantized.technique == "dynamic_quantization"
    assert quantized.fp32_macs is not None
    assert quantized.macs is not None
    linear = (quantized.macs.actual or 0) - quantized.fp32_macs
    assert quantized.bit_operations == 1024 * quantized.fp32_macs + 64 * linear
    assert 0 < quantized.fp32_macs < (quantized.macs.actual or 0)


def test_technique_without_its_package_has_no_row(monkeypatch: pytest.MonkeyPatch) -> None:
    """torchao is optional."""
    import sys

    monkeypatch.setitem(sys.modules, "torchao", None)

    assert "torchao_int8_dynamic" not in techniques_of(SETTINGS)
    assert not TECHNIQUES["torchao_int8_dynamic"].installed
