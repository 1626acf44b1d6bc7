"""The audit itself: a model as it is and under every technique, each figure counted twice."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from torch import nn

from edgeai_repro import environment
from edgeai_repro import techniques as _registered  # noqa: F401 - for what it registers
from edgeai_repro.architecture import IMAGENET_CLASSES, IMAGENET_RESOLUTION
from edgeai_repro.audit import advice
from edgeai_repro.audit.record import Audit, Row, Twice
from edgeai_repro.audit.subject import Subject, brief, find
from edgeai_repro.measure import counts, size
from edgeai_repro.registry import TECHNIQUES, UNCOMPRESSED, Settings

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
    each: Callable[[Row], object] | None = None,
) -> Audit:
    """Return what every known technique buys for a model, and where the usual counters would mislead.

    `model` is a module that takes images (1, 3, resolution, resolution), or what `subject.find` knows, or the path
    of an ONNX file, which is counted as it is. `resolution` is in pixels (None: the model's own, else 224);
    `classes` are those of a model that is built by its name. `settings` are tried instead of `SETTINGS`, by
    technique: an empty list leaves it out. `each` is called with every row when it is done. The model is left as
    it is. What can't be compressed or counted has a row that says why. Raises UserError where there is no such
    model.
    """
    if isinstance(model, str) and Path(model).suffix == ".onnx":
        from edgeai_repro.audit.onnx_file import audit_file

        return audit_file(Path(model))
    if isinstance(model, str):
        subject = find(model, classes=classes)
    else:
        subject = Subject(type(model).__name__, "a module", model, IMAGENET_RESOLUTION)
    side = resolution or subject.resolution
    rows = []
    for row in _rows(subject.model, side, {**SETTINGS, **(settings or {})}):
        rows.append(row)
        if each is not None:
            each(row)
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


def _rows(model: nn.Module, resolution: int, settings: Mapping[str, Sequence[Settings]]) -> Iterator[Row]:
    yield _row(model, resolution, UNCOMPRESSED, {}, time.perf_counter())
    for name in TECHNIQUES:
        for setting in settings.get(name, [{}]):
            start = time.perf_counter()
            try:
                compressed = _compressed(model, name, setting)
            except Exception as error:  # of any kind, as it is anyone's model: its row says why, the others stand
                yield Row(technique=name, settings=dict(setting), problem=brief(error))
            else:
                yield _row(compressed, resolution, name, setting, start)


def _compressed(model: nn.Module, name: str, setting: Settings) -> nn.Module:
    technique = TECHNIQUES[name]
    base = model if technique.base == UNCOMPRESSED else _compressed(model, technique.base, setting)
    return next(technique.apply(base, [setting]))


def _row(model: nn.Module, resolution: int, technique: str, setting: Settings, start: float) -> Row:
    """Count all that can be counted; for MACs the model must run, for the rest it need not."""
    stored = counts.stored(model)
    problem = thop = logical = None
    try:
        thop, logical = counts.reported(model, resolution).macs, counts.logical(model, resolution)
    except Exception as error:  # of any kind, as it is anyone's model
        problem = f"MACs can't be counted at {resolution} pixels: {brief(error)}"
    return Row(
        technique=technique,
        settings=dict(setting),
        parameters=Twice(
            reported=sum(parameter.numel() for parameter in model.parameters()), logical=stored.parameters
        ),
        nonzero_parameters=stored.nonzero_parameters,
        macs=None if logical is None else Twice(reported=thop, logical=logical.macs),
        nonzero_macs=None if logical is None else logical.nonzero_macs,
        bit_operations=None if logical is None else logical.bit_operations,
        bytes=size.state_dict_bytes(model),
        deflated_bytes=size.deflated_bytes(model),
        seconds=round(time.perf_counter() - start, 3),
        problem=problem,
    )


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
