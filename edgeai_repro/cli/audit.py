"""`edgeai-repro audit`: what each compression technique saves for any model."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgeai_repro.cli import echo
from edgeai_repro.cli.claims import Folder
from edgeai_repro.errors import Interrupted, UserError, require_known
from edgeai_repro.networks.variants import IMAGENET_CLASSES
from edgeai_repro.shipped import CLAIMS, claims_folder

if TYPE_CHECKING:
    from edgeai_repro.devices.spec import Device


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
    onnxruntime: Annotated[
        bool, typer.Option("--onnxruntime", help="Show the model in ONNX Runtime, too: fp32, int8 and static int8.")
    ] = False,
    calibrate: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Images to calibrate static int8 on (default: random images)."),
    ] = None,
    device: Annotated[
        str | None, typer.Option(metavar="NAME", help="Rank the variants for this device of claims/devices.yaml.")
    ] = None,
    target_ms: Annotated[
        float | None, typer.Option("--target-ms", metavar="MS", help="Milliseconds per image that are wanted.")
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write a page with the Pareto plot (.html), or the plot alone (.svg)."),
    ] = None,
    claims: Folder = CLAIMS,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Show what each compression technique saves for a model.

    Each figure is given as common counters report it and as it actually is, with the latency of one image on this
    machine and a warning if the counters mislead.

    Below, the variants are ranked, and one is advised, for this machine or for a device.

    Example: edgeai-repro audit resnet50 --resolution=160 --device=raspberry-pi-5 --target-ms=20
    """
    from edgeai_repro.audit import page, table
    from edgeai_repro.report import console

    if report is not None:
        page.check(report)
    if target_ms is not None and not 0 < target_ms < math.inf:
        raise UserError(f"'--target-ms' must be more than 0 (got {target_ms}); give milliseconds per image")
    if target_ms is not None and not latency and device is None:
        raise UserError("'--target-ms' must be given without --no-latency, or with --device; leave one of them out")
    ranked_for = None if device is None else _device(device, claims_folder(claims))
    if Path(model).suffix == ".onnx" and not counters:  # without torch
        from edgeai_repro.audit.onnx_file import audit_file
        from edgeai_repro.audit.ranking import with_ranking

        result = with_ranking(audit_file(Path(model), latency=latency, threads=threads), ranked_for, target_ms)
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
                onnxruntime=onnxruntime or calibrate is not None,
                calibrate=calibrate,
                device=ranked_for,
                target_ms=target_ms,
                on_progress=lambda _: step(),
            )
    if report is not None:
        page.write(result, report)
    if as_json:
        echo(result.model_dump_json(indent=1))
    else:
        typer.echo(table.render(result, colour=console.coloured(), width=console.width()), nl=False)
    if result.partial:
        raise Interrupted("the rows so far are shown")


def _device(name: str, folder: Path) -> Device:
    """Return a device of a claims folder. Raises UserError for another name, with the closest one."""
    from edgeai_repro.devices.spec import FILE, load_devices

    devices = load_devices(folder)
    require_known("'--device'", name, devices, f" (in {folder / FILE})")
    return devices[name]
