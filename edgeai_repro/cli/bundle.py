"""`edgeai-repro bundle` and `classify`: write a bundle for an edge device, and classify an image with it."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated

import typer


def bundle(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE", help="a model (convnext_small, …), or the folder of a saved model or training run"
        ),
    ],
    out: Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="Folder to write.")],
    dense: Annotated[
        str | None, typer.Option(metavar="SOURCE", help="The unpruned model, if SOURCE is a pruned one.")
    ] = None,
    target: Annotated[
        float | None,
        typer.Option(help="Share of the hidden channels to prune, if SOURCE is unpruned (default: 0.8)."),
    ] = None,
    with_test_split: Annotated[
        bool, typer.Option("--with-test-split", help="Include CIFAR-10's test images (17 MB).")
    ] = False,
) -> None:
    """Export a model as ONNX for an edge device.

    The bundle holds it dense and pruned, each in fp32 and int8, checked against torch.

    Example: edgeai-repro bundle convnext_small --output=small-bundle
    """
    from edgeai_repro.edge import build

    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    written = build.build(
        build.read_source(source),
        out,
        dense=None if dense is None else build.read_source(dense),
        target=build.TARGET if target is None else target,
        test_split=with_test_split,
    )
    for variant, model in written.manifest.models.items():
        megabytes = written.size(variant) / 1e6
        typer.echo(f"{' + '.join(model.files)}: {megabytes:.1f} MB, sha256 {written.sha256(variant)[:12]}…")
    typer.echo(out)


def classify(
    folder: Annotated[Path, typer.Argument(metavar="BUNDLE", help="a folder written by `edgeai-repro bundle`")],
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="a PNG or JPEG file")],
    model: Annotated[str, typer.Option(help="fp32, int8, pruned or pruned-int8.")] = "pruned-int8",
    threads: Annotated[
        int | None, typer.Option(min=1, help="Number of threads (default: one per usable core).")
    ] = None,
) -> None:
    """Classify an image with a model from a bundle (no torch needed).

    Prints classes by descending logit.

    Example: edgeai-repro classify small-bundle frog.png --model=int8
    """
    from edgeai_repro.edge import bundle as bundles
    from edgeai_repro.edge.runtime import Deployed, read_image

    variant = bundles.parse_variant(model)
    pixels = read_image(image)
    loaded = bundles.load(folder, [variant])
    logits = Deployed(loaded, variant, threads=threads).predict(pixels)[0]
    for index in logits.argsort()[::-1]:
        typer.echo(f"class {index}: {logits[index]:.3f}")
    if loaded.model(variant).origin.sha256 is None:
        typer.echo(f"edgeai-repro: {variant} has random weights: these classes mean nothing", err=True)
