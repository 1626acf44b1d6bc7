"""`edgeai-repro crate`: a run as a research object that other tools read. Runs without torch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def crate(
    run: Annotated[Path, typer.Argument(metavar="RUN.json", help="a file written by --claims-json or merge")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="Folder to write.")],
    licence: Annotated[
        str, typer.Option("--license", metavar="URL", help="Licence of the results.")
    ] = "https://spdx.org/licenses/MIT",
) -> None:
    """Write a run as a Process Run Crate: linked data of what judged which claims, with which software.

    Example: edgeai-repro crate verdicts.json -o crate
    """
    from edgeai_repro.report import crate as crates

    crates.write(run, output, licence)
    typer.echo(output)
