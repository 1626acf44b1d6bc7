"""`edgeai-repro audit`: what each compression technique saves for any model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgeai_repro.cli import echo
from edgeai_repro.errors import Interrupted
from edgeai_repro.networks.variants import IMAGENET_CLASSES


def audit(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="a torchvision or timm name (timm:NAME for timm's), a saved model's folder, an ONNX file, "
            "or FILE.py:FUNCTION, a function that returns an nn.Module, or the module and a tuple of its inputs",
        ),
    ],
    resolution: Annotated[
        int | None, typer.Option(min=1, help="Side of the image in pixels (default: the model's own, else 224).")
    ] = None,
    classes: Annotated[
        int, typer.Option(min=1, help="Number of classes of a torchvision or timm model.")
    ] = IMAGENET_CLASSES,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Threads used for timing (default: one per usable core).")
    ] = None,
    latency: Annotated[
        bool, typer.Option("--latency/--no-latency", help="Measure latency, or only counts and sizes.")
    ] = True,
    counters: Annotated[
        bool, typer.Option("--counters", help="Show what other counters report, and what each of them misses.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Show what each compression technique saves for a model.

    Each figure is given as common counters report it and as it actually is, with the latency of one image on this
    machine and a warning if the counters mislead.

    Example: edgeai-repro audit resnet50 --resolution=160
    """
    from edgeai_repro.audit import table
    from edgeai_repro.report import console

    if Path(model).suffix == ".onnx" and not counters:  # without torch
        from edgeai_repro.audit.onnx_file import audit_file

        result = audit_file(Path(model), latency=latency, threads=threads)
    else:
        from edgeai_repro.audit.audit import audit as run_audit
        from edgeai_repro.audit.audit import techniques_of
        from edgeai_repro.audit.counters import STEPS

        steps = 1 + len(techniques_of()) + latency + (STEPS if counters else 0)
        with console.progress(model, steps) as step:
            result = run_audit(
                model,
                resolution=resolution,
                classes=classes,
                latency=latency,
                threads=threads,
                counters=counters,
                on_progress=lambda _: step(),
            )
    if as_json:
        echo(result.model_dump_json(indent=1))
    else:
        typer.echo(table.render(result, colour=console.coloured(), width=console.width()), nl=False)
    if result.partial:
        raise Interrupted("the rows so far are shown")
