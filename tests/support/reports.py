"""Documents for the tests of the report: a run with one claim of each verdict, and text that looks like markup."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgeai_repro.claims.schema import Claim, Paper
from edgeai_repro.devices.spec import load_devices
from edgeai_repro.evidence.measurement import Environment, Measured, Obstacle
from edgeai_repro.judge.verdict import Verdict, judge
from edgeai_repro.report import document
from edgeai_repro.report.document import Document, ImplicationEntry
from tests.support.factories import CHOICE, PAPER, claim, claim_entry, judged, paper_entry, row

HERE = Environment(python="3.11", machine="x86_64", cpu="a <cpu>", cores=2, threads=2, engine="x86", versions={})
DEVICES = Path(__file__).parents[2] / "claims"
HOSTILE = "<script>document.title = 'owned'</script> & \"quoted\" | *starred* $x^2$ </td>"
LATENCY = {
    **{"id": "fast", "metric": "latency", "technique": "combined", "value": 20.0},
    **{"quote": "one image takes 20 ms", "printed": "20 ms"},
}
IMPLICATION = {
    "id": "fast-enough",
    "rule": "latency-feasible",
    "claims": {"latency": "fast"},
    "given": {"model": "convnext_small", "target": 0.8},
    "expect": True,
}
TARGETS = {"target": [0.5, 0.7, 0.8]}


def _expecting(name: str, verdict: str, **fields: Any) -> Claim:
    return claim(id=name, expect={"verdict": verdict, "reason": f"why {name}"}, **fields)


def networks() -> Document:
    """Return a document with the effect of dynamic quantization on two networks."""
    columns = ("share_of_linear", "reported_parameters_saved", "reported_macs_saved", "bytes_saved")
    values = {"convnext_tiny": (93.14, 93.14, 93.24, 69.7), "resnet50": (8.02, 8.02, 0.05, 5.99)}
    effect = claim(metric="linear_share_bytes", models=list(values), quantifier="every")
    rows = [
        row(0.2, model=name, notes=dict(zip(columns, row_values, strict=True)))
        for name, row_values in values.items()
    ]
    read = Paper.model_validate(paper_entry())
    entry = document.paper_entry(read, [document.claim_entry(judged(effect, rows))], [])
    return Document(environment=HERE, papers=[entry])


def run(*, hostile: str = HOSTILE, latency: tuple[float, float] | None = None, **paper: Any) -> Document:
    """Return a document with one claim of each verdict; `latency` is the interval of a measured latency, in ms."""
    at = zip((8.0, 10.0, 10.5), TARGETS["target"], strict=True)
    swept = [row(value, value - 0.5, settings={"target": target}) for value, target in at]
    fast = claim(**LATENCY, needs=["edge"], models=["convnext_small"])
    best = claim(
        id="artefact-claim", models=["convnext_tiny", "convnext_small"], quantifier="up_to", assumes=["how"]
    )
    verdicts = [
        judged(_expecting("reproduced-claim", "reproduced", quote=hostile, source="ours"), [row(10.0, 9.5)]),
        judged(_expecting("swept-claim", "attainable", settings=TARGETS, choice=CHOICE), swept),
        judged(best, [row(10.5, 0.0), row(9.5, 0.0, model="convnext_small")]),
        judged(_expecting("contradicted-claim", "contradicted"), [row(12.25, evidence="evidence/a.json")]),
        judged(_expecting("inconclusive-claim", "reproduced"), [row((8.5, 9.5))]),
        judged(fast, [row(latency, model="convnext_small")])
        if latency
        else judge(fast, Measured(obstacle=Obstacle("edge", "this is no edge device; set EDGEAI_DEVICE"))),
    ]
    unstated = [{"id": "how", "what": "how it was counted", "assumed": f"by hand {hostile}"}]
    entries = [claim_entry(**LATENCY)]
    read = Paper.model_validate(
        paper_entry(*entries, paper={**PAPER, **paper}, unstated=unstated, implications=[IMPLICATION])
    )
    implications = [ImplicationEntry(id="fast-enough", holds=False, text=f"1 + 1 = 3 {hostile}")]
    claims = map(document.claim_entry, verdicts)
    entry = document.paper_entry(read, claims, implications, load_devices(DEVICES).values())
    return Document(environment=HERE, papers=[entry])


def one_of_each() -> list[Verdict]:
    """Return one verdict of each kind, all as expected."""
    values = (8.0, 10.0, 10.5)
    swept = [row(value, settings={"target": at}) for value, at in zip(values, TARGETS["target"], strict=True)]
    return [
        judged(_expecting("reproduced-claim", "reproduced"), [row(10.0, 9.5)]),
        judged(_expecting("attainable-claim", "attainable", settings=TARGETS, choice=CHOICE), swept),
        judged(_expecting("artefact-claim", "artefact"), [row(10.0, 0.0)]),
        judged(_expecting("contradicted-claim", "contradicted"), [row(12.25)]),
        judged(_expecting("inconclusive-claim", "reproduced"), [row((8.5, 9.5))]),
        judge(
            _expecting("untestable-claim", "reproduced"),
            Measured(obstacle=Obstacle("data", "set EDGEAI_DATA to a folder")),
        ),
    ]
