"""`edgeai-repro diff`: the differences between two runs of the claims. Runs without torch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgeai_repro.cli import DRIFT, echo


def diff(
    before: Annotated[Path, typer.Argument(metavar="A.json", help="a file written by --claims-json")],
    after: Annotated[
        Path, typer.Argument(metavar="B.json", help="the same, of a later run or another environment")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Show the differences between two runs of the claims.

    It compares verdicts, rows and flip margins. The exit status is 1 if a verdict differs.

    Example: edgeai-repro diff torch-2.10.json torch-2.15.json
    """
    from edgeai_repro.report import console, document, terminal
    from edgeai_repro.report.diff import compare

    changes = compare(document.read(before), document.read(after))
    if as_json:
        echo(changes.model_dump_json(indent=1))
    else:
        typer.echo(terminal.render_diff(changes, colour=console.coloured(), width=console.width()), nl=False)
    raise typer.Exit(DRIFT if changes.verdicts else 0)
