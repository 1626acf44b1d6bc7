"""A claim about latency, and documents of runs on devices that measured it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from edgeai_repro.devices.spec import load_devices
from edgeai_repro.evidence.environment import describe
from edgeai_repro.evidence.measurement import Interval, Measurement
from edgeai_repro.files import read_yaml, write_text
from edgeai_repro.report import document
from edgeai_repro.report.document import Document
from edgeai_repro.report.results import Results
from edgeai_repro.session import Session
from tests.support.factories import claim, claim_entry, judged, paper_yaml

CLAIMS = Path(__file__).parents[2] / "claims"
DEVICES = load_devices(CLAIMS)
FILE = "a" * 64
LATENCY: dict[str, Any] = {
    **{"id": "fast", "metric": "latency", "technique": "combined", "models": ["convnext_small"], "value": 20.0},
    **{"needs": ["edge"], "settings": {"target": [0.8]}, "quote": "it takes 20 ms", "printed": "20 ms"},
    **{"band": {"rounding": 0.0, "side": "at_most", "derivation": "for the test"}},
}
ACCURACY: dict[str, Any] = {**LATENCY, "id": "right", "metric": "accuracy", "value": 99.0}
IMPLIED = {
    **{"id": "feasible", "rule": "latency-feasible", "claims": {"latency": "fast"}, "expect": True},
    **{"given": {"model": "convnext_small", "target": 0.8}},
}


def timed(milliseconds: float = 15.0, **fields: Any) -> Measurement:
    """Return a row as a quiet device writes it."""
    row = Measurement(
        model="convnext_small",
        technique="combined",
        settings={"target": 0.8},
        conditions={"resolution": 32},
        notes={"threads": 4},
        reported=exact(milliseconds),
        evidence=FILE,
        control=exact(1.0),
    )
    return row.model_copy(update=fields)


def exact(value: float) -> Interval:
    """Return an interval of one number."""
    return Interval.exact(value)


def result(*latencies: Measurement, accuracy: Measurement | None = None, **environment: Any) -> Document:
    """Return the document of a run on a Raspberry Pi 5, or what else the environment says."""
    verdicts = [judged(claim(**LATENCY), [row]) for row in latencies]
    if accuracy is not None:
        verdicts.append(judged(claim(**ACCURACY), [accuracy]))
    here = describe().model_copy(
        update={"device": "raspberry-pi-5", "machine": "aarch64", "emulated": False, **environment}
    )
    entry = document.PaperEntry(
        id="paper", title="A Paper", claims=[document.claim_entry(each) for each in verdicts], implications=[]
    )
    return Document(environment=here, papers=[entry])


def run_of(folder: Path, *, without: str | None = None) -> Session:
    """Return a run of a claims folder with this claim and this repository's devices, except `without`."""
    claims = folder / "claims"
    claims.mkdir()
    text = paper_yaml(claim_entry(**LATENCY), implications=[IMPLIED])
    (claims / "paper.yaml").write_text(text, encoding="utf-8")
    devices = read_yaml(CLAIMS / "devices.yaml")
    devices["devices"] = [device for device in devices["devices"] if device["key"] != without]
    (claims / "devices.yaml").write_text(yaml.safe_dump(devices), encoding="utf-8")
    return Session(claims)


def timed_document(session: Session) -> Document:
    """Return the document of a run that timed the claim."""
    entry = document.claim_entry(judged(claim(**LATENCY), [timed()]))
    return session.document(Results(claims={"paper/fast": entry}))


def write(folder: Path, found: Document) -> Path:
    """Write a document where a device would."""
    path = folder / "run.json"
    write_text(path, found.model_dump_json())
    return path
