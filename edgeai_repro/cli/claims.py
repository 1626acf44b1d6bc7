"""`edgeai-repro claims`: list, show and check claims. Runs without torch."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from edgeai_repro.errors import UserError, did_you_mean

if TYPE_CHECKING:
    from edgeai_repro.claims.schema import Claim, Paper

app = typer.Typer(no_args_is_help=True, help="List, show and check claims.")
Folder = Annotated[Path, typer.Option("--claims-dir", metavar="DIR", help="Folder of claims files.")]
CLAIMS = Path("claims")
Read = TypeVar("Read")


@app.command("list")
def list_claims(
    folder: Folder = CLAIMS,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """List all claims: full name, metric, technique, the paper's value, the expected verdict.

    Example: edgeai-repro claims list --claims-dir=my-claims
    """
    headings = ("claim", "metric", "technique", "paper", "expected")
    rows = [
        (paper.full_name(claim), claim.metric, claim.technique, claim.value, claim.expect.verdict)
        for paper in load(folder)
        for claim in paper.claims
    ]
    if as_json:
        typer.echo(json.dumps([dict(zip(headings, row, strict=True)) for row in rows], indent=1))
        return
    table = [headings, *(tuple(map(str, row)) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for line in table:  # not by rich: its import takes a quarter of the command's time
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


@app.command("show")
def show_claim(
    name: Annotated[str, typer.Argument(metavar="CLAIM", help="a claim: francy2024/dq-params, or dq-params")],
    folder: Folder = CLAIMS,
) -> None:
    """Show one claim as written in its file, with the text of its assumptions.

    Example: edgeai-repro claims show dq-params
    """
    import yaml

    paper, claim = find_claim(load(folder), name)
    assumed = [entry.model_dump() for entry in paper.unstated if entry.id in claim.assumes]
    document = {**claim.model_dump(mode="json", exclude_defaults=True), "assumes": assumed}
    typer.echo(yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=100), nl=False)


@app.command("check")
def check_file(file: Annotated[Path, typer.Argument(help="a claims file, or devices.yaml")]) -> None:
    """Check one file of a claims folder, with the metrics and techniques of the conftest.py next to the folder.

    Example: edgeai-repro claims check claims/francy2024.yaml
    """
    from edgeai_repro.claims.schema import Paper, load_file

    loaded = _with_own(lambda: load_file(file), [file])
    content = f"{len(loaded.claims)} claims" if isinstance(loaded, Paper) else f"{len(loaded.devices)} devices"
    typer.echo(f"{file}: {content}, all right")


@app.command("schema")
def print_schema() -> None:
    """Print the JSON schema of claims files, which editors read from claims/schema.json.

    Example: edgeai-repro claims schema > claims/schema.json
    """
    from edgeai_repro.claims.schema import json_schema

    typer.echo(json_schema(), nl=False)


def load(folder: Path) -> list[Paper]:
    """Return the papers of a claims folder. Raises UserError.

    The conftest.py next to the folder is imported if the claims name metrics or techniques that it registers.
    """
    from edgeai_repro.claims.schema import load_claims

    return _with_own(lambda: load_claims(folder), sorted(folder.glob("*.yaml")))


def _with_own(read: Callable[[], Read], files: Sequence[Path]) -> Read:
    try:
        return read()
    except UserError:
        from edgeai_repro.claims import user_code

        if not user_code.register_conftests(files):
            raise
    return read()


def find_claim(papers: list[Paper], name: str) -> tuple[Paper, Claim]:
    """Return the claim with a full or short name, and its paper. Raises UserError unless exactly one has it."""
    by_name = {paper.full_name(claim): (paper, claim) for paper in papers for claim in paper.claims}
    matches = [full for full in by_name if name in (full, full.partition("/")[2])]
    if len(matches) != 1:
        known = matches or [*by_name, *(full.partition("/")[2] for full in by_name)]
        got = "more than one" if matches else "none"
        raise UserError(f"claim {name!r} must name one claim (got {got}); {did_you_mean(name, known)}")
    return by_name[matches[0]]
