"""Claims whose truth is known by closed forms get the verdict that they deserve.

`tests/data/judged_claims.csv` lists them by kind: true, false, artefact, attainable, unanswerable. The expected
verdicts follow from `tests/support/closed_forms.py` and the second judge, which take nothing from the package.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch.utils.flop_counter import FlopCounterMode

from edgeai_repro.claims.schema import Claim
from edgeai_repro.errors import UserError
from edgeai_repro.evidence.measurement import Interval, Measured, Measurement
from edgeai_repro.judge.verdict import Verdict
from edgeai_repro.networks import resolve
from edgeai_repro.networks.references import reference
from edgeai_repro.session import Session
from tests.support.closed_form import Closed
from tests.support.closed_forms import closed_form
from tests.support.factories import paper_entry
from tests.support.second_judge import Rules, second_opinion

TABLE = Path(__file__).parents[1] / "data" / "judged_claims.csv"
KINDS = ("true", "false", "artefact", "attainable", "unanswerable")
FILE = {
    "defaults": {"resolution": 224, "classes": 1000},
    "full_scale": {"init": "imagenet", "epochs": 30, "resolution": 32, "stem_stride": 4},
}
LOWER_IS_BETTER = ("params", "macs", "params_share")
QUANTIZED, PRUNED = "dynamic_quantization", "unstructured_pruning"
ONE_PER_FAMILY = (
    *("alexnet", "vgg16_bn", "resnet18", "resnet50", "resnext50_32x4d", "densenet121", "squeezenet1_0"),
    *("squeezenet1_1", "mobilenet_v2", "mobilenet_v3_small", "mobilenet_v3_large", "efficientnet_b0"),
    *("convnext_tiny", "vit_b_16", "timm:vit_tiny_patch16_224", "swin_t"),
)


@cache
def _table() -> tuple[dict[str, str], ...]:
    with TABLE.open(encoding="utf-8", newline="") as file:
        return tuple(csv.DictReader(file))


def _entry(line: Mapping[str, str]) -> dict[str, Any]:
    """Return a line of the table as a claims file has it."""
    more = json.loads(line["more"] or "{}")
    return {
        "id": line["id"],
        "quote": line["why"],
        "source": "ours",
        "locator": "closed forms",
        "printed": line["value"],
        **{name: line[name] for name in ("metric", "technique", "quantifier")},
        "models": line["models"].split(),
        "value": float(line["value"]),
        "band": {"rounding": float(line["width"]), "side": line["side"], "derivation": "as printed"},
        "expect": {
            "verdict": "reproduced" if line["kind"] == "unanswerable" else line["expected"],
            "reason": "true",
        },
        **more,
    }


def _session(folder: Path, *entries: dict[str, Any]) -> Session:
    (folder / "claims").mkdir()
    text = yaml.safe_dump(paper_entry(*entries, **FILE), allow_unicode=True)
    (folder / "claims" / "judged.yaml").write_text(text, encoding="utf-8")
    session = Session(folder / "claims")
    session.plan(session.cases)
    return session


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Verdict]]:
    """The verdicts on all claims of the table, by id; there are no data and no weights."""
    folder = tmp_path_factory.mktemp("judged")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("EDGEAI_DATA", raising=False)
        patch.setenv("EDGEAI_MODELS", str(folder / "models"))
        session = _session(folder, *map(_entry, _table()))
        yield {case.claim.id: session.judge(case) for case in session.cases}


@pytest.mark.parametrize("kind", KINDS)
def test_every_claim_gets_the_verdict_that_it_deserves(kind: str, verdicts: dict[str, Verdict]) -> None:
    """The verdict of each claim of this kind is the expected one."""
    lines = [line for line in _table() if line["kind"] == kind]

    wrong = [
        f"{line['id']}: verdict={verdict.verdict}, but should be {line['expected']} [{verdict.reason}]"
        for line in lines
        if (verdict := verdicts[line["id"]]).verdict != line["expected"]
    ]

    assert len(lines) >= 10
    assert not wrong, "\n".join([f"{len(wrong)} of {len(lines)} are wrong:", *wrong])


def test_expected_verdicts_follow_from_the_closed_forms() -> None:
    """Those of the claims that can be answered: the second judge gives them to rows of closed forms."""
    wrong = []
    for line in _table():
        if line["kind"] != "unanswerable":
            claim = Claim.model_validate({**_entry(line), "conditions": _conditions(line)})
            rows = [row for model in claim.models for row in _rows(claim, model)]
            rules = Rules(
                "lower" if claim.metric in LOWER_IS_BETTER else "higher", claim.metric in ("params", "macs")
            )
            if (verdict := second_opinion(claim, Measured(tuple(rows)), rules)) != line["expected"]:
                wrong.append(f"{line['id']}: {line['expected']} is expected, but {verdict} follows")

    assert not wrong, "\n".join(wrong)


def _conditions(line: Mapping[str, str]) -> dict[str, Any]:
    defaults = {name: [value] for name, value in FILE["defaults"].items()}
    return {**defaults, **json.loads(line["more"] or "{}").get("conditions", {})}


def _rows(claim: Claim, model: str) -> Iterator[Measurement]:
    for settings, conditions in claim.variants_for(model):
        side, classes = int(conditions["resolution"]), int(conditions["classes"])
        other = closed_form(claim.against or model, side, classes)
        for reported, actual in _values(claim, closed_form(model, side, classes), other):
            yield Measurement(
                model=model,
                technique=claim.technique,
                settings=settings,
                conditions=conditions,
                reported=Interval.exact(reported),
                actual=None if actual is None else Interval.exact(actual),
            )


def _values(claim: Claim, own: Closed, other: Closed) -> Iterator[tuple[float, float | None]]:
    """Yield (reported, actual) of a network; dynamic quantization hides nn.Linear from common counters."""
    hidden = claim.technique == QUANTIZED
    params = own.params - hidden * own.linear, own.params
    macs = own.thop - hidden * own.linear_macs, own.macs
    size = 4 * (own.params + own.buffers) - hidden * 3 * own.linear_weights
    match claim.metric:
        case "params":
            yield params[0] / 1e6, params[1] / 1e6
        case "macs":
            yield macs[0] / 1e9, macs[1] / 1e9
        case "params_ratio":
            yield other.params / params[0], other.params / params[1]
        case "params_share":
            yield 100 * params[0] / other.params, 100 * params[1] / other.params
        case "macs_ratio":
            yield other.thop / macs[0], other.macs / macs[1]
        case "size_ratio":
            yield 4 * (other.params + other.buffers) / size, None
        case "params_reduction":
            yield 100 - 100 * params[0] / other.params, 100 - 100 * params[1] / other.params
        case "macs_reduction" | "executed_macs_reduction":
            yield 100 - 100 * macs[0] / other.thop, 100 - 100 * macs[1] / other.macs
        case "size_reduction":
            yield 100 - 100 * size / (4 * (other.params + other.buffers)), None
        case "imbalance":
            yield 100 - 100 * own.linear_macs / own.macs, None
            yield 100 * own.linear / own.params, None


@pytest.mark.parametrize("name", ONE_PER_FAMILY)
def test_closed_forms_are_those_of_torch(name: str) -> None:
    """Parameters are those of `numel`, products those of torch's own counter of operators."""
    model = resolve.build(reference(name), classes=1000, resolution=224, device="meta").model
    with FlopCounterMode(display=False) as counter:
        model(torch.empty(1, 3, 224, 224, device="meta"))

    closed = closed_form(name)
    assert closed.params == sum(parameter.numel() for parameter in model.parameters())
    assert 2 * closed.macs == counter.get_total_flops()


