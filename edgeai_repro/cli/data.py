"""`edgeai-repro data`: fetch, pack and verify CIFAR-10."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="Fetch, pack and verify CIFAR-10.")


@app.command()
def get(folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="where CIFAR-10 goes")]) -> None:
    """Download CIFAR-10 by torchvision (170 MB). Then: export EDGEAI_DATA=FOLDER

    Example: edgeai-repro data get ~/cifar10
    """
    from edgeai_repro.data.packing import download

    typer.echo(download(folder))


@app.command()
def pack(
    source: Annotated[Path, typer.Argument(metavar="SOURCE", help="a folder with torchvision's form")],
    target: Annotated[Path, typer.Argument(metavar="TARGET", help="where the packed form goes")],
) -> None:
    """Pack CIFAR-10 into six lossless WebP mosaics, 101 MB; an edge device needs the test split alone, 17 MB.

    Example: edgeai-repro data pack ~/cifar10 ~/cifar10-packed
    """
    from edgeai_repro.data.packing import pack as pack_folder

    typer.echo(pack_folder(source, target))


@app.command()
def verify(folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="what EDGEAI_DATA would name")]) -> None:
    """Check sums, shapes and class counts of the data in a folder.

    Example: edgeai-repro data verify "$EDGEAI_DATA"
    """
    from edgeai_repro.data.packing import verify as verify_folder

    for found in verify_folder(folder):
        typer.echo(
            f"{found.dataset} {found.part}: {found.images} images, {found.classes} classes, {found.form}, all right"
        )
