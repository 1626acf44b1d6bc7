"""`edgeai-repro claims`: look at what a paper claims, and check claims files. No torch."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from edgeai_repro.claims import Claim, Paper, load_claims, load_file
from edgeai_repro.errors import UserError, nearest

app = typer.Typer(no_args_is_help=True, help="Look at what a paper claims, and check claims files.")
Folder = Annotated[Path, typer.Option("--claims-dir", metavar="DIR", help="Folder of claims files.")]
CLAIMS = Path("claims")


@app.command("list")
def list_claims(folder: Folder = CLAIMS) -> None:
    """List all claims: full name, metric, technique, the paper's value, the expected verdict."""
    from rich.console import Console
    from rich.table import Table

    from edgeai_repro.report.terminal import PIPED_WIDTH

    table = Table("claim", "metric", "technique", "paper", "expected", box=None, pad_edge=False)
    for paper in load_claims(folder):
        for claim in paper.claims:
            table.add_row(
                paper.full_name(claim), claim.metric, claim.technique, str(claim.value), claim.expect.verdict
            )
    Console(width=None if sys.stdout.isatty() else PIPED_WIDTH).print(table)


@app.command("show")
def show_claim(
    name: Annotated[str, typer.Argument(metavar="ID", help="francy2024/dq-params, or dq-params")],
    folder: Folder = CLAIMS,
) -> None:
    """Show one claim as its file has it, with what it assumes where the paper is silent."""
    import yaml

    paper, claim = find(load_claims(folder), name)
    assumed = [entry.model_dump() for entry in paper.unstated if entry.id in claim.assumes]
    document = {**claim.model_dump(mode="json", exclude_defaults=True), "assumes": assumed}
    typer.echo(yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=100), nl=False)


@app.command("check")
def check_file(file: Annotated[Path, typer.Argument(help="a claims file, or devices.yaml")]) -> None:
    """Check one file of a claims folder."""
    loaded = load_file(file)
    found = f"{len(loaded.claims)} claims" if isinstance(loaded, Paper) else f"{len(loaded.devices)} devices"
    typer.echo(f"{file}: {found}, all right")


@app.command("schema")
def print_schema() -> None:
    """Print the JSON schema of claims files, as claims/schema.json holds it for editors."""
    from edgeai_repro.claims import json_schema

    typer.echo(json_schema(), nl=False)


def find(papers: list[Paper], name: str) -> tuple[Paper, Claim]:
    """Return the claim of a full or a short name. Raises UserError unless it names exactly one."""
    by_name = {paper.full_name(claim): (paper, claim) for paper in papers for claim in paper.claims}
    matches = [full for full in by_name if name in (full, full.partition("/")[2])]
    if len(matches) != 1:
        known = matches or [*by_name, *(full.partition("/")[2] for full in by_name)]
        came = "more than one" if matches else "none"
        raise UserError(f"claim {name!r} must name one claim (got {came}); {nearest(name, known)}")
    return by_name[matches[0]]
