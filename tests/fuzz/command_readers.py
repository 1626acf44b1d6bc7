"""Readers of single commands: grids, runs to merge or to put in a crate, statements on evidence, labels."""

from __future__ import annotations

import base64
import contextlib
import io
import json
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from hypothesis import strategies as st
from PIL import Image

from edgeai_repro.edge.user_images import read_labels, read_test_images
from edgeai_repro.errors import UserError
from edgeai_repro.evidence import attestation, store
from edgeai_repro.grid.board import State
from edgeai_repro.grid.runs import read_grid
from edgeai_repro.report import crate, document, merging
from tests.fuzz.inputs import as_json, damaged, edited, json_files, yaml_files
from tests.fuzz.outcomes import check_shown
from tests.fuzz.reader import Reader
from tests.support import reports, shards

LICENCE = "https://spdx.org/licenses/MIT"
EXAMPLE = (Path(__file__).parents[2] / "examples" / "grid.yaml").read_text(encoding="utf-8")
COMBINED = ("epochs", "batch_size", "lr", "resolution", "stem_stride")
ENDLESS_GRID = as_json(
    {
        "schema_version": 2,
        "networks": ["resnet20"],
        "techniques": {"dense": {}},
        "settings": {name: [*range(1, 60)] for name in COMBINED},
        "seeds": [0],
    }
)
MOST_FOLDERS = 3  # of images


def read_grid_file(content: bytes, folder: Path) -> None:
    """Read a grid, and show each of its runs."""
    (folder / "grid.yaml").write_bytes(content)
    for run in read_grid(folder / "grid.yaml").runs:
        check_shown(f"{State(run).line()} {run.command(folder)} {run.recipe.seed}")


def grids() -> st.SearchStrategy[bytes]:
    """Return files of grids, also with more combinations than anyone could train."""
    example = yaml.safe_load(EXAMPLE)
    return yaml_files(example, json.loads(ENDLESS_GRID), {**example, "seeds": [*range(200)]}, texts=[EXAMPLE])


def merge_runs(content: bytes, folder: Path) -> None:
    """Merge a run with the second shard of two, in both orders, and write what comes of it."""
    (folder / "a.json").write_bytes(content)
    first = (folder / "a.json", document.read(folder / "a.json"))
    second = (folder / "b.json", shards.run("two", shard="2/2", environment=shards.SECOND))
    for both in ([first, second], [second, first]):
        with contextlib.suppress(UserError):
            document.write(merging.merge(both), folder / "all.json")
            merging.missing_shards(document.read(folder / "all.json"))
    merging.merge([first, second])


def runs_to_merge() -> st.SearchStrategy[bytes]:
    """Return first shards of two, and runs that were merged before."""
    first = shards.run("one", "three", shard="1/2")
    merged = merging.merge(
        [(Path("1.json"), first), (Path("3.json"), shards.run("two", environment=shards.SECOND))]
    )
    return json_files(*(json.loads(run.model_dump_json()) for run in (first, shards.run("one"), merged)))


def write_crate(content: bytes, folder: Path) -> None:
    """Write a run as a crate."""
    (folder / "run.json").write_bytes(content)
    crate.write(folder / "run.json", folder / "crate", LICENCE)


def runs_for_a_crate() -> st.SearchStrategy[bytes]:
    """Return runs with all that a crate tells of."""
    seeds = [reports.run(url='https://example.org/a b?c="d"'), shards.run("one", shard="1/2")]
    return json_files(*(json.loads(run.model_dump_json()) for run in seeds))


EVIDENCE = {"a.json": b"{}", "b.json": b"[]"}


def _keep_evidence(folder: Path) -> Path:
    evidence = folder / "evidence"
    evidence.mkdir()
    for name, content in EVIDENCE.items():
        (evidence / name).write_bytes(content)
        store.update_checksum(evidence / name)
    return evidence


def read_statement(content: bytes, folder: Path) -> None:
    """Compare evidence with a statement."""
    (folder / "statement.json").write_bytes(content)
    statement, _ = attestation.read_statement(folder / "statement.json")
    attestation.verify(statement, _keep_evidence(folder))


@cache
def _statement() -> Any:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        verdicts = {"a": True, "b": None, "c": False}
        statement = attestation.attest(_keep_evidence(Path(folder)), [], verdicts)
    return json.loads(statement.model_dump_json(by_alias=True))


def _signed(payload: bytes) -> Any:
    envelope = {"payload": base64.b64encode(payload).decode(), "payloadType": "application/vnd.in-toto+json"}
    return {"mediaType": "x", "dsseEnvelope": {**envelope, "signatures": [{"sig": "x"}]}}


def statements() -> st.SearchStrategy[bytes]:
    """Return statements, the bundles of their signatures, and bundles of other payloads."""
    whole = _signed(as_json(_statement()))
    payloads = edited([_statement()]).map(as_json) | damaged([as_json(_statement())])
    return json_files(_statement(), whole, whole["dsseEnvelope"]) | payloads.map(lambda one: as_json(_signed(one)))


def _pixel() -> bytes:
    stored = io.BytesIO()
    Image.new("RGB", (1, 1)).save(stored, "PNG")
    return stored.getvalue()


def read_classes(content: bytes, folder: Path) -> None:
    """Read the names of the classes, and images in folders that have the first of these names, or numbers."""
    (folder / "labels.txt").write_bytes(content)
    labels = read_labels(folder / "labels.txt")
    for name in [*labels[:MOST_FOLDERS], "0", "٣"]:
        with contextlib.suppress(OSError, ValueError):  # a name that no folder can have
            (folder / "images" / name.replace("/", "_").strip(".")).mkdir(parents=True)
            (folder / "images" / name.replace("/", "_").strip(".") / "a.png").write_bytes(_pixel())
    for given in (labels, None):
        with contextlib.suppress(UserError):
            read_test_images(folder / "images", 2, len(labels), given)
    read_test_images(folder / "images", 2, len(labels), labels)


def label_texts() -> st.SearchStrategy[bytes]:
    """Return texts with a label per line: valid ones, ones with odd lines, and damaged ones."""
    valid = ["cat\ndog\nship\n", "٣\n2\n1\n0\n", "a\r\nb\x85c\u2028d", "\ufefflabel\n\x1b[31m\n../up\n"]
    lines = st.lists(st.text(max_size=30), max_size=6).map(
        lambda texts: "\n".join(texts).encode("utf-8", "replace")
    )
    return damaged([text.encode() for text in valid]) | lines


COMMAND_READERS = [
    Reader("grids", read_grid_file, grids),
    Reader("merged runs", merge_runs, runs_to_merge),
    Reader("crates", write_crate, runs_for_a_crate, slow=True),
    Reader("statements", read_statement, statements),
    Reader("labels", read_classes, label_texts),
]
