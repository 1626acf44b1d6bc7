"""`edgeai-repro merge`: one document from the runs of several machines. Runs without torch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgeai_repro.cli import MISSING
from edgeai_repro.errors import SHOWN, UserError


def merge(
    runs: Annotated[list[Path], typer.Argument(metavar="A.json B.json …", help="files written by --claims-json")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="ALL.json", help="File to write.")],
) -> None:
    """Merge the results of several machines, such as those of all shards, into one file.

    It refuses runs with other versions or other claims, and a claim that two of them judged. The exit status is 3
    if a shard is missing; the file then has the others.

    Example: edgeai-repro merge shard-1.json shard-2.json -o verdicts.json
    """
    from edgeai_repro.report import document, merging

    if output.resolve() in {path.resolve() for path in runs}:
        raise UserError(f"--output must be another file than those to merge (got {output}); choose another name")
    merged = merging.merge([(path, document.read(path)) for path in runs])
    document.write(merged, output)
    typer.echo(output)
    if missing := merging.missing_shards(merged):
        named = ", ".join(missing[:SHOWN]) + (f" and {len(missing) - SHOWN} more" if len(missing) > SHOWN else "")
        typer.echo(f"edgeai-repro: shards are missing (got all but {named}); merge them, too", err=True)
        raise typer.Exit(MISSING)
