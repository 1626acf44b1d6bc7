"""`edgeai-repro reproduce`: a claim as a script in plain torch. Runs without torch."""

from __future__ import annotations

from typing import Annotated

import typer

from edgeai_repro.cli.claims import CLAIMS, Folder, find_claim, load


def reproduce(
    name: Annotated[str, typer.Argument(metavar="CLAIM", help="a claim: francy2024/dq-params, or dq-params")],
    folder: Folder = CLAIMS,
    models: Annotated[
        list[str] | None,
        typer.Option("--model", metavar="NAME", help="One of the claim's models; may be repeated (default: all)."),
    ] = None,
) -> None:
    """Print a script in plain torch that measures a claim.

    Its comments explain the verdict.

    Example: edgeai-repro reproduce dq-params --model=convnext_tiny > dq_params.py
    """
    from edgeai_repro.report.script import script

    typer.echo(script(find_claim(load(folder), name), models), nl=False)
