"""Audits a model: compresses it with every technique, and counts and times each result."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from edgeai_repro.audit.counters import counted_by_others
from edgeai_repro.audit.latency import Call, time_models
from edgeai_repro.audit.model_source import ResolvedModel, resolve_model
from edgeai_repro.audit.schema import Audit, ReportedAndActual, Row
from edgeai_repro.audit.warnings import find_warnings
from edgeai_repro.claims.registry import TECHNIQUES, UNCOMPRESSED
from edgeai_repro.compress.techniques import Variant, apply, notes_on
from edgeai_repro.errors import UserError, one_line
from edgeai_repro.evidence import environment
from edgeai_repro.evidence.measurement import Settings
from edgeai_repro.measure import counts, size
from edgeai_repro.measure.latency.threads import torch_threads, usable_cores, why_eager_is_not_timed
from edgeai_repro.networks.convnext import clone_sharing_tensors, random_images
from edgeai_repro.networks.variants import IMAGENET_CLASSES, IMAGENET_RESOLUTION

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
    on_progress: Callable[[str], object] | None = None,
) -> Audit:
    """Return the effect of every known technique on a model, and warnings where common counters mislead.

    `model` is a module that takes images of shape (1, 3, resolution, resolution), any text that `resolve_model`
    accepts, or the path of an ONNX file, which is counted but not compressed. The module is not changed.
    `resolution` is in pixels (None: the model's own, else 224); `classes` are those of a model built by name.
    `settings` replaces `SETTINGS` by technique; an empty list leaves a technique out. Without `latency` nothing is
    timed. `threads` is the number of threads per image (None: one per usable core). With `counters` other counters
    count the uncompressed and the quantized model, too, and it is found out what each of them misses.
    `on_progress` is called after each step with its name: a technique, or "latency" once all are timed. All
    compressed models stay in memory until then. A model that can't be compressed, counted or timed has a row with
    the reason. Raises UserError if there is no such model.
    """
    if isinstance(model, str) and Path(model).suffix == ".onnx":
        if counters:
            raise UserError(f"'counters' need a network of torch (got {model}); leave out --counters")
        from edgeai_repro.audit.onnx_file import audit_file

        return audit_file(Path(model), latency=latency, threads=threads)
    if isinstance(model, str):
        source = resolve_model(model, classes=classes)
    else:
        source = ResolvedModel(type(model).__name__, "a module", model, IMAGENET_RESOLUTION)
    side = resolution or source.resolution
    report = on_progress or (lambda _: None)
    with torch_threads(threads or usable_cores()):
        rows: list[Row] = []
        models: list[nn.Module | None] = []
        for row, compressed in _counted(source.model, side, _with_pixels({**SETTINGS, **(settings or {})}, side)):
            rows.append(row)
            models.append(compressed)
            report(row.technique)
        if latency:
            rows = _with_latency(rows, models, random_images(1, side))
            report("latency")
        counted = list(counted_by_others(rows, models, side, report)) if counters else []
        shares = _parameter_shares(source.model)
        return Audit(
            model=source.name,
            source=source.source,
            resolution=side,
            shares=shares,
            rows=rows,
            warnings=find_warnings(rows, shares),
            counters=counted,
            environment=environment.describe(),
        )


def techniques_of(settings: Mapping[str, Sequence[Settings]] = SETTINGS) -> list[str]:
    """Return the techniques that an audit can apply: those that need no settings, and those that have some."""
    return [name for name, technique in TECHNIQUES.items() if name in settings or not technique.settings]


def _with_pixels(settings: Mapping[str, Sequence[Settings]], side: int) -> dict[str, Sequence[Settings]]:
    """Return settings that have the side of the audit's image where a technique takes one and none is given."""
    return {
        name: [{**one, "pixels": one.get("pixels", side)} for one in grid]
        if name in TECHNIQUES and "pixels" in TECHNIQUES[name].optional
        else grid
        for name, grid in settings.items()
    }


def _counted(
    model: nn.Module, resolution: int, settings: Mapping[str, Sequence[Settings]]
) -> Iterator[tuple[Row, nn.Module | None]]:
    """Yield a row for the model and for each technique, with the compressed model (None if that failed)."""
    yield _count(model, resolution, UNCOMPRESSED, {}, time.perf_counter()), model
    cache: dict[Variant, nn.Module] = {}
    for name in techniques_of(settings):
        for setting in settings.get(name, [{}]):
            start = time.perf_counter()
            try:
                compressed = apply(model, name, setting, cache)
            except Exception as error:  # the user's model may raise anything; the other rows are still useful
                yield Row(technique=name, settings=dict(setting), problem=one_line(error)), None
            else:
                yield _count(compressed, resolution, name, setting, start), compressed


def _count(model: nn.Module, resolution: int, technique: str, setting: Settings, start: float) -> Row:
    """Count everything possible. Counting MACs runs the model; if that fails, the rest is still counted."""
    thop_macs = problem = work = None
    try:
        thop_macs, work = counts.reported(model, resolution).macs, counts.actual(model, resolution)
    except Exception as error:  # the user's model may raise anything
        problem = f"MACs can't be counted at {resolution} pixels: {one_line(error)}"
    stored = work or counts.stored(model)
    return Row(
        technique=technique,
        settings=dict(setting),
        notes=dict(notes_on(model, technique)),
        parameters=ReportedAndActual(
            reported=sum(parameter.numel() for parameter in model.parameters()), actual=stored.parameters
        ),
        nonzero_parameters=stored.nonzero_parameters,
        macs=None if work is None else ReportedAndActual(reported=thop_macs, actual=work.macs),
        nonzero_macs=None if work is None else work.nonzero_macs,
        bit_operations=None if work is None else work.bit_operations,
        bytes=size.state_dict_bytes(model),
        deflated_bytes=size.deflated_bytes(model),
        seconds=round(time.perf_counter() - start, 3),
        problem=problem,
    )


def _with_latency(counted: Sequence[Row], models: Sequence[nn.Module | None], image: Tensor) -> list[Row]:
    """Return the rows with the latency of each model that runs, or with the reason why it has none."""
    rows = list(counted)
    if reason := why_eager_is_not_timed(torch.get_num_threads()):
        return [_not_timed(rows[0], reason), *rows[1:]]
    calls: dict[int, Call] = {}
    for index, model in enumerate(models):
        if model is not None:
            try:
                calls[index] = _runner(model, image)
            except Exception as error:  # the user's model may raise anything
                rows[index] = _not_timed(rows[index], one_line(error))
    if 0 not in calls:
        return rows  # without the uncompressed model there is nothing to compare with
    names = {f"{rows[index].technique} {index}": index for index in calls if index}
    try:
        latency, others = time_models(calls[0], {name: calls[index] for name, index in names.items()})
    except Exception as error:  # a clock that jumps, or a model that fails now and then
        return [_not_timed(rows[0], one_line(error)), *rows[1:]]
    rows[0] = rows[0].model_copy(update={"latency": latency})
    for name, index in names.items():
        rows[index] = rows[index].model_copy(update={"latency": others[name]})
    return rows


def _runner(model: nn.Module, image: Tensor) -> Call:
    """Return a callable that runs the model on the image; run it once first."""
    ready = clone_sharing_tensors(model).eval()

    @torch.inference_mode()
    def run() -> object:
        return ready(image)

    run()
    return run


def _not_timed(row: Row, reason: str) -> Row:
    """Return a row with the reason why it has no latency, unless it already has a problem."""
    return row if row.problem else row.model_copy(update={"problem": f"can't be timed: {reason}"})


def _parameter_shares(model: nn.Module) -> dict[str, float]:
    """Return the fraction of the parameters, 0 to 1, in each kind of layer."""
    parameters = {"linear": 0, "pointwise convolution": 0, "other convolution": 0, "other": 0}
    counted: set[int] = set()
    for module in model.modules():
        for parameter in module.parameters(recurse=False):
            if id(parameter) not in counted:
                parameters[_layer_kind(module)] += parameter.numel()
                counted.add(id(parameter))
    total = sum(parameters.values())
    return {kind: count / total if total else 0.0 for kind, count in parameters.items()}


def _layer_kind(module: nn.Module) -> str:
    if type(module) is nn.Linear:
        return "linear"
    if isinstance(module, nn.Conv2d):
        pointwise = set(module.kernel_size) == {1} and module.groups == 1
        return "pointwise convolution" if pointwise else "other convolution"
    return "other"
