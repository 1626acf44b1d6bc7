"""The JSON schema that editors check claims files by: it accepts what loads, and completes the names of a claim."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import edgeai_repro.builtin  # noqa: F401 - registers the metrics and techniques that claims name
from edgeai_repro import __version__
from edgeai_repro.claims.editor_schema import SCHEMA, WRITTEN_BY, json_schema
from edgeai_repro.claims.registry import METRICS, TECHNIQUES
from edgeai_repro.claims.values import MEANINGS
from edgeai_repro.files import read_yaml
from tests.support.commands import Command
from tests.support.factories import claim_entry, paper_entry, paper_yaml

OURS = f"edgeai-repro {__version__}"
CLAIMS = Path(__file__).parents[2] / "claims"
FILES = sorted(CLAIMS.glob("*.yaml"))
DOCUMENT = json.loads((CLAIMS / SCHEMA).read_text(encoding="utf-8"))
VALIDATOR = jsonschema.Draft202012Validator(DOCUMENT)
CLAIM = DOCUMENT["$defs"]["Claim"]


def accepts(**fields: Any) -> bool:
    """Return whether the schema accepts a file with one claim that has these fields."""
    return VALIDATOR.is_valid(paper_entry(claim_entry(**fields)))


def offered(schema: dict[str, Any]) -> dict[str, str]:
    """Return the names that an editor completes by a schema, with their descriptions."""
    return {one["const"]: one.get("description", "") for one in schema["anyOf"] if "const" in one}


def values_offered(key: str, name: str, values: str) -> Iterator[str]:
    """Yield the keys that an editor completes under `values` of a claim whose `key` is `name`."""
    for rule in CLAIM["allOf"]:
        if rule["if"]["required"] == [key] and jsonschema.Draft202012Validator(rule["if"]).is_valid({key: name}):
            yield from rule["then"]["properties"][values]["properties"]


def test_schema_file_is_what_the_models_generate() -> None:
    """`claims/schema.json` is what the models say; `edgeai-repro claims schema` writes it again."""
    assert (CLAIMS / SCHEMA).read_text(encoding="utf-8") == json_schema(__version__)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_schema_accepts_every_file(file: Path) -> None:
    """The schema accepts every file of the folder, which names it for editors."""
    assert VALIDATOR.is_valid(read_yaml(file))
    assert f"$schema={SCHEMA}" in file.read_text(encoding="utf-8").partition("\n")[0]


@pytest.mark.parametrize(
    "fields",
    [
        {"quantifier": "upto"},
        {"locater": "sentence 1"},
        {"band": {"rounding": 1.0, "tolerance": -1.0, "derivation": "for the test"}},
        {"value": "ninety-five"},
        {"id": "Upper Case"},
        {"models": []},
        {"expect": {"verdict": "inconclusive", "reason": "the test says so"}},
        {"technique": "structured_pruning", "settings": {"target": 1.0}},
        {"technique": "structured_pruning", "settings": {"target": [0.5, 80]}},
        {"conditions": {"resolution": 32.5, "classes": 10}},
        {"conditions": {"resolution": 32, "classes": 10, "biases": "ignored"}},
    ],
    ids=str,
)
def test_schema_rejects_a_planted_error(fields: dict[str, Any]) -> None:
    """The schema rejects a claim with one planted error, and accepts it without."""
    assert accepts()
    assert not accepts(**fields)


def test_names_that_a_user_registers_are_accepted() -> None:
    """A schema that forbade them would mark a correct file as wrong."""
    assert accepts(metric="bits_reduction", technique="half_precision", models=["mine"], against="theirs")
    assert accepts(technique="half_precision", settings={"target": 80, "rounds": [1, 2]}, conditions={"layer": 3})


def test_metrics_and_techniques_are_completed_with_their_descriptions() -> None:
    """All that are registered are offered."""
    assert offered(CLAIM["properties"]["metric"]) == {name: entry.description for name, entry in METRICS.items()}
    techniques = offered(CLAIM["properties"]["technique"])
    assert techniques.pop("none") == "the network is not compressed"
    assert techniques == {name: entry.description for name, entry in TECHNIQUES.items()}


def test_settings_and_conditions_are_those_of_the_technique_and_the_metric() -> None:
    """Each is offered what it takes, and no other's."""
    for name, technique in TECHNIQUES.items():
        assert set(values_offered("technique", name, "settings")) == {*technique.settings, *technique.optional}
    for name, metric in METRICS.items():
        assert set(values_offered("metric", name, "conditions")) == {*metric.conditions, *metric.optional}


def test_each_setting_and_condition_has_a_meaning() -> None:
    """Lists of them and editors show it."""
    entries = (*METRICS.values(), *TECHNIQUES.values())

    assert {name for entry in entries for name in (*entry.needed, *entry.optional)} <= MEANINGS.keys()


def test_networks_are_completed_but_for_the_names_of_timm() -> None:
    """torchvision's names and our families are listed; of timm's there is the beginning, with an example."""
    listed, *forms = DOCUMENT["$defs"]["NetworkName"]["anyOf"]

    assert {"alexnet", "resnet50", "convnext_atto", "vgg16_cifar"} <= set(listed["enum"])
    assert len(listed["enum"]) < 200
    assert [example for form in forms for example in form.get("examples", [])] == [
        "timm:mobilenetv3_large_100",
        "networks/mine.py:build",
    ]


def test_file_with_the_schema_of_another_version_gets_a_hint(command: Command, tmp_path: Path) -> None:
    """It is one line, and no mistake of the file: the exit status stays 0. Our own schema gets none."""
    path, schema = tmp_path / "paper.yaml", tmp_path / SCHEMA
    path.write_text(f"# yaml-language-server: $schema={SCHEMA}\n{paper_yaml()}", encoding="utf-8")

    def hint(content: object) -> str:
        schema.write_text(json.dumps(content), encoding="utf-8")
        status, _, err = command("claims", "check", str(path), "--no-counts")
        assert status == 0
        return err

    assert hint({WRITTEN_BY: OURS}) == ""
    assert hint({WRITTEN_BY: "edgeai-repro 0.1.0"}) == (
        f"{schema}: must be written by {OURS} (got edgeai-repro 0.1.0); "
        f"run `edgeai-repro claims schema > {schema}`\n"
    )
    assert "(got an older one)" in hint({})
    assert "(got no schema)" in hint([])


def test_schema_is_written_next_to_a_new_file(command: Command, tmp_path: Path) -> None:
    """The file names it; one that is there stays."""
    command("claims", "new", "a2020", f"--claims-dir={tmp_path}")
    written = (tmp_path / SCHEMA).read_text(encoding="utf-8")
    (tmp_path / SCHEMA).write_text("{}", encoding="utf-8")
    command("claims", "new", "b2020", f"--claims-dir={tmp_path}")

    assert written == json_schema(__version__)
    assert (tmp_path / SCHEMA).read_text(encoding="utf-8") == "{}"
