"""The lab: each model is built and compressed once, whatever is asked of it and in which order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest
from torch import nn

from edgeai_repro.claims.registry import TECHNIQUES, Settings
from edgeai_repro.evidence.measurement import Curve
from edgeai_repro.measure.compressed_models import CompressedModels
from tests.support.factories import claim

pytestmark = pytest.mark.usefixtures("one_thread")
TARGETS = [0.5, 0.8]


@pytest.fixture
def applied(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Count the settings that each technique is applied with."""
    counted: Counter[str] = Counter()
    for name, technique in list(TECHNIQUES.items()):

        def apply(
            model: nn.Module, settings: Sequence[Settings], technique=technique, name=name
        ) -> Iterator[nn.Module]:
            counted[name] += len(settings)
            return technique.apply(model, settings)

        monkeypatch.setitem(TECHNIQUES, name, replace(technique, apply=apply))
    return counted


def test_a_planned_model_is_worked_on_once(applied: Counter[str]) -> None:
    """A claim on the combination has its parts profiled on the way; what it asks beyond them repeats nothing."""
    asked = claim(
        metric="added_size_reduction",
        technique="combined",
        models=["convnext_atto"],
        quantifier="named",
        settings={"target": TARGETS},
    )
    rows = CompressedModels([asked]).measure(asked)

    assert [row.params["target"] for row in rows] == TARGETS
    assert applied == {"structured_pruning": 2, "combined": 2, "dynamic_quantization": 1}


def test_only_what_is_new_is_done(applied: Counter[str]) -> None:
    """Asked for one more setting, the lab does that one."""
    lab = CompressedModels()
    first = lab.profile("convnext_atto", "unstructured_pruning", {"sparsity": 0.5})

    lab.profile("convnext_atto", "unstructured_pruning", {"sparsity": 0.9})

    assert lab.profile("convnext_atto", "unstructured_pruning", {"sparsity": 0.5}) is first
    assert applied == {"unstructured_pruning": 2}


def test_what_a_trend_is_of() -> None:
    """A trend's rows hold what it was found in, by sparsity: bytes as stored and deflated, and what isn't 0."""
    sparsities = [0.1, 0.5, 0.9]
    asked = claim(
        metric="compression_trend",
        technique="unstructured_pruning",
        models=["convnext_atto"],
        quantifier="named",
        settings={"sparsity": sparsities},
    )
    lab = CompressedModels([asked])
    curves = {row.params["quantity"]: row.curve for row in lab.measure(asked)}
    found = [lab.profile("convnext_atto", "unstructured_pruning", {"sparsity": each}) for each in sparsities]
    expected = {
        "dense bytes": ("MB", [profile.state_dict_bytes for profile in found]),
        "deflated bytes": ("MB", [profile.deflated_bytes or 0 for profile in found]),
        "non-zero parameters": ("M", [profile.actual.nonzero_parameters for profile in found]),
    }

    assert curves == {
        name: Curve(over="sparsity", unit=unit, points=[(s, n / 1e6) for s, n in zip(sparsities, of, strict=True)])
        for name, (unit, of) in expected.items()
    }
