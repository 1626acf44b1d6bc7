"""`edgeai-repro reproduce`: a claim as a script in plain torch. Runs without torch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgeai_repro.cli.claims import Folder, find_claim, load
from edgeai_repro.shipped import CLAIMS, VERDICTS, claims_folder


def reproduce(
    name: Annotated[str, typer.Argument(metavar="CLAIM", help="a claim: francy2024/dq-params, or dq-params")],
    folder: Folder = CLAIMS,
    models: Annotated[
        list[str] | None,
        typer.Option("--model", metavar="NAME", help="One of the claim's models; may be repeated (default: all)."),
    ] = None,
    verdicts: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help=f"Verdicts that --claims-json wrote (default: {VERDICTS}, if it exists)."
        ),
    ] = None,
) -> None:
    """Print a script in plain torch that measures a claim.

    Its heading has the claim's last verdict, and why.

    Example: edgeai-repro reproduce dq-params --model=convnext_tiny > dq_params.py
    """
    from edgeai_repro.report import document
    from edgeai_repro.report.script import script

    kept = claims_folder(folder).absolute().parent / VERDICTS
    path = verdicts or (kept if kept.is_file() else None)
    run = None if path is None else document.read(path)
    typer.echo(script(find_claim(load(folder), name), models, run=run), nl=False)
