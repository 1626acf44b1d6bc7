"""`edgeai-repro audit`: what each technique really buys for anyone's model."""

from __future__ import annotations

from typing import Annotated

import typer

from edgeai_repro.networks.variants import IMAGENET_CLASSES


def audit(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="a name of torchvision's or timm's (timm:NAME takes timm's), the folder of a saved model, an ONNX file, "
            "or module.py:function that returns an nn.Module",
        ),
    ],
    resolution: Annotated[
        int | None, typer.Option(min=1, help="Side of the image in pixels (default: the model's own, else 224).")
    ] = None,
    classes: Annotated[int, typer.Option(min=1, help="Classes of a model that is named.")] = IMAGENET_CLASSES,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Threads that work on an image (default: one a usable core).")
    ] = None,
    latency: Annotated[bool, typer.Option("--latency/--no-latency", help="Time one image, or only count.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Show what each compression technique really buys for a model, and where the usual counters mislead.

    Each figure is given as it is reported and as it is, with the time that an image takes here.
    Example: edgeai-repro audit resnet50
    """
    from tqdm import tqdm

    from edgeai_repro.audit import table as audit_table
    from edgeai_repro.audit.audit import audit as run
    from edgeai_repro.claims.registry import TECHNIQUES
    from edgeai_repro.report import console

    steps = 1 + len(TECHNIQUES) + latency
    with tqdm(total=steps, desc=model, leave=False, disable=None) as bar:  # None: not in a pipe
        found = run(
            model,
            resolution=resolution,
            classes=classes,
            latency=latency,
            threads=threads,
            each=lambda _: bar.update(),
        )
    if as_json:
        typer.echo(found.model_dump_json(indent=1))
    else:
        typer.echo(audit_table.render(found, colour=console.coloured(), width=console.width()), nl=False)
