"""No key of a claim is silent: what its metric would ignore is refused when the file is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

import edgeai_repro.builtin  # noqa: F401 - registers the metrics and techniques
from edgeai_repro.claims.load import load_claims
from edgeai_repro.claims.registry import METRICS, measured_on
from edgeai_repro.claims.schema import Claim
from edgeai_repro.errors import UserError
from tests.support.factories import claim_entry, paper_entry

FULL_SCALE = {"init": "imagenet", "epochs": 30, "resolution": 32, "stem_stride": 4}
TRAINED = {"metric": "accuracy", "technique": "none", "needs": ["data", "weights"]}
DEPLOYED = {**TRAINED, "conditions": {"runtime": "onnxruntime"}, "needs": ["data", "weights", "edge"]}
COUNTED = {"metric": "params", "technique": "none", "conditions": {"resolution": 32, "classes": 10}}
SWEEP = {"technique": "unstructured_pruning", "settings": {"sparsity": [0.1, 0.5, 0.9]}}
BY_SPARSITY = {"name": "sparsity", "default": 0.5, "swept_on": ["convnext_tiny"]}


def _load(folder: Path, **fields: Any) -> Claim:
    document = paper_entry(claim_entry(**fields), full_scale=FULL_SCALE)
    (folder / "paper.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")
    return load_claims(folder)[0].claims[0]


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({**COUNTED, "needs": ["edge"]}, "'needs' must not list edge: 'params' is measured without it; remove it"),
        ({"needs": ["data"]}, "'needs' must not list data: 'params_reduction' is measured without it; remove it"),
        (
            {**TRAINED, "needs": ["data", "weights", "edge"]},
            "'needs' must not list edge: 'accuracy' is measured without it; name the runtime under 'conditions'",
        ),
        (
            {**TRAINED, "metric": "accuracy_change", "needs": ["data", "weights", "edge"]},
            "'needs' must not list edge: 'accuracy_change' is measured without it; remove it",
        ),
        ({"metric": "latency"}, "'needs' must list edge: 'latency' is measured on a deployed model; add it"),
        (
            {**DEPLOYED, "needs": ["data", "weights"]},
            "'needs' must list edge: 'accuracy' is measured on a deployed model; add it",
        ),
        (
            {**DEPLOYED, "conditions": {"runtime": "eager"}},
            "'conditions.runtime' must be one that 'accuracy' takes (got 'eager'); known are onnxruntime",
        ),
        (
            {**TRAINED, "metric": "accuracy_change", "conditions": {"reading": "relativ"}},
            "'conditions.reading' must be one that 'accuracy_change' takes (got 'relativ'); did you mean",
        ),
        (
            {"metric": "imbalance"},
            "'technique' must be none for 'imbalance' (got 'dynamic_quantization'); choose it",
        ),
        (
            {**SWEEP, "metric": "linear_share_bytes"},
            "'technique' must be dynamic_quantization or torchao_int8_dynamic for 'linear_share_bytes'",
        ),
        ({"metric": "added_size_reduction"}, "'technique' must be combined for 'added_size_reduction' (got"),
        ({"metric": "compression_trend"}, "'settings.sparsity' is missing: 'compression_trend' is a trend over it"),
        (
            {**SWEEP, "metric": "compression_trend", "choice": BY_SPARSITY},
            "'choice.name' must not be 'sparsity': 'compression_trend' is a trend over it; remove 'choice'",
        ),
        (
            {"metric": "imbalance", "technique": "none", "quantifier": "up_to"},
            "'quantifier' must not be 'up_to': 'imbalance' does not say which end is better; write 'every'",
        ),
    ],
)
def test_key_that_the_metric_ignores_is_refused(tmp_path: Path, fields: dict[str, Any], complaint: str) -> None:
    """The line names the file, the claim and the key."""
    with pytest.raises(UserError) as refused:
        _load(tmp_path, **fields)

    lines = str(refused.value).splitlines()
    assert any(line.startswith(f"{tmp_path / 'paper.yaml'}: claims[a-claim]: {complaint}") for line in lines), lines


@pytest.mark.parametrize(
    ("fields", "source"),
    [
        (COUNTED, "compressed"),
        (TRAINED, "trained"),
        (DEPLOYED, "deployed"),
        ({"metric": "latency", "needs": ["edge"]}, "deployed"),
    ],
)
def test_metric_and_its_conditions_say_who_measures(tmp_path: Path, fields: dict[str, Any], source: str) -> None:
    """What a claim needs has no say in it."""
    loaded = _load(tmp_path, **fields)

    assert measured_on(loaded) == source
    assert measured_on(loaded.model_copy(update={"needs": ["edge"]})) == source


def test_every_metric_with_an_actual_quantity_names_its_counter() -> None:
    """The reason of a verdict names it."""
    assert [name for name, metric in METRICS.items() if metric.has_actual and not metric.counter] == []
