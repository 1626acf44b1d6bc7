"""The crate of a run is a valid Process Run Crate, by the profile's own validator."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("rocrate", reason="rocrate writes crates, and isn't installed")

from edgeai_repro.checksums import sha256
from edgeai_repro.report import crate, document, merging
from tests.support import shards
from tests.support.commands import Command

LICENCE = "https://spdx.org/licenses/MIT"
BESIDE = Path(sys.prefix) / "roc-validator" / "bin"  # where `make` installs it
VALIDATOR = shutil.which("rocrate-validator", path=f"{BESIDE}{os.pathsep}{os.environ['PATH']}")
CONTEXT = "https://w3id.org/ro/crate/1.1/context"
FILL_CACHE = Path(__file__).parents[1] / "support" / "validator_cache.py"
# Our entities have only properties of RO-Crate 1.1. The validator gets the context of a later version here.
PROPERTIES = {
    *("@id", "@type", "about", "conformsTo", "contentSize", "dateModified", "datePublished", "description"),
    *("encodingFormat", "endTime", "hasPart", "identifier", "instrument", "isBasedOn", "license", "mentions"),
    *("name", "object", "result", "softwareRequirements", "softwareVersion", "version"),
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a merged run of two machines."""
    path = tmp_path_factory.mktemp("run") / "verdicts.json"
    runs = [shards.run("one", shard="1/2"), shards.run("two", shard="2/2", environment=shards.SECOND)]
    document.write(merging.merge([(Path(f"{number}.json"), one) for number, one in enumerate(runs)]), path)
    return path


@pytest.fixture(scope="module")
def folder(run: Path) -> Path:
    """The folder of the run's crate."""
    crate.write(run, run.parent / "crate", LICENCE)
    return run.parent / "crate"


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache with the JSON-LD context that rocrate brings along, so that the validator downloads nothing."""
    if VALIDATOR is None:
        pytest.skip("rocrate-validator is missing; `make` installs it into .venv/roc-validator")
    path = tmp_path_factory.mktemp("cache") / "http"
    with resources.as_file(resources.files("rocrate") / "data" / "ro-crate.jsonld") as context:
        python = Path(VALIDATOR).resolve().parent / "python"
        subprocess.run([python, FILL_CACHE, path, CONTEXT, context], check=True)
    return path


def entities(folder: Path) -> dict[str, dict[str, Any]]:
    """Return the entities of a crate by their ids."""
    graph = json.loads((folder / "ro-crate-metadata.json").read_text("utf-8"))["@graph"]
    return {entity["@id"]: entity for entity in graph}


def validated(folder: Path, cache: Path) -> tuple[bool, list[str]]:
    """Return whether a crate is a valid Process Run Crate, and the messages of the validator."""
    result = cache.parent / "result.json"
    options = ["--offline", f"--cache-path={cache}", "--profile-identifier=process-run-crate", "--no-paging"]
    output = ["--output-format=json", f"--output-file={result}"]
    subprocess.run([VALIDATOR, "-y", "validate", *options, *output, folder], capture_output=True, check=False)
    content = json.loads(result.read_text("utf-8"))
    return content["passed"], [issue["message"] for issue in content["issues"]]


def test_crate_is_valid(folder: Path, cache: Path) -> None:
    """All required properties of the profile are there."""
    assert validated(folder, cache) == (True, [])


def test_validator_finds_a_missing_instrument(folder: Path, cache: Path, tmp_path: Path) -> None:
    """A planted mistake: an action that names no software."""
    copy = Path(shutil.copytree(folder, tmp_path / "crate"))
    metadata = copy / "ro-crate-metadata.json"
    content = json.loads(metadata.read_text("utf-8"))
    for entity in content["@graph"]:
        entity.pop("instrument", None)
    metadata.write_text(json.dumps(content), "utf-8")

    passed, messages = validated(copy, cache)

    assert not passed
    assert any("MUST have an instrument" in message for message in messages)


def test_crate_says_who_judged_what_with_which_software(folder: Path, run: Path) -> None:
    """One action for each machine; the result is the run's file, unchanged."""
    found = entities(folder)
    actions = [found[action["@id"]] for action in found["./"]["mentions"]]

    assert [action["description"] for action in actions] == [
        "pytest -m claims on first cpu, 2 cores, x86_64; 2 threads, engine x86",
        "pytest -m claims on second cpu, 2 cores, aarch64; 2 threads, engine x86",
    ]
    assert {action["result"][0]["@id"] for action in actions} == {"verdicts.json"}
    assert found["verdicts.json"]["identifier"] == f"sha256:{sha256(run)}"
    assert (folder / "verdicts.json").read_bytes() == run.read_bytes()
    assert found["pkg:pypi/torch@2.15.0"]["softwareVersion"] == "2.15.0"
    assert found["#claims-paper"]["identifier"] == f"sha256:{shards.FILE.sha256}"
    assert {name for entity in found.values() for name in entity} <= PROPERTIES


def test_command_refuses_an_existing_folder_and_writes_nothing(
    run: Path, folder: Path, command: Command, tmp_path: Path
) -> None:
    """What is no run is refused, too; each error is one line."""
    (tmp_path / "other.json").write_text("{}", "utf-8")
    written = command("crate", str(run), "-o", str(tmp_path / "new"), "--license", LICENCE)
    twice = command("crate", str(run), "-o", str(folder))
    other = command("crate", str(tmp_path / "other.json"), "-o", str(tmp_path / "never"))

    assert (written[0], twice[0], other[0]) == (0, 2, 2)
    assert entities(tmp_path / "new")["./"]["license"] == {"@id": LICENCE}
    assert "must not exist yet" in twice[2]
    assert (twice[2].count("\n"), (tmp_path / "never").exists()) == (1, False)
