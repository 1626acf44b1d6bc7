"""Readers of texts: YAML, JSON and sums. Each reads a file as a command does, and uses what it read."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import yaml

from edgeai_repro import files
from edgeai_repro.claims.coding_tables import read_table
from edgeai_repro.claims.load import read_claims
from edgeai_repro.claims.recipe_files import read_plan, read_recipe
from edgeai_repro.devices.spec import load_devices
from edgeai_repro.errors import MissingRequirement, UserError
from edgeai_repro.evidence import store
from edgeai_repro.evidence.plausibility import check_plausible
from edgeai_repro.evidence.training_record import load_record
from edgeai_repro.judge.formatting import format_band
from edgeai_repro.plugin.stored_benchmarks import read_stored
from edgeai_repro.report import device_results, document, markdown, terminal
from edgeai_repro.report import html as html_report
from edgeai_repro.report.diff import compare
from edgeai_repro.report.script import script
from edgeai_repro.training.recipe import format_rates, parse_rates
from edgeai_repro.training.trained_models import recorded_runs
from tests.fuzz import text_seeds
from tests.fuzz.inputs import damaged, endless_yaml, json_files, yaml_files
from tests.fuzz.reader import Reader
from tests.fuzz.text_seeds import CLAIMS, CODING, RECIPES

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
    """Read the results of a run; show them on a terminal and in Markdown, and compare them with others."""
    run = document.read(_written(folder, "a.json", content))
    terminal.render(run, colour=False, width=80).encode()
    markdown.render(run).encode()
    difference = compare(text_seeds.BEFORE, run)
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


TEXT_READERS = [
    Reader(
        "yaml", read_yaml, lambda: yaml_files({"a": [1, {"b": "c"}]}, texts=["a: {b: [1, 2]}\n"]) | endless_yaml()
    ),
    Reader("claims", read_claims_file, lambda: yaml_files(*text_seeds.claims(), texts=text_seeds.claims_texts())),
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
    Reader("verdicts", read_document, lambda: json_files(*text_seeds.documents())),
    Reader("verdicts as HTML", read_for_html, lambda: json_files(*text_seeds.documents()), slow=True),
    Reader("device results", read_device_result, lambda: json_files(text_seeds.on_device())),
    Reader("training records", read_training_record, lambda: json_files(*text_seeds.training_records())),
    Reader("SHA256SUMS", read_sums, lambda: damaged(text_seeds.sums())),
    Reader("benchmarks", read_benchmarks, lambda: json_files(text_seeds.BENCHMARKS)),
]
