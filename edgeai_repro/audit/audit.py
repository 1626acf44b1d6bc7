"""Audits a model: compresses it with every technique, and counts and times each result.

An ONNX file needs no torch, so torch is imported only for networks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeai_repro.audit.answers import answer_all
from edgeai_repro.audit.ranking import with_ranking
from edgeai_repro.audit.schema import Audit, Row
from edgeai_repro.audit.warnings import find_warnings
from edgeai_repro.claims.registry import TECHNIQUES
from edgeai_repro.devices.spec import Device
from edgeai_repro.errors import Interrupted, UserError
from edgeai_repro.evidence import environment
from edgeai_repro.evidence.measurement import Settings
from edgeai_repro.networks.variants import IMAGENET_CLASSES, IMAGENET_RESOLUTION

if TYPE_CHECKING:
    from torch import nn

    from edgeai_repro.audit.model_source import ResolvedModel

# One setting per technique, to show its effect. Callers of `audit` can pass others. The densities and bits of
# `codebook` are those of AlexNet's and VGG-16's large layers (Han et al. 2016, Tables 4 and 5).
SETTINGS: Mapping[str, Sequence[Settings]] = {
    "unstructured_pruning": ({"sparsity": 0.8},),
    "structured_pruning": ({"target": 0.8},),
    "combined": ({"target": 0.8},),
    "filter_pruning": ({"rate": 0.5, "ranking": "l1"},),
    "static_quantization": ({"random_images": 8},),
    "codebook": ({"density": 0.1, "conv_bits": 8, "linear_bits": 5, "index_bits": 4},),
}


def audit(
    model: nn.Module | str,
    *,
    resolution: int | None = None,
    classes: int = IMAGENET_CLASSES,
    settings: Mapping[str, Sequence[Settings]] | None = None,
    latency: bool = True,
    threads: int | None = None,
    counters: bool = False,
    onnxruntime: bool = False,
    calibrate: Path | None = None,
    device: Device | None = None,
    target_ms: float | None = None,
    on_progress: Callable[[str], object] | None = None,
) -> Audit:
    """Return the effect of every known technique on a model, and warnings where common counters mislead.

    `model` is a module that takes images of shape (1, 3, resolution, resolution), any text that `resolve_model`
    accepts (a file can have other inputs), or the path of an ONNX file, which is counted but not compressed. The
    module is not changed.
    `resolution` is in pixels (None: the model's own, else 224); `classes` are those of a model built by name.
    `settings` replaces `SETTINGS` by technique; an empty list leaves a technique out. Without `latency` nothing is
    timed. `threads` is the number of threads per image (None: one per usable core). With `counters` other counters
    count the uncompressed and the quantized model, too, and it is found out what each of them misses.
    With `onnxruntime` there are rows for the network in ONNX Runtime, dense and pruned: fp32, int8, and static int8
    from the ranges on the images in the folder `calibrate` (None: random images).
    `device` and `target_ms` are those that the variants are ranked for, in milliseconds per image (None: this
    machine, and no target).
    `on_progress` is called after each step with its name: a technique, or "latency" once all are timed. All
    compressed models stay in memory until then. A model that can't be compressed, counted or timed has a row with
    the reason. Raises UserError if there is no such model. After an interruption the rows so far are returned.
    """
    if isinstance(model, str) and Path(model).suffix == ".onnx":
        if counters:
            raise UserError(f"'counters' need a network of torch (got {model}); leave out --counters")
        from edgeai_repro.audit.onnx_file import audit_file

        audited = audit_file(Path(model), latency=latency, threads=threads)
        return with_ranking(audited, device, target_ms)
    from edgeai_repro.audit.counters import counted_by_others
    from edgeai_repro.audit.model_source import ResolvedModel, resolve_model
    from edgeai_repro.audit.operators import measure_seconds_per_operator
    from edgeai_repro.audit.rows import counted_rows, with_latency
    from edgeai_repro.measure.latency.threads import torch_threads, usable_cores

    if isinstance(model, str):
        source = resolve_model(model, classes=classes)
    else:
        source = ResolvedModel(type(model).__name__, "a module", model, IMAGENET_RESOLUTION)
    side = resolution or source.resolution
    inputs = source.inputs or _image(source.model, side)
    report = on_progress or (lambda _: None)
    grid = _with_pixels({**SETTINGS, **(settings or {})}, side)
    with torch_threads(threads or usable_cores()):
        rows: list[Row] = []
        models: list[nn.Module | None] = []
        try:
            for row, compressed in counted_rows(source.model, inputs, grid, techniques_of(grid)):
                rows.append(row)
                models.append(compressed)
                report(row.technique)
            if onnxruntime:
                from edgeai_repro.audit.deployed_rows import deployed_rows

                by_technique = dict(zip((row.technique for row in rows), models, strict=True))
                pruned = by_technique.get("structured_pruning")
                for row, deployed in deployed_rows(
                    source.name,
                    source.model,
                    pruned,
                    inputs,
                    calibrate=calibrate,
                    threads=threads or usable_cores(),
                ):
                    rows.append(row)
                    models.append(deployed)
            if latency:
                rows = with_latency(rows, models, inputs)
                rows = [_with_fixed_cost(rows[0], measure_seconds_per_operator()), *rows[1:]]
                report("latency")
        except Interrupted:
            if not rows:
                raise
            return _assess(source, side, rows).model_copy(update={"partial": True})
        audited = _assess(source, side, rows)
        if counters:
            counted = list(counted_by_others(rows, models, inputs, report))
            audited = audited.model_copy(update={"counters": counted})
        return with_ranking(audited, device, target_ms)


def _assess(source: ResolvedModel, side: int, rows: Sequence[Row]) -> Audit:
    """Return the audit of a model from its rows: what they and its weights mean, and this machine."""
    import torch

    from edgeai_repro.audit.facts import describe_conventions, describe_weights, parameter_shares
    from edgeai_repro.audit.subclasses import find_skipped

    shares, weights = parameter_shares(source.model), describe_weights(source.model)
    quantized = next((row.bytes for row in rows if row.technique == "dynamic_quantization"), None)
    skipped = find_skipped(source.model, quantized)
    conventions, instructions = describe_conventions(source.model), environment.int8_instructions()
    return Audit(
        model=source.name,
        source=source.source,
        resolution=side,
        own_inputs=source.inputs is not None,
        shares=shares,
        rows=list(rows),
        warnings=find_warnings(rows, shares, weights, skipped),
        answers=answer_all(rows, weights, conventions, instructions, torch.get_num_threads()),
        weights=weights,
        conventions=conventions,
        int8_instructions=instructions,
        skipped=skipped,
        environment=environment.describe(),
    )


def _image(model: nn.Module, side: int) -> tuple[Any, ...]:
    """Return the image to audit a model with, with as many channels as its first convolution takes."""
    from torch import nn

    from edgeai_repro.measure.counting.run import example_inputs

    (image,) = example_inputs(model, side)
    first = next((layer for layer in model.modules() if isinstance(layer, nn.Conv2d)), None)
    if first is not None and first.in_channels != image.shape[1]:
        image = image[:, :1].repeat(1, first.in_channels, 1, 1)
    return (image,)


def _with_fixed_cost(row: Row, seconds: float) -> Row:
    if row.operators is None:
        return row
    return row.model_copy(update={"operators": row.operators.model_copy(update={"seconds_each": seconds})})


def techniques_of(settings: Mapping[str, Sequence[Settings]] = SETTINGS) -> list[str]:
    """Return the techniques that an audit can apply: installed ones that need no settings, or that have some."""
    return [
        name
        for name, technique in TECHNIQUES.items()
        if technique.installed and (name in settings or not technique.settings)
    ]


def _with_pixels(settings: Mapping[str, Sequence[Settings]], side: int) -> dict[str, Sequence[Settings]]:
    """Return settings that have the side of the audit's image where a technique takes one and none is given."""
    return {
        name: [{**one, "pixels": one.get("pixels", side)} for one in grid]
        if name in TECHNIQUES and "pixels" in TECHNIQUES[name].optional
        else grid
        for name, grid in settings.items()
    }
