"""Readers of files that lie next to what a command is given: schemas, kept runs, states of runs, lists of data."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
from pathlib import Path

import typer
import yaml
from hypothesis import strategies as st

from edgeai_repro import __version__
from edgeai_repro.claims.editor_schema import WRITTEN_BY, json_schema, schema_hint
from edgeai_repro.cli.claim_files import check_files
from edgeai_repro.data import cifar
from edgeai_repro.errors import UserError, as_line
from edgeai_repro.evidence.training_record import RESULT
from edgeai_repro.grid import folders
from edgeai_repro.grid.board import stored_states
from edgeai_repro.grid.runs import read_grid
from edgeai_repro.judge.formatting import duration
from edgeai_repro.report import github
from edgeai_repro.report.document import read
from edgeai_repro.report.time_left import TimeLeft, earlier_seconds
from tests.fuzz import text_seeds
from tests.fuzz.array_readers import LABEL_FILE, MOSAIC, small_mosaics
from tests.fuzz.inputs import as_json, damaged, json_files, yaml_files
from tests.fuzz.outcomes import check_shown
from tests.fuzz.reader import Reader
from tests.support.factories import claim_entry, paper_entry

NAMES_SCHEMA = "# yaml-language-server: $schema=schema.json\n"
PROGRESS = {"epoch": 3, "epochs": 30, "top1": 61.25, "seconds_left": 3600.5}
GRID = {"schema_version": 2, "networks": ["resnet20"], "techniques": {"dense": {}}, "seeds": [0]}


def read_schema(content: bytes, folder: Path) -> None:
    """Look at the schema that a claims file names, and at the first line of a claims file."""
    (folder / "schema.json").write_bytes(content)
    (folder / "named.yaml").write_text(NAMES_SCHEMA, encoding="utf-8")
    (folder / "other.yaml").write_bytes(content)
    for name in ("named.yaml", "other.yaml"):
        if hint := schema_hint(folder / name, __version__):
            check_shown(as_line(hint))


def schemas() -> st.SearchStrategy[bytes]:
    """Return schemas for editors, of this version and others, and first lines that name odd files."""
    small = {WRITTEN_BY: "edgeai-repro 0.0.1", "type": "object"}
    lines = [NAMES_SCHEMA, NAMES_SCHEMA.replace("schema.json", "."), NAMES_SCHEMA.replace("schema", "a\0b")]
    return json_files(small, json.loads(json_schema(__version__))) | damaged([line.encode() for line in lines])


def read_kept_run(content: bytes, folder: Path) -> None:
    """Estimate the time of a run by the seconds of a kept one, as a terminal shows it, and annotate its claims."""
    path = folder / "verdicts.json"
    path.write_bytes(content)
    left = TimeLeft(["a", "b", "c"], earlier_seconds(path))
    for seconds in (left.after(["a"], 1.0), left.after(["a", "b"], 2.0)):
        check_shown("" if seconds is None else duration(seconds))
        assert seconds is None or 0 <= seconds < float("inf"), "a time must be a number"
    run = read(path)
    for line in github.commands(run, {paper.id: folder / "none.yaml" for paper in run.papers}, folder):
        check_shown(line)


def kept_runs() -> st.SearchStrategy[bytes]:
    """Return runs with the seconds of their claims."""
    run = json.loads(text_seeds.BEFORE.model_dump_json()) | {"claim_seconds": {"a": 1.5, "b": 0.0, "d": 7.25}}
    return json_files(run, {**run, "claim_seconds": {"a": 1e100, "b": 1e-300}})


def read_run_folder(content: bytes, folder: Path) -> None:
    """Show the state of a grid whose run has this progress, this reason of its failure and this record."""
    (folder / "grid.yaml").write_bytes(as_json(GRID))
    runs = read_grid(folder / "grid.yaml").runs
    for name in (folders.PROGRESS, folders.FAILURE, RESULT):
        place = folder / name / runs[0].id
        place.mkdir(parents=True)
        (place / name).write_bytes(content)
        with contextlib.suppress(UserError):
            for state in stored_states(runs, folder / name):
                check_shown(state.line())
    stored_states(runs, folder / folders.PROGRESS)


def run_states() -> st.SearchStrategy[bytes]:
    """Return progresses and reasons of failures."""
    reasons = [b"cannot allocate\nTraceback\n", b"\x1b[31mred\n", "\u202ered".encode(), b"\xff", b"x" * 70_000]
    return json_files(PROGRESS) | damaged(reasons)


def read_list(content: bytes, folder: Path) -> None:
    """Load packed images by their list of files."""
    packed = folder / "cifar10"
    packed.mkdir()
    for name, other in {"test.webp": MOSAIC, cifar.LABELS: LABEL_FILE, cifar.MANIFEST: content}.items():
        (packed / name).write_bytes(other)
    with small_mosaics():
        cifar.load_arrays(folder, "test")


def lists() -> st.SearchStrategy[bytes]:
    """Return lists of the files of a packed data set."""
    files = {"test.webp": MOSAIC, cifar.LABELS: LABEL_FILE}
    listed = {
        name: {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
        for name, content in files.items()
    }
    return json_files(listed)


def check_claims(content: bytes, folder: Path) -> None:
    """Check a claims file without its code, and count its networks."""
    (folder / "paper.yaml").write_bytes(content)
    shown, problems = io.StringIO(), io.StringIO()
    with (
        contextlib.suppress(typer.Exit),
        contextlib.redirect_stdout(shown),
        contextlib.redirect_stderr(problems),
    ):
        check_files([folder / "paper.yaml"], code=False)
    for line in [*shown.getvalue().split("\n"), *problems.getvalue().split("\n")]:
        check_shown(line)


def counted_claims() -> st.SearchStrategy[bytes]:
    """Return claims files whose networks are counted at once: small ones, and such as nobody could build."""
    networks = {
        "cut": {"family": "resnet_cifar", "depth": 20, "hidden": ["8x3", "16x3", "32x3"]},
        "vgg": {"family": "vgg_cifar", "channels": [8, "M", 8]},
    }
    claims = [
        claim_entry(id="ratio", metric="params_ratio", technique="none", models=["cut"], against="vgg"),
        claim_entry(id="work", metric="macs", technique="none", models=["vgg"]),
    ]
    paper = paper_entry(*claims, networks=networks)
    return yaml_files(paper, texts=[yaml.safe_dump(paper)])


NEIGHBOUR_READERS = [
    Reader("editor schemas", read_schema, schemas),
    Reader("kept runs", read_kept_run, kept_runs),
    Reader("states of runs", read_run_folder, run_states),
    Reader("lists of data", read_list, lists),
    Reader("claims checked", check_claims, counted_claims, slow=True),
]
