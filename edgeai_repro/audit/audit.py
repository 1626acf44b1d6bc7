"""The audit itself: a model as it is and under every technique, each figure counted twice."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from edgeai_repro.audit import warnings as advice
from edgeai_repro.audit.latency import timed
from edgeai_repro.audit.model_source import Subject, resolve_model
from edgeai_repro.audit.schema import Audit, ReportedAndActual, Row
from edgeai_repro.claims.registry import TECHNIQUES, UNCOMPRESSED
from edgeai_repro.compress import techniques as _registered  # noqa: F401 - for what it registers
from edgeai_repro.errors import one_line
from edgeai_repro.evidence import environment
from edgeai_repro.evidence.measurement import Settings
from edgeai_repro.measure import counts, size
from edgeai_repro.measure.latency.threads import torch_threads, usable_cores, why_eager_is_not_timed
from edgeai_repro.networks.convnext import clone_sharing_tensors, random_images
from edgeai_repro.networks.variants import IMAGENET_CLASSES, IMAGENET_RESOLUTION

# One value of each technique's knob, to show what it does; others are for `settings` to ask for.
SETTINGS: Mapping[str, Sequence[Settings]] = {
    "unstructured_pruning": ({"sparsity": 0.8},),
    "structured_pruning": ({"target": 0.8},),
    "combined": ({"target": 0.8},),
}


def audit(
    model: nn.Module | str,
    *,
    resolution: int | None = None,
    classes: int = IMAGENET_CLASSES,
    settings: Mapping[str, Sequence[Settings]] | None = None,
    latency: bool = True,
    threads: int | None = None,
    each: Callable[[str], object] | None = None,
) -> Audit:
    """Return what every known technique buys for a model, and where the usual counters would mislead.

    `model` is a module that takes images (1, 3, resolution, resolution), or what `subject.find` knows, or the path
    of an ONNX file, which is counted as it is. `resolution` is in pixels (None: the model's own, else 224);
    `classes` are those of a model that is built by its name. `settings` are tried instead of `SETTINGS`, by
    technique: an empty list leaves it out. Without `latency` nothing is timed; `threads` work on an image (None:
    one a usable core), and stand in the environment. `each` is called when a technique is counted, and when all
    are timed, with a name of the step. The model is left as it is; those that are made of it are held until all
    are timed. What can't be compressed, counted or timed has a row that says why. Raises UserError where there is
    no such model.
    """
    if isinstance(model, str) and Path(model).suffix == ".onnx":
        from edgeai_repro.audit.onnx_file import audit_file

        return audit_file(Path(model), latency=latency, threads=threads)
    if isinstance(model, str):
        subject = resolve_model(model, classes=classes)
    else:
        subject = Subject(type(model).__name__, "a module", model, IMAGENET_RESOLUTION)
    side = resolution or subject.resolution
    tell = each or (lambda _: None)
    with torch_threads(threads or usable_cores()):
        made: list[tuple[Row, nn.Module | None]] = []
        for row, compressed in _rows(subject.model, side, {**SETTINGS, **(settings or {})}):
            made.append((row, compressed))
            tell(row.technique)
        rows = [row for row, _ in made]
        if latency:
            rows = _timed(made, random_images(1, side))
            tell("latency")
        shares = _shares(subject.model)
        return Audit(
            model=subject.name,
            source=subject.source,
            resolution=side,
            shares=shares,
            rows=rows,
            warnings=advice.warnings(rows, shares),
            environment=environment.describe(),
        )


def _rows(
    model: nn.Module, resolution: int, settings: Mapping[str, Sequence[Settings]]
) -> Iterator[tuple[Row, nn.Module | None]]:
    """Yield each row with its model, None where there is none."""
    yield _row(model, resolution, UNCOMPRESSED, {}, time.perf_counter()), model
    workshop = CompressionCache(model)
    for name in TECHNIQUES:
        for setting in settings.get(name, [{}]):
            start = time.perf_counter()
            try:
                compressed = workshop.make(name, setting)
            except Exception as error:  # of any kind, as it is anyone's model: its row says why, the others stand
                yield Row(technique=name, settings=dict(setting), problem=one_line(error)), None
            else:
                yield _row(compressed, resolution, name, setting, start), compressed


class CompressionCache:
    """Makes compressed models, each once: a technique may start from another's result."""

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._made: dict[tuple[str, tuple[tuple[str, object], ...]], nn.Module] = {}

    def make(self, name: str, setting: Settings) -> nn.Module:
        """Return the model by a technique under its settings. Raises whatever the technique does."""
        key = name, tuple(sorted(setting.items()))
        if key not in self._made:
            technique = TECHNIQUES[name]
            base = self._model if technique.base == UNCOMPRESSED else self.make(technique.base, setting)
            self._made[key] = next(technique.apply(base, [setting]))
        return self._made[key]


def _row(model: nn.Module, resolution: int, technique: str, setting: Settings, start: float) -> Row:
    """Count all that can be counted; for MACs the model must run, for the rest it need not."""
    thop = problem = work = None
    try:
        thop, work = counts.reported(model, resolution).macs, counts.actual(model, resolution)
    except Exception as error:  # of any kind, as it is anyone's model
        problem = f"MACs can't be counted at {resolution} pixels: {one_line(error)}"
    held = work or counts.stored(model)
    return Row(
        technique=technique,
        settings=dict(setting),
        parameters=ReportedAndActual(
            reported=sum(parameter.numel() for parameter in model.parameters()), actual=held.parameters
        ),
        nonzero_parameters=held.nonzero_parameters,
        macs=None if work is None else ReportedAndActual(reported=thop, actual=work.macs),
        nonzero_macs=None if work is None else work.nonzero_macs,
        bit_operations=None if work is None else work.bit_operations,
        bytes=size.state_dict_bytes(model),
        deflated_bytes=size.deflated_bytes(model),
        seconds=round(time.perf_counter() - start, 3),
        problem=problem,
    )


def _timed(made: Sequence[tuple[Row, nn.Module | None]], image: Tensor) -> list[Row]:
    """Return the rows with the times of all models that run, or with why there are none."""
    rows = [row for row, _ in made]
    if reason := why_eager_is_not_timed(torch.get_num_threads()):
        return [_untimed(rows[0], reason), *rows[1:]]
    calls: dict[int, Callable[[], object]] = {}
    for index, (row, model) in enumerate(made):
        if model is not None:
            try:
                calls[index] = _running(model, image)
            except Exception as error:  # of any kind, as it is anyone's model
                rows[index] = _untimed(row, one_line(error))
    if 0 not in calls:
        return rows  # nothing to compare with
    names = {f"{rows[index].technique} {index}": index for index in calls if index}
    try:
        latency, others = timed(calls[0], {name: calls[index] for name, index in names.items()})
    except Exception as error:  # a clock that jumps, or a model that runs at times
        return [_untimed(rows[0], one_line(error)), *rows[1:]]
    rows[0] = rows[0].model_copy(update={"latency": latency})
    for name, index in names.items():
        rows[index] = rows[index].model_copy(update={"latency": others[name]})
    return rows


def _running(model: nn.Module, image: Tensor) -> Callable[[], object]:
    """Return what has the model answer the image, after it has done so once."""
    ready = clone_sharing_tensors(model).eval()

    @torch.inference_mode()
    def answer() -> object:
        return ready(image)

    answer()
    return answer


def _untimed(row: Row, reason: str) -> Row:
    """Return a row that says why it has no time, unless it has said already why its model doesn't run."""
    return row if row.problem else row.model_copy(update={"problem": f"can't be timed: {reason}"})


def _shares(model: nn.Module) -> dict[str, float]:
    """Return what each kind of layer holds of the parameters, 0 to 1."""
    held = {"linear": 0, "pointwise convolution": 0, "other convolution": 0, "other": 0}
    seen: set[int] = set()
    for module in model.modules():
        for parameter in module.parameters(recurse=False):
            if id(parameter) not in seen:
                held[_kind(module)] += parameter.numel()
                seen.add(id(parameter))
    total = sum(held.values())
    return {kind: count / total if total else 0.0 for kind, count in held.items()}


def _kind(module: nn.Module) -> str:
    if type(module) is nn.Linear:
        return "linear"
    if isinstance(module, nn.Conv2d):
        plain = set(module.kernel_size) == {1} and module.groups == 1
        return "pointwise convolution" if plain else "other convolution"
    return "other"
