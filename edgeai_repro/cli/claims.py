"""`edgeai-repro claims`: list and show claims, which needs no torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgeai_repro import __version__
from edgeai_repro.cli import echo
from edgeai_repro.cli.claim_files import check_files, new_file
from edgeai_repro.cli.registered import metrics, techniques
from edgeai_repro.errors import UserError, did_you_mean
from edgeai_repro.report.plain import on_one_line
from edgeai_repro.shipped import CLAIMS, claims_folder

if TYPE_CHECKING:
    from edgeai_repro.claims.schema import ClaimCase, Paper

app = typer.Typer(no_args_is_help=True, help="List, show, write and check claims.")
Folder = Annotated[
    Path, typer.Option("--claims-dir", metavar="DIR", help="Folder of claims files; without one, ours.")
]
app.command("new")(new_file)
app.command("check")(check_files)
app.command("metrics")(metrics)
app.command("techniques")(techniques)


@app.command("list")
def list_claims(
    folder: Folder = CLAIMS,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """List all claims.

    Each has its full name, metric, technique, the number as printed and the expected verdict.

    Example: edgeai-repro claims list --claims-dir=my-claims
    """
    headings = ("claim", "metric", "technique", "paper", "expected")
    rows = [
        (case.id, case.claim.metric, case.claim.technique, case.claim.printed, case.claim.expect.verdict)
        for paper in load(folder)
        for case in paper.cases
    ]
    if as_json:
        typer.echo(json.dumps([dict(zip(headings, row, strict=True)) for row in rows], indent=1))
        return
    table = [tuple(map(on_one_line, row)) for row in (headings, *rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for line in table:  # not by rich: its import takes a quarter of the command's time
        echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


@app.command("show")
def show_claim(
    name: Annotated[str, typer.Argument(metavar="CLAIM", help="a claim: francy2024/dq-params, or dq-params")],
    folder: Folder = CLAIMS,
) -> None:
    """Show one claim as written in its file.

    The text of its assumptions is added.

    Example: edgeai-repro claims show dq-params
    """
    import yaml

    case = find_claim(load(folder), name)
    assumed = [entry.model_dump() for entry in case.paper.unstated if entry.id in case.claim.assumes]
    document = {**case.claim.model_dump(mode="json", exclude_defaults=True), "assumes": assumed}
    echo(yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=100), end="")


@app.command("schema")
def print_schema() -> None:
    """Print the JSON schema of claims files, for editors.

    They read it from claims/schema.json, and complete metrics, techniques, networks and settings.

    Example: edgeai-repro claims schema > claims/schema.json
    """
    import edgeai_repro.builtin  # noqa: F401 - registers the metrics and techniques that claims name
    from edgeai_repro.claims.editor_schema import json_schema

    typer.echo(json_schema(__version__), nl=False)


def load(folder: Path) -> list[Paper]:
    """Return the papers of a claims folder. Raises UserError with one line per mistake."""
    import edgeai_repro.builtin  # noqa: F401 - registers the metrics and techniques that claims name
    from edgeai_repro.claims.load import load_claims

    return load_claims(claims_folder(folder))


def find_claim(papers: list[Paper], name: str) -> ClaimCase:
    """Return the claim with a full or short name. Raises UserError unless exactly one has it."""
    by_id = {case.id: case for paper in papers for case in paper.cases}
    matches = [full for full in by_id if name in (full, full.partition("/")[2])]
    if len(matches) != 1:
        known = matches or [*by_id, *(full.partition("/")[2] for full in by_id)]
        got = "more than one" if matches else "none"
        raise UserError(f"claim {name!r} must name one claim (got {got}); {did_you_mean(name, known)}")
    return by_id[matches[0]]
