"""Compares the results of a few models on x86-64 and on an emulated arm64; called by arm64-emulated.sh.

Each machine writes its results as JSON. Both load the same files of weights, because torch draws other random
weights on another processor.
"""

from __future__ import annotations

import hashlib
import platform
import sys
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray
from rich.box import SIMPLE_HEAD
from rich.table import Table

from edgeai_repro.devices.spec import Device, load_devices
from edgeai_repro.edge import bundle
from edgeai_repro.edge.runtime import Deployed
from edgeai_repro.errors import MissingRequirement, UserError
from edgeai_repro.evidence import environment
from edgeai_repro.evidence.measurement import Environment, Frozen
from edgeai_repro.files import parse_as, read_json, write_text
from edgeai_repro.judge.rows import DECIDED
from edgeai_repro.report import document
from edgeai_repro.report.console import to_text
from edgeai_repro.report.device_results import add_result

if TYPE_CHECKING:
    from torch import nn

LOGITS = 1e-3  # largest allowed difference of a logit
CLASSES = 2  # largest allowed number of images with another prediction
BYTES = "state_dict bytes"  # may differ between engines: see `compare`
TIMED = ("latency", "speedup")  # metrics without a verdict under emulation
ENGINES = {"x86_64": ("x86", "qnnpack"), "aarch64": ("qnnpack",)}  # of torch's eager int8, the default first
BATCH = 100  # images; the same on both machines because dynamic quantization scales activations by the batch
RANDOM = "convnext_tiny"  # the paper's smallest model, with random weights
ROOT = Path(__file__).parents[1]
TRAINED, CLAIMS = ROOT / "evidence" / "models", ROOT / "claims"
BUNDLES, SAVED = "bundles", "saved"
USAGE = 2

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
Folder = Annotated[Path, typer.Argument(help="the folder that `prepare` wrote")]
Images = Annotated[int, typer.Option(min=1, help="Number of test images, if EDGEAI_DATA is set.")]
Output = Annotated[Path, typer.Option("--output", "-o", help="The JSON file to write.")]


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


@app.command()
def prepare(folder: Annotated[Path, typer.Argument(help="a new folder")]) -> None:
    """Write the models that both machines load: bundles, and saved models for torch."""
    from edgeai_repro.compress import saved_models
    from edgeai_repro.compress.quantization import dequantize
    from edgeai_repro.edge import build
    from edgeai_repro.edge.model_source import ModelSource, read_source

    def bundle_of(source: ModelSource, name: str) -> None:
        build.build(source, folder / BUNDLES / name, target=build.TARGET, test_split=False)

    random = read_source(RANDOM)
    saved_models.save(random.network, RANDOM, "none", root=folder / SAVED)
    bundle_of(random, f"{RANDOM}-random")
    (trained,) = TRAINED.iterdir()
    saved = saved_models.read(trained)
    network = dequantize(saved_models.load(trained))
    fp32 = saved_models.save(network, saved.model, "structured_pruning", saved.settings, root=folder / "fp32")
    bundle_of(read_source(str(fp32)), f"{saved.model}-trained")


@app.command()
def edge(folder: Folder, out: Output, images: Images = 1000) -> None:
    """Run the bundles' pruned + int8 models in ONNX Runtime. Torch isn't needed."""
    results = []
    test_images = _test_images(images)
    for path in sorted((folder / BUNDLES).iterdir()):
        deployed = Deployed(bundle.load(path), "pruned-int8", threads=1)
        entry = deployed.bundle.model("pruned-int8")
        results.append(
            ModelResult(
                model=f"{path.name}, pruned + int8",
                engine="onnxruntime",
                figures={"bytes": deployed.bundle.size("pruned-int8")},
                weights=deployed.sha256,
                logits=_rows(deployed.predict(deployed.bundle.probes())),
                error=entry.error,
                predictions=()
                if test_images is None or entry.origin.sha256 is None
                else _classes(deployed.predict(test_images)),
            )
        )
    _write(results, out)


