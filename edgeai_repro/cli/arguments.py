"""`edgeai-repro reproduce` and `diff`: for arguments about a claim, or about two runs. No torch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgeai_repro.cli.claims import CLAIMS, Folder, find, load

DRIFT = 1


def reproduce(
    name: Annotated[str, typer.Argument(metavar="CLAIM", help="francy2024/dq-params, or dq-params")],
    folder: Folder = CLAIMS,
    models: Annotated[
        list[str] | None, typer.Option("--model", metavar="NAME", help="One of the claim's models (default: all).")
    ] = None,
) -> None:
    """Print a script in plain torch and thop that shows a claim's number, and why it is or isn't one.

    Example: edgeai-repro reproduce dq-params --model convnext_tiny > dq_params.py
    """
    from edgeai_repro.report.script import script

    typer.echo(script(find(load(folder), name), models), nl=False)


def diff(
    before: Annotated[Path, typer.Argument(metavar="A.json", help="what --claims-json wrote")],
    after: Annotated[Path, typer.Argument(metavar="B.json", help="what --claims-json wrote, later or elsewhere")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Show which verdicts, rows and flip margins moved between two runs. Exit status 1 where a verdict did.

    Example: edgeai-repro diff torch-2.10.json torch-2.15.json
    """
    from edgeai_repro.report import console, document, terminal
    from edgeai_repro.report.diff import compare

    found = compare(document.read(before), document.read(after))
    if as_json:
        typer.echo(found.model_dump_json(indent=1))
    else:
        typer.echo(terminal.render_diff(found, colour=console.coloured(), width=console.width()), nl=False)
    raise typer.Exit(DRIFT if found.verdicts else 0)