def test_there_are_at_least_150_claims_and_no_two_are_equal() -> None:
    """Each has an id of its own."""
    ids = {line["id"] for line in _table()}
    statements = {tuple(value for name, value in line.items() if name not in ("id", "why")) for line in _table()}

    assert len(ids) == len(statements) == len(_table()) >= 150


@pytest.mark.parametrize(
    ("value", "verdict"), [("25.6", "reproduced"), ("25.4", "contradicted"), ("25.7", "contradicted")]
)
def test_planted_wrong_number_is_noticed(tmp_path: Path, value: str, verdict: str) -> None:
    """ResNet-50 has 25.56 M parameters: a claim that is a little off is contradicted, and so fails the run."""
    line = next(line for line in _table() if line["id"] == "resnet50-params")
    session = _session(tmp_path, _entry({**line, "value": value}))

    judged = session.judge(session.cases[0])

    assert judged.verdict == verdict
    assert (session.failure_reason(judged) is None) == (verdict == "reproduced")


def test_claim_that_no_metric_can_answer_is_refused(tmp_path: Path) -> None:
    """A count that is said to need an edge device names its mistake when the file is read."""
    line = next(line for line in _table() if line["id"] == "resnet50-params")

    with pytest.raises(UserError, match=r"claims\[resnet50-params\]: 'needs' must not list edge"):
        _session(tmp_path, {**_entry(line), "needs": ["edge"]})
