"""The valid files that inputs are made from: claims, verdicts, records, recipes, tables, sums and benchmarks."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import edgeai_repro.builtin  # noqa: F401 - registers the metrics and techniques that claims name
from edgeai_repro.evidence.measurement import Curve
from edgeai_repro.report.document import Document
from tests.support import records, reports
from tests.support.factories import claim_entry, paper_entry, row

CLAIMS = Path(__file__).parents[2] / "claims"
BEFORE: Document = reports.run(latency=(9.0, 11.0))


def documents() -> list[Any]:
    """Return the results of three runs: with a curve, of two networks, and of two papers."""
    curve = Curve(over="sparsity", unit="MB", points=[(0.1, 5.0), (0.5, 3.0)])
    claims = [*BEFORE.papers[0].claims]
    claims[0] = claims[0].model_copy(update={"rows": [row(10.0, 9.5, curve=curve, notes={"quantity": "bytes"})]})
    with_curve = BEFORE.model_copy(update={"papers": [BEFORE.papers[0].model_copy(update={"claims": claims})]})
    several = BEFORE.model_copy(update={"papers": [*BEFORE.papers, *reports.networks().papers]})
    return [json.loads(run.model_dump_json()) for run in (with_curve, reports.networks(), several)]


def on_device() -> Any:
    """Return the results of a run on a device that pass its checks."""
    run = json.loads(reports.run(latency=(18.0, 19.0)).model_dump_json())
    run["environment"] |= {"device": "raspberry-pi-5", "machine": "aarch64"}
    control = {"value": 1.0, "low": 0.99, "high": 1.01}
    for claim in run["papers"][0]["claims"]:
        for measured in claim["rows"]:
            measured |= {"evidence": "a" * 64, "control": control}
    return run


def claims() -> list[Any]:
    """Return a claims file with networks, a choice, an implication and a latency."""
    choice = {"name": "target", "default": 0.8, "swept_on": ["convnext_tiny"]}
    networks = {
        "cut": {"family": "resnet_cifar", "depth": 20, "hidden": ["8x3", "16x3", "32x3"]},
        "either": {"family": "alternatives", "by": "stride", "of": {"first": "cut", "second": "resnet50"}},
        "vgg": {"family": "vgg_cifar", "channels": [64, "M", 128]},
    }
    claims = [
        claim_entry(),
        claim_entry(id="swept", technique="structured_pruning", settings={"target": [0.5, 0.8]}, choice=choice),
        claim_entry(id="two", metric="params_ratio", technique="none", models=["cut"], against="vgg"),
        claim_entry(**reports.LATENCY, models=["convnext_small"], needs=["edge"]),
    ]
    unstated = [{"id": "how", "what": "how it was counted", "assumed": "by hand"}]
    return [paper_entry(*claims, networks=networks, unstated=unstated, implications=[reports.IMPLICATION])]


def sums() -> list[bytes]:
    """Return sums of files: valid ones, ones that leave the folder, and two that are no text."""
    line = f"{hashlib.sha256(b'{}').hexdigest()}  "
    return [
        f"{line}a.json\n".encode(),
        f"{line}a.json\n{line}../a.json\n{line}b\n".encode(),
        b"\xff\xfe",
        b"a" * 70,
    ]


BENCHMARKS = {
    "machine_info": {
        "edgeai": {
            "fingerprint": {"architecture": "x86_64", "cpu": "a", "cores": 2, "threads": 2},
            "stack": {"python": "3.11", "versions": {"torch": "2.10"}},
        }
    },
    "benchmarks": [{"fullname": "tests/a.py::b", "stats": {"min": 1.0, "max": 2.0, "median": 1.5}}],
    "datetime": "2026-01-01T00:00:00",
}
RECIPES = {
    "recipes": {
        "a": {
            **{
                "epochs": 30,
                "batch_size": 128,
                "optimizer": "sgd",
                "momentum": 0.9,
                "weight_decay": 1e-4,
                "lr": 0.1,
            },
            **{"schedule": "step", "milestones": [0.5, 0.75], "decay": 0.1, "warmup": 0.0, "label_smoothing": 0.0},
        }
    },
    "plans": {"b": {"network": "resnet20", "rates": [{"first": 2, "last": 12, "rate": 0.3}], "skip": [4]}},
}
_LAYER = {"name": "conv1", "weights": 500, "kept": 66, "bits": 8, "huffman_bits": 7.2, "index_bits": 5}
CODING = {
    "tables": {
        "a": {
            "layers": [{**_LAYER, "huffman_index_bits": 1.5, "quantized": 78.5, "huffman": 67.45}],
            "total": {"quantized": 3.1, "huffman": 2.5},
        }
    }
}


def training_records() -> list[Any]:
    """Return records of training runs, one of them of the former version."""
    made = [records.dense(900), records.pruned(880), records.record(seed=1)]
    documents = [json.loads(record.model_dump_json()) for record in made]
    old = json.loads(records.dense(900).model_dump_json()) | {"schema_version": 1}
    old["evaluations"][0]["params"] = old["evaluations"][0].pop("settings")
    curve = [{"epoch": 1, "loss": 2.0, "train_top1": 30.0, "test_top1": 35.0}]
    return [*documents, old, {**documents[0], "curve": curve}]


def claims_texts() -> list[str]:
    """Return claims files as they are written in this repository."""
    return [(CLAIMS / name).read_text(encoding="utf-8") for name in ("iandola2016.yaml", "edge.yaml")]
