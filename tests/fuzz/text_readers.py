"""Readers of texts: YAML, JSON and sums. Each reads a file as a command does, and uses what it read."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import yaml

import edgeai_repro.builtin  # noqa: F401 - registers the metrics and techniques that claims name
from edgeai_repro import files
from edgeai_repro.claims.coding_tables import read_table
from edgeai_repro.claims.load import read_claims
from edgeai_repro.claims.recipe_files import read_plan, read_recipe
from edgeai_repro.devices.spec import load_devices
from edgeai_repro.errors import MissingRequirement, UserError
from edgeai_repro.evidence import store
from edgeai_repro.evidence.measurement import Curve
from edgeai_repro.evidence.plausibility import check_plausible
from edgeai_repro.evidence.training_record import load_record
from edgeai_repro.judge.formatting import format_band
from edgeai_repro.plugin.benchmark_storage import read_stored
from edgeai_repro.report import device_results, document, markdown, terminal
from edgeai_repro.report import html as html_report
from edgeai_repro.report.diff import compare
from edgeai_repro.report.document import Document
from edgeai_repro.report.script import script
from edgeai_repro.training.recipe import format_rates, parse_rates
from edgeai_repro.training.trained_models import recorded_runs
from tests.fuzz.inputs import damaged, endless_yaml, json_files, yaml_files
from tests.fuzz.reader import Reader
from tests.support import records, reports
from tests.support.factories import claim_entry, paper_entry, row

CLAIMS = Path(__file__).parents[2] / "claims"
DEVICES = load_devices(CLAIMS)


def _written(folder: Path, name: str, content: bytes) -> Path:
    (folder / name).write_bytes(content)
    return folder / name


def read_yaml(content: bytes, folder: Path) -> None:
    """Read a YAML file of any content."""
    json.dumps(files.read_yaml(_written(folder, "a.yaml", content)), default=str, skipkeys=True)


def read_json(content: bytes, folder: Path) -> None:
    """Read a JSON file of any content, and write it again."""
    json.dumps(files.read_json(_written(folder, "a.json", content))).encode()


def read_claims_file(content: bytes, folder: Path) -> None:
    """Read a claims file; list its claims, show each, and write each as a script."""
    _written(folder, "paper.yaml", content)
    loaded = read_claims(folder)
    for case in [case for paper in loaded.papers for case in paper.cases]:
        f"{case.id} {format_band(case.claim)}".encode()
        yaml.safe_dump(case.claim.model_dump(mode="json", exclude_defaults=True), allow_unicode=True)
        with contextlib.suppress(MissingRequirement, UserError):
            compile(script(case), "script", "exec")
    for problem in loaded.problems:
        raise UserError(problem)


def read_devices(content: bytes, folder: Path) -> None:
    """Read devices.yaml, and compute the peaks of each device."""
    for device in load_devices(_written(folder, "devices.yaml", content).parent).values():
        device.peak("int8")
        device.memory_level_for(1e6)


def read_training(content: bytes, folder: Path) -> None:
    """Read a folder of recipes and plans, and use one of each."""
    _written(folder, "a.yaml", content)
    read_recipe("a", folder)
    parse_rates(format_rates(read_plan("b", folder).layer_rates()))


def read_coding(content: bytes, folder: Path) -> None:
    """Read a folder of tables, and compute what claims need of one."""
    _written(folder, "a.yaml", content)
    table = read_table("a", folder)
    for stage in ("quantized", "huffman"):
        table.size_ratio(stage), table.total.size_ratio(stage)
    assert table.mean_bits > 0


def read_document(content: bytes, folder: Path) -> None:
    """Read the results of a run; show them on a terminal and in Markdown, and compare them with those of another."""
    run = document.read(_written(folder, "a.json", content))
    terminal.render(run, colour=False, width=80).encode()
    markdown.render(run).encode()
    difference = compare(BEFORE, run)
    terminal.render_diff(difference, colour=False, width=80).encode()
    difference.model_dump_json()


def read_for_html(content: bytes, folder: Path) -> None:
    """Read the results of a run, and write them as HTML with all figures."""
    html_report.render(document.read(_written(folder, "a.json", content))).encode()


def read_device_result(content: bytes, folder: Path) -> None:
    """Add a run on a device to the evidence, and read it from there."""
    device_results.add_result(_written(folder, "a.json", content), folder / "evidence", DEVICES)
    device_results.load_results(folder / "evidence", DEVICES)


def read_training_record(content: bytes, folder: Path) -> None:
    """Add the record of a training run to the evidence, and read it from there."""
    path = _written(folder, "result.json", content)
    check_plausible(load_record(path))
    store.add_training_record(path, folder / "evidence", "run")
    for runs in recorded_runs(folder / "evidence"):
        _ = [(run.seed, run.init, run.budget, run.is_retrained, runs.model) for run in runs.runs]


def read_sums(content: bytes, folder: Path) -> None:
    """Read a folder of evidence with this SHA256SUMS."""
    _written(folder, "a.json", b"{}")
    _written(folder, store.SUMS, content)
    store.verified_files(folder)


def read_benchmarks(content: bytes, folder: Path) -> None:
    """Read a file of stored benchmarks."""
    stored = read_stored(_written(folder, "a.json", content))
    str(stored.machine_info.edgeai and stored.machine_info.edgeai.fingerprint.key)


BEFORE: Document = reports.run(latency=(9.0, 11.0))


def _documents() -> list[Any]:
    curve = Curve(over="sparsity", unit="MB", points=[(0.1, 5.0), (0.5, 3.0)])
    claims = [*BEFORE.papers[0].claims]
    claims[0] = claims[0].model_copy(update={"rows": [row(10.0, 9.5, curve=curve, notes={"quantity": "bytes"})]})
    with_curve = BEFORE.model_copy(update={"papers": [BEFORE.papers[0].model_copy(update={"claims": claims})]})
    several = BEFORE.model_copy(update={"papers": [*BEFORE.papers, *reports.networks().papers]})
    return [json.loads(run.model_dump_json()) for run in (with_curve, reports.networks(), several)]


def _on_device() -> Any:
    run = json.loads(reports.run(latency=(18.0, 19.0)).model_dump_json())
    run["environment"] |= {"device": "raspberry-pi-5", "machine": "aarch64"}
    control = {"value": 1.0, "low": 0.99, "high": 1.01}
    for claim in run["papers"][0]["claims"]:
        for measured in claim["rows"]:
            measured |= {"evidence": "a" * 64, "control": control}
    return run


def _claims() -> list[Any]:
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


def _sums() -> list[bytes]:
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


def _records() -> list[Any]:
    made = [records.dense(900), records.pruned(880), records.record(seed=1)]
    documents = [json.loads(record.model_dump_json()) for record in made]
    old = json.loads(records.dense(900).model_dump_json()) | {"schema_version": 1}
    old["evaluations"][0]["params"] = old["evaluations"][0].pop("settings")
    curve = [{"epoch": 1, "loss": 2.0, "train_top1": 30.0, "test_top1": 35.0}]
    return [*documents, old, {**documents[0], "curve": curve}]


def _claims_texts() -> list[str]:
    return [(CLAIMS / name).read_text(encoding="utf-8") for name in ("iandola2016.yaml", "edge.yaml")]


def clear(folder: Path) -> None:
    """Remove everything in a folder."""
    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()


TEXT_READERS = [
    Reader(
        "yaml", read_yaml, lambda: yaml_files({"a": [1, {"b": "c"}]}, texts=["a: {b: [1, 2]}\n"]) | endless_yaml()
    ),
    Reader("claims", read_claims_file, lambda: yaml_files(*_claims(), texts=_claims_texts())),
    Reader(
        "devices",
        read_devices,
        lambda: yaml_files(
            yaml.safe_load((CLAIMS / "devices.yaml").read_text(encoding="utf-8")),
            texts=[(CLAIMS / "devices.yaml").read_text(encoding="utf-8")],
        ),
    ),
    Reader("recipes", read_training, lambda: yaml_files(RECIPES, texts=[yaml.safe_dump(RECIPES)])),
    Reader("coding tables", read_coding, lambda: yaml_files(CODING, texts=[yaml.safe_dump(CODING)])),
    Reader("json", read_json, lambda: json_files({"a": [1, {"b": "c"}]}, [1.5, "x", None])),
    Reader("verdicts", read_document, lambda: json_files(*_documents())),
    Reader("verdicts as HTML", read_for_html, lambda: json_files(*_documents()), slow=True),
    Reader("device results", read_device_result, lambda: json_files(_on_device())),
    Reader("training records", read_training_record, lambda: json_files(*_records())),
    Reader("SHA256SUMS", read_sums, lambda: damaged(_sums())),
    Reader("benchmarks", read_benchmarks, lambda: json_files(BENCHMARKS)),
]
