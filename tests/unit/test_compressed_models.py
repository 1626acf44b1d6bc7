"""Each network is built and compressed once, whatever the claims ask for and in which order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from torch import nn

from edgeai_repro.claims.entries import Technique
from edgeai_repro.claims.registry import TECHNIQUES
from edgeai_repro.claims.schema import Claim
from edgeai_repro.evidence.measurement import Curve, Measurement, Settings
from edgeai_repro.measure.compressed_models import COMPRESSED, CompressedModels
from edgeai_repro.measure.shared_store import SharedStore
from tests.support.factories import case, claim, row

pytestmark = pytest.mark.usefixtures("one_thread")
COMBINED = claim(
    metric="added_size_reduction",
    technique="combined",
    models=["convnext_atto"],
    settings={"target": [0.5, 0.8]},
)
SPARSITIES = [0.1, 0.5, 0.9]
TREND = claim(
    metric="compression_trend",
    technique="unstructured_pruning",
    models=["convnext_atto"],
    settings={"sparsity": SPARSITIES},
)


@pytest.fixture
def applied(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """The number of settings that each registered technique was applied with."""
    counter: Counter[str] = Counter()

    def counted(technique: Technique) -> Technique:
        def apply(network: nn.Module, settings: Sequence[Settings], *inputs: object) -> Iterator[nn.Module]:
            counter[technique.name] += len(settings)
            return technique.apply(network, settings, *inputs)

        return replace(technique, apply=apply)

    for name, technique in list(TECHNIQUES.items()):
        monkeypatch.setitem(TECHNIQUES, name, counted(technique))
    return counter


def test_planned_network_is_compressed_once_in_each_way(applied: Counter[str]) -> None:
    """The parts of a combination are profiled on the way, so the metric repeats nothing."""
    measured = CompressedModels([case(COMBINED)]).measure(case(COMBINED))

    assert [row.settings["target"] for row in measured.rows] == [0.5, 0.8]
    assert applied == {"structured_pruning": 2, "combined": 2, "dynamic_quantization": 1}


def test_another_setting_repeats_no_earlier_one(applied: Counter[str]) -> None:
    """The earlier profile is kept."""
    models = CompressedModels().networks(case(TREND))
    first = models.profile("convnext_atto", "unstructured_pruning", {"sparsity": 0.5})

    models.profile("convnext_atto", "unstructured_pruning", {"sparsity": 0.9})

    assert models.profile("convnext_atto", "unstructured_pruning", {"sparsity": 0.5}) is first
    assert applied == {"unstructured_pruning": 2}


@pytest.mark.parametrize("models", [["alexnet"], []])
def test_claim_about_models_left_out_of_the_run_is_not_measured(applied: Counter[str], models: list[str]) -> None:
    """The obstacle names the models of the claim."""
    measured = CompressedModels([case(COMBINED)], models=models).measure(case(COMBINED))

    assert measured.rows == ()
    assert measured.obstacle is not None
    assert measured.obstacle.kind == "models"
    assert measured.obstacle.remedy.startswith("convnext_atto not in --claims-models")
    assert applied == {}


def _curves(models: CompressedModels, claim: Claim) -> dict[object, Curve | None]:
    """Return the curves of a trend by their quantity."""
    return {row.notes["quantity"]: row.curve for row in models.measure(case(claim)).rows}


def test_trend_has_the_curve_of_each_quantity() -> None:
    """These are bytes as stored and deflated, and the parameters that aren't zero, all by sparsity."""
    models = CompressedModels([case(TREND)])
    curves = _curves(models, TREND)
    networks = models.networks(case(TREND))
    profiles = [networks.profile("convnext_atto", "unstructured_pruning", {"sparsity": s}) for s in SPARSITIES]
    quantities: dict[object, tuple[str, list[int]]] = {
        "dense bytes": ("MB", [profile.state_dict_bytes for profile in profiles]),
        "deflated bytes": ("MB", [profile.deflated_bytes or 0 for profile in profiles]),
        "non-zero parameters": ("M", [profile.actual.nonzero_parameters for profile in profiles]),
    }

    assert curves == {
        name: Curve(
            over="sparsity",
            unit=unit,
            points=[(sparsity, value / 1e6) for sparsity, value in zip(SPARSITIES, values, strict=True)],
        )
        for name, (unit, values) in quantities.items()
    }


def test_processes_that_share_a_folder_build_a_network_once(applied: Counter[str], tmp_path: Path) -> None:
    """The second one has the profiles of the first, and returns the same rows."""
    combined = case(COMBINED)
    first, second = (CompressedModels([combined], shared=tmp_path).measure(combined) for _ in range(2))

    assert first == second
    assert applied == {"structured_pruning": 2, "combined": 2, "dynamic_quantization": 1}


def test_network_that_another_process_builds_comes_last(tmp_path: Path) -> None:
    """Otherwise all processes would wait for the first network."""
    ours, theirs = SharedStore[int](tmp_path), SharedStore[int](tmp_path)

    with theirs.of("key of a"):
        order = list(ours.free_first({"a": "key of a", "b": "key of b", "c": "key of c"}))

    assert order == ["b", "c", "a"]


def test_rows_are_in_the_order_of_the_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The order doesn't depend on what another process builds, nor on the last network's being measured first."""
    order = []

    def measured_row(_: object, __: object, model: str) -> list[Measurement]:
        order.append(model)
        return [row(10.0, model=model)]

    monkeypatch.setitem(COMPRESSED.functions, "params_reduction", measured_row)
    both = case(claim(models=["convnext_atto", "convnext_tiny"], quantifier="every"))
    models = CompressedModels(shared=tmp_path)
    key = models.networks(both).subject("convnext_tiny").key

    with SharedStore[int](tmp_path).of(key):
        measured = models.measure(both)

    assert [row.model for row in measured.rows] == both.claim.models

    assert order == both.claim.models  # the other one is free

    order.clear()
    assert [row.model for row in CompressedModels().measure(both).rows] == both.claim.models
    assert order == both.claim.models[::-1]


def test_memory_that_was_freed_is_given_back_before_a_network_gets_values(monkeypatch: pytest.MonkeyPatch) -> None:
    """A network that is only counted needs no memory."""
    trims = []
    monkeypatch.setattr(psutil, "heap_trim", lambda: trims.append("trimmed"), raising=False)
    models = CompressedModels().networks(case(COMBINED))

    models.profile("convnext_atto")
    assert trims == []

    models.profile("convnext_atto", "unstructured_pruning", {"sparsity": 0.5})
    assert trims == ["trimmed"]