@app.command()
def eager(folder: Folder, out: Output, images: Images = 1000) -> None:
    """Run torch's dynamic quantization with each engine of this architecture."""
    import torch

    from edgeai_repro.compress import saved_models
    from edgeai_repro.compress.quantization import dequantize, quantize

    # torch 2.10 to 2.15 warn once that qnnpack quantizes activations to 8 bits, where the x86 engine uses 7.
    warnings.filterwarnings("ignore", "Currently, qnnpack incorrectly ignores reduce_range", UserWarning)
    test_images = _test_images(images)
    (random,), (trained,) = (folder / SAVED).iterdir(), TRAINED.iterdir()
    dense = saved_models.load(random)
    results = [_result(dense, f"{RANDOM}-random", "fp32")]
    for engine in ENGINES.get(platform.machine(), ()):
        torch.backends.quantized.engine = engine
        results.append(_result(quantize(dense), f"{RANDOM}-random, int8", engine, fp32=dense))
        pruned = saved_models.load(trained)
        name = f"{saved_models.read(trained).model}-trained, pruned + int8"
        results.append(_result(pruned, name, engine, fp32=dequantize(pruned), images=test_images))
    _write(results, out)


@app.command()
def check(
    folder: Annotated[Path, typer.Argument(help="the folder of the JSON files")],
    parts: Annotated[list[str], typer.Argument(help="edge, eager")],
) -> None:
    """Compare arm64 with x86, print the table, and exit with 1 if they don't agree."""
    comparisons: list[Comparison] = []
    for part in parts:
        x86, arm64 = (_read(folder / f"{machine}-{part}.json") for machine in ("x86", "arm64"))
        comparisons += compare(x86, arm64)
        if part == "edge":
            comparisons += check_times_are_refused(folder / "claims.json", load_devices(CLAIMS))
    table = Table("model", "quantity", "x86", "arm64", "agrees", box=SIMPLE_HEAD, pad_edge=False)
    for previous, line in zip([None, *comparisons], comparisons, strict=False):
        agrees = {True: "yes", False: "NO", None: "may differ"}[line.agrees]
        model = "" if previous and previous.model == line.model else line.model
        table.add_row(model, line.quantity, line.x86, line.arm64, agrees)
    typer.echo("\n".join(text.rstrip() for text in to_text([table], colour=False).strip().splitlines()))
    raise typer.Exit(any(line.agrees is False for line in comparisons))


def _result(
    model: nn.Module,
    name: str,
    engine: str,
    *,
    fp32: nn.Module | None = None,
    images: NDArray[np.uint8] | None = None,
) -> ModelResult:
    """Return the counts, bytes and outputs of a torch model; `fp32` is the same model before int8."""
    import torch

    from edgeai_repro.data.transforms import normalise
    from edgeai_repro.measure import counts
    from edgeai_repro.measure.size import state_dict_bytes, stored_tensors

    probes = np.random.default_rng(0).integers(0, 256, (8, 3, 32, 32), dtype=np.uint8)
    digest = hashlib.sha256()
    for tensor in stored_tensors(model):
        stored: Any = tensor.int_repr() if tensor.is_quantized else tensor
        digest.update(stored.detach().contiguous().numpy().tobytes())
    reported, actual = counts.reported(model), counts.actual(model)
    with torch.inference_mode():

        def predict(model: nn.Module, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
            return np.concatenate(
                [model(normalise(batch)).numpy() for batch in torch.split(torch.from_numpy(pixels), BATCH)]
            )

        logits = predict(model, probes)
        return ModelResult(
            model=name,
            engine=engine,
            figures={
                "parameters, reported": reported.parameters,
                "parameters, actual": actual.parameters,
                "MACs, reported": reported.macs,
                "MACs, actual": actual.macs,
                "bit operations": actual.bit_operations,
                BYTES: state_dict_bytes(model),
            },
            weights=digest.hexdigest(),
            logits=_rows(logits),
            error=0.0 if fp32 is None else float(np.abs(logits - predict(fp32, probes)).max()),
            predictions=() if images is None else _classes(predict(model, images)),
        )


def _test_images(count: int) -> NDArray[np.uint8] | None:
    from edgeai_repro.data import cifar

    try:
        return cifar.load_arrays(cifar.data_folder(), "test")[0][:count]
    except MissingRequirement as missing:
        typer.echo(f"predictions aren't compared: {missing}", err=True)
        return None


def _rows(logits: NDArray[np.float32]) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(map(float, row)) for row in logits)


def _classes(logits: NDArray[np.float32]) -> tuple[int, ...]:
    return tuple(map(int, logits.argmax(1)))


def _write(models: Sequence[ModelResult], out: Path) -> None:
    results = MachineResults(environment=environment.describe(), models=tuple(models))
    write_text(out, results.model_dump_json(indent=1) + "\n")


def _read(path: Path) -> MachineResults:
    return parse_as(MachineResults, read_json(path), path)


if __name__ == "__main__":
    try:
        app()
    except UserError as error:
        print(f"arm64-check: {error}", file=sys.stderr)
        sys.exit(USAGE)
