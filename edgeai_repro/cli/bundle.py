"""`edgeai-repro bundle` and `classify`: put models on a device, and ask one there."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated

import typer


def bundle(
    source: Annotated[
        str,
        typer.Argument(metavar="SOURCE", help="the folder of a saved model or training run, or convnext_small, …"),
    ],
    out: Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="Folder to make.")],
    dense: Annotated[
        str | None, typer.Option(metavar="SOURCE", help="The unpruned model, where SOURCE is a pruned one.")
    ] = None,
    target: Annotated[
        float | None, typer.Option(help="Share of the hidden channels to prune, where none are (default: 0.8).")
    ] = None,
    with_test_split: Annotated[
        bool, typer.Option("--with-test-split", help="Put CIFAR-10's test images in, 17 MB.")
    ] = False,
) -> None:
    """Export a model as ONNX, dense and pruned, in fp32 and int8, checked against torch, for a device.

    Example: edgeai-repro bundle convnext_small -o small-bundle
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
        size = written.size(variant) / 1e6
        typer.echo(f"{' + '.join(model.files)}: {size:.1f} MB, sha256 {written.sha256(variant)[:12]}…")
    typer.echo(out)


def classify(
    folder: Annotated[Path, typer.Argument(metavar="BUNDLE", help="what `edgeai-repro bundle` wrote")],
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="a PNG or JPEG")],
    model: Annotated[str, typer.Option(help="fp32, int8, pruned or pruned-int8.")] = "pruned-int8",
    threads: Annotated[int | None, typer.Option(min=1, help="Threads (default: one a usable core).")] = None,
) -> None:
    """Ask a model of a bundle what an image shows, without torch: the class and its logit, best first.

    Example: edgeai-repro classify bundle frog.png
    """
    from edgeai_repro.edge import bundle as bundles
    from edgeai_repro.edge.runtime import Deployed, read_image

    variant = bundles.parse_variant(model)
    pixels = read_image(image)
    logits = Deployed(bundles.load(folder, [variant]), variant, threads=threads).predict(pixels)[0]
    for index in logits.argsort()[::-1]:
        typer.echo(f"class {index}: {logits[index]:.3f}")
