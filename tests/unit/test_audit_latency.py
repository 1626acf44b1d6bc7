"""The audit's latencies: how models are timed, and models that can't be timed."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from edgeai_repro.audit import latency, rows
from edgeai_repro.audit.audit import audit, techniques_of
from edgeai_repro.audit.schema import Audit, ReportedAndActual
from edgeai_repro.claims.registry import TECHNIQUES, technique
from edgeai_repro.errors import UserError
from edgeai_repro.evidence.measurement import Settings
from edgeai_repro.measure.latency.interleaved import Timing
from tests.support.audits import net

pytestmark = pytest.mark.usefixtures("few_rounds")
FEW = {name: [] for name in techniques_of() if name not in ("dynamic_quantization", "unstructured_pruning")}


def test_every_row_is_timed_with_the_recorded_threads() -> None:
    """All rows have a latency; the number of threads is recorded, and torch's own is restored."""
    before, steps = torch.get_num_threads(), []

    result = audit(net(), resolution=8, settings=FEW, threads=3, on_progress=steps.append)

    assert [row.technique for row in result.rows if row.latency] == [
        "none",
        "dynamic_quantization",
        "unstructured_pruning",
    ]
    assert result.environment.threads == 3
    assert torch.get_num_threads() == before
    assert steps == ["none", "dynamic_quantization", "unstructured_pruning", "latency"]
    assert Audit.model_validate_json(result.model_dump_json()) == result


def test_models_run_with_the_recorded_threads() -> None:
    """The model runs in eval and inference mode, with the number of threads that is recorded."""
    states = set()

    class Observed(nn.Module):
        def forward(self, image: Tensor) -> Tensor:
            states.add((torch.get_num_threads(), torch.is_inference_mode_enabled(), self.training))
            return image

    audit(Observed(), resolution=8, settings={name: [] for name in TECHNIQUES}, threads=3)

    assert (3, True, False) in states
    assert {threads for threads, _, _ in states} == {3}


def test_without_latency_nothing_is_timed() -> None:
    """With `latency=False` no row has a latency, and no step reports one."""
    steps: list[str] = []

    result = audit(net(), resolution=8, settings=FEW, latency=False, on_progress=steps.append)

    assert [row.latency for row in result.rows] == [None] * len(result.rows)
    assert "latency" not in steps


def test_pruned_model_is_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The combination starts from the pruned model that already has a row."""
    settings_seen = []

    def pruned(model: nn.Module, settings: Sequence[Settings], inputs: object = None) -> Iterator[nn.Module]:
        """Copy the model."""
        for setting in settings:
            settings_seen.append(setting)
            yield copy.deepcopy(model)

    real = TECHNIQUES["structured_pruning"]
    monkeypatch.setitem(TECHNIQUES, real.name, replace(real, apply=pruned))

    audit(net(), resolution=8, latency=False)

    assert settings_seen == [{"target": 0.8}]


def test_model_that_does_not_run_has_one_reason() -> None:
    """A model that doesn't accept the image has no latency, and its row has a single reason."""
    result = audit(net(), resolution=9, settings=FEW)

    assert [row.latency for row in result.rows] == [None] * len(result.rows)
    assert (result.uncompressed.problem or "").startswith("MACs can't be counted: the network must run")
    assert "timed" not in (result.uncompressed.problem or "")


def test_technique_that_breaks_the_model_has_a_reason() -> None:
    """If a compressed model doesn't run, its row has the reason and the other models are timed."""

    @technique("broken")
    def broken(model: nn.Module, settings: Sequence[Settings]) -> Iterator[nn.Module]:
        """Append a layer that doesn't fit."""
        for _ in settings:
            yield nn.Sequential(model, nn.Linear(5, 5))

    try:
        result = audit(net(), resolution=8, settings=FEW)
    finally:
        del TECHNIQUES["broken"]

    assert [row.technique for row in result.rows if row.latency is None] == ["broken"]
    assert (result.rows[-1].problem or "").startswith("does not run: RuntimeError: ")


def test_model_that_fails_while_it_is_timed_keeps_its_counts() -> None:
    """A model that fails during timing has no latency; its counts are kept."""

    class Failing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.runs = 0

        def forward(self, image: Tensor) -> Tensor:
            self.runs += 1
            if self.runs > 10:
                raise RuntimeError("worn out")
            return image

    result = audit(Failing(), resolution=8, settings={name: [] for name in TECHNIQUES})

    assert result.uncompressed.problem == "can't be timed: RuntimeError: worn out"
    assert result.uncompressed.macs == ReportedAndActual(reported=0, actual=0)


def test_emulated_processor_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    """On an emulated processor nothing is timed, and the first row has the reason."""
    monkeypatch.setattr(latency.environment, "emulated", lambda: True)

    result = audit(net(), resolution=8, settings=FEW).uncompressed

    assert result.latency is None
    assert (result.problem or "").startswith("can't be timed: this processor is emulated")


def test_passive_threads_are_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    """With OMP_WAIT_POLICY=passive only a single thread is timed; with several the first row has the reason."""
    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")

    several, one = (audit(net(), resolution=8, settings=FEW, threads=threads).uncompressed for threads in (2, 1))

    assert several.latency is None
    assert re.match("can't be timed: eager mode isn't timed .*OMP_WAIT_POLICY", several.problem or "")
    assert one.latency is not None
    assert one.problem is None


def test_jumping_clock_keeps_the_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """If a clock jumps, nothing is timed, the first row has the reason, and the counts are kept."""

    def jump(*_: object) -> dict[str, Timing]:
        raise UserError("'clock' must not jump (got 5 s)")

    monkeypatch.setattr(rows, "time_models", jump)
    result = audit(net(), resolution=8, settings=FEW)

    assert result.uncompressed.problem == "can't be timed: 'clock' must not jump (got 5 s)"
    assert {row.problem for row in result.rows[1:]} == {None}
