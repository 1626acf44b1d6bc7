"""Compares the results of the same models on x86-64 and on arm64; `arm64_check.py` measures them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.box import SIMPLE_HEAD
from rich.table import Table

from edgeai_repro.devices.spec import Device
from edgeai_repro.errors import UserError
from edgeai_repro.evidence.measurement import Environment, Frozen
from edgeai_repro.judge.rows import DECIDED
from edgeai_repro.report import document
from edgeai_repro.report.console import to_text
from edgeai_repro.report.device_results import add_result

LOGITS = 1e-3  # largest allowed difference of a logit
CLASSES = 2  # largest allowed number of images with another prediction
BYTES = "state_dict bytes"  # may differ between engines: see `compare`
TIMED = ("latency", "speedup")  # metrics without a verdict under emulation


class ModelResult(Frozen):
    """The results of one model with one engine on one machine.

    `figures` are whole numbers that can't depend on the machine. `weights` is the sha256 of the weights in use.
    `logits` are those of the probes, one list per image, and `error` is the largest error of int8 in them.
    `predictions` are the classes of the first test images, empty without data or if the weights are random.
    """

    model: str
    engine: str
    figures: dict[str, int]
    weights: str
    logits: tuple[tuple[float, ...], ...]
    error: float = 0.0
    predictions: tuple[int, ...] = ()


class MachineResults(Frozen):
    """The results of all models on one machine."""

    environment: Environment
    models: tuple[ModelResult, ...]


class Comparison(Frozen):
    """One quantity on both machines. `agrees` is None if it may differ."""

    model: str
    quantity: str
    x86: str
    arm64: str
    agrees: bool | None


def compare(x86: MachineResults, arm64: MachineResults) -> Iterator[Comparison]:
    """Yield all comparisons of the same models on both machines.

    Logits may differ by 1e-3, or by the error of int8: if two kernels' fp32 differ in the last bit, an activation
    between two steps of int8 may be rounded the other way. That was also observed between ONNX Runtime 1.24 and
    1.31 on one x86 machine. With different engines, logits and predictions are shown and may differ (x86 uses 7
    bits of an activation, qnnpack 8), and so may the bytes (by 0.003 %: x86 saves a bias as a Parameter, qnnpack
    as a Tensor).
    """
    for second in arm64.models:
        counterparts = [first for first in x86.models if first.model == second.model]
        if second.engine not in {first.engine for first in counterparts}:
            yield Comparison(
                model=second.model, quantity=second.engine, x86="missing", arm64="present", agrees=False
            )
        for first in counterparts:
            yield from _compare_models(first, second)
    for first in x86.models:
        if first.model not in {second.model for second in arm64.models}:
            yield Comparison(model=first.model, quantity=first.engine, x86="present", arm64="missing", agrees=False)


def _compare_models(x86: ModelResult, arm64: ModelResult) -> Iterator[Comparison]:
    same_engine = x86.engine == arm64.engine
    engines = arm64.engine if same_engine else f"{arm64.engine} against {x86.engine}"

    def comparison(quantity: str, first: object, second: object, agrees: bool | None) -> Comparison:
        return Comparison(
            model=f"{arm64.model}, {engines}", quantity=quantity, x86=str(first), arm64=str(second), agrees=agrees
        )

    for name in dict.fromkeys([*x86.figures, *arm64.figures]):
        first, second = x86.figures.get(name), arm64.figures.get(name)
        may_differ = name == BYTES and not same_engine
        yield comparison(name, first, second, None if may_differ else first is not None and first == second)
    yield comparison("weights, sha256", x86.weights[:12], arm64.weights[:12], x86.weights == arm64.weights)
    differences = logit_differences(x86.logits, arm64.logits)
    allowed = max(LOGITS, x86.error)
    close = f"{np.count_nonzero(differences <= LOGITS)} of {len(differences)}"
    yield comparison(f"images with logits within {LOGITS:g}", "", close, None)
    largest = float(differences.max(initial=0.0))
    agrees = largest <= allowed if same_engine else None
    yield comparison("largest difference of a logit", f"≤ {allowed:.1e}", f"{largest:.1e}", agrees)
    if x86.predictions or arm64.predictions:
        images = len(x86.predictions)
        differing = sum(first != second for first, second in zip(x86.predictions, arm64.predictions, strict=False))
        agrees = images == len(arm64.predictions) and differing <= CLASSES if same_engine else None
        yield comparison(f"predictions that differ, of {images}", "", differing, agrees)


def logit_differences(x86: Sequence[Sequence[float]], arm64: Sequence[Sequence[float]]) -> NDArray[np.float64]:
    """Return each image's largest difference of a logit, (n,).

    It is infinite if the shapes differ or a logit isn't finite.
    """
    first, second = np.array(x86, np.float64), np.array(arm64, np.float64)
    if first.shape != second.shape or not first.size:
        return np.array([np.inf])
    differences = np.abs(first - second).max(1)
    return np.where(np.isfinite(differences), differences, np.inf)


def check_times_are_refused(path: Path, devices: Mapping[str, Device]) -> Iterator[Comparison]:
    """Yield whether a run under emulation gave no verdict on any time, and can't be added as evidence."""

    def comparison(quantity: str, arm64: str, agrees: bool) -> Comparison:
        return Comparison(
            model='pytest -m "claims and edge"', quantity=quantity, x86="", arm64=arm64, agrees=agrees
        )

    results = document.read(path)
    entries = [entry for paper in results.papers for entry in paper.claims if entry.metric in TIMED]
    for entry in entries:
        yield comparison(entry.id, entry.verdict, entry.verdict not in DECIDED and not entry.rows)
    if not entries:
        yield comparison("claims about times", "none", False)
    with tempfile.TemporaryDirectory() as evidence:
        try:
            added = add_result(path, Path(evidence), devices)
            yield comparison("as evidence", f"added as {added.name}", False)
        except UserError as error:
            yield comparison("as evidence", "refused", "an emulated one" in str(error))


def as_text(comparisons: Sequence[Comparison]) -> str:
    """Return a table with one line per comparison."""
    table = Table("model", "quantity", "x86", "arm64", "agrees", box=SIMPLE_HEAD, pad_edge=False)
    for previous, line in zip([None, *comparisons], comparisons, strict=False):
        agrees = {True: "yes", False: "NO", None: "may differ"}[line.agrees]
        model = "" if previous and previous.model == line.model else line.model
        table.add_row(model, line.quantity, line.x86, line.arm64, agrees)
    return "\n".join(text.rstrip() for text in to_text([table], colour=False).strip().splitlines())
