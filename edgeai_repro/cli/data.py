"""`edgeai-repro data`: download, pack and verify CIFAR-10."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="Download, pack and verify CIFAR-10.")


@app.command()
def get(folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="the folder to download to")]) -> None:
    """Download CIFAR-10 with torchvision (170 MB). Then set EDGEAI_DATA=FOLDER.

    Example: edgeai-repro data get ~/cifar10
    """
    from edgeai_repro.data.packing import download

    typer.echo(download(folder))


@app.command()
def pack(
    source: Annotated[
        Path, typer.Argument(metavar="SOURCE", help="a folder with CIFAR-10 as torchvision stores it")
    ],
    target: Annotated[Path, typer.Argument(metavar="TARGET", help="the folder for the packed form")],
) -> None:
    """Pack CIFAR-10 into six lossless WebP mosaics (101 MB). An edge device needs only the test split (17 MB).

    Example: edgeai-repro data pack ~/cifar10 ~/cifar10-packed
    """
    from edgeai_repro.data.packing import pack as pack_folder

    typer.echo(pack_folder(source, target))


@app.command()
def verify(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="a folder that EDGEAI_DATA may name")],
) -> None:
    """Check the data in a folder: checksums, shapes, classes.

    Example: edgeai-repro data verify "$EDGEAI_DATA"
    """
    from edgeai_repro.data.packing import verify as verify_folder

    for split in verify_folder(folder):
        typer.echo(
            f"{split.dataset} {split.part}: {split.images} images, {split.classes} classes, {split.form}, all right"
        )
