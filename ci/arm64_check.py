"""What a machine finds of a few models, as JSON, and whether two machines find the same; see arm64-emulated.sh.

The weights come from one machine as files, for random ones differ: torch draws them otherwise on another processor.
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

LOGITS = 1e-3  # by how much one may differ
CLASSES = 2  # of so many images the answers may differ
BYTES = "state_dict bytes"  # with another engine some may differ: see `compare`
TIMED = ("latency", "speedup")  # the metrics that no verdict may rest on
ENGINES = {"x86_64": ("x86", "qnnpack"), "aarch64": ("qnnpack",)}  # of torch's eager int8, the usual one first
BATCH = 100  # images: dynamic quantization scales an activation by its batch, so both machines take the same
REAL = "convnext_tiny"  # as large as the paper's smallest, with random weights
ROOT = Path(__file__).parents[1]
TRAINED, CLAIMS = ROOT / "evidence" / "models", ROOT / "claims"
BUNDLES, MODELS = "bundles", "models"
USAGE = 2

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
Folder = Annotated[Path, typer.Argument(help="what `prepare` wrote")]
Images = Annotated[int, typer.Option(min=1, help="How many test images, where EDGEAI_DATA is set.")]
Output = Annotated[Path, typer.Option("--output", "-o", help="The JSON to write.")]


class Found(Frozen):
    """What a machine finds of a model with an engine.

    `figures` are whole numbers that can't depend on the machine, `weights` is the sha256 of what it computes with;
    `logits` are those of the probes, one list an image, and `error` is by how much int8 moves one of them at most;
    `classes` are the answers to the first test images, empty where these aren't here or the weights are random.
    """

    model: str
    engine: str
    figures: dict[str, int]
    weights: str
    logits: tuple[tuple[float, ...], ...]
    error: float = 0.0
    classes: tuple[int, ...] = ()


class Findings(Frozen):
    """All that one machine finds."""

    environment: Environment
    found: tuple[Found, ...]


class Line(Frozen):
    """One comparison: what two machines say; `agrees` is None where they needn't say the same."""

    model: str
    what: str
    here: str
    there: str
    agrees: bool | None


def compare(here: Findings, there: Findings) -> Iterator[Line]:
    """Yield every comparison of what `there` finds with what `here` finds of the same model.

    Logits may differ by 1e-3, in int8 by the error that int8 itself makes: where two kernels' fp32 differ in the
    last bit, an activation between two steps of int8 goes the other way, in ONNX Runtime 1.24 against 1.31 on one
    x86 machine as well. With another engine, logits and answers are told and may differ (x86 takes 7 bits of an
    activation, qnnpack 8), and so may the bytes (0.003 %: x86 saves a bias as a Parameter, qnnpack as a Tensor).
    """
    for theirs in there.found:
        counterparts = [ours for ours in here.found if ours.model == theirs.model]
        if theirs.engine not in {ours.engine for ours in counterparts}:
            yield Line(model=theirs.model, what=theirs.engine, here="not found", there="found", agrees=False)
        for ours in counterparts:
            yield from _held(ours, theirs)
    for ours in here.found:
        if ours.model not in {theirs.model for theirs in there.found}:
            yield Line(model=ours.model, what=ours.engine, here="found", there="not found", agrees=False)


def _held(ours: Found, theirs: Found) -> Iterator[Line]:
    same = ours.engine == theirs.engine
    engine = theirs.engine if same else f"{theirs.engine} against {ours.engine}"

    def line(what: str, here: object, there: object, agrees: bool | None) -> Line:
        return Line(model=f"{theirs.model}, {engine}", what=what, here=str(here), there=str(there), agrees=agrees)

    for name in dict.fromkeys([*ours.figures, *theirs.figures]):
        here, there = ours.figures.get(name), theirs.figures.get(name)
        yield line(name, here, there, None if name == BYTES and not same else here is not None and here == there)
    yield line("weights, sha256", ours.weights[:12], theirs.weights[:12], ours.weights == theirs.weights)
    off = differences(ours.logits, theirs.logits)
    allowed = max(LOGITS, ours.error)
    near = f"{np.count_nonzero(off <= LOGITS)} of {len(off)}"
    yield line(f"images with logits within {LOGITS:g}", "", near, None)
    worst = float(off.max(initial=0.0))
    yield line(
        "largest difference of a logit", f"≤ {allowed:.1e}", f"{worst:.1e}", worst <= allowed if same else None
    )
    if ours.classes or theirs.classes:
        n, images = _differing(ours.classes, theirs.classes), len(ours.classes)
        whole = images == len(theirs.classes)
        yield line(f"answers that differ, of {images}", "", n, whole and n <= CLASSES if same else None)


def differences(ours: Sequence[Sequence[float]], theirs: Sequence[Sequence[float]]) -> NDArray[np.float64]:
    """Return each image's largest difference of a logit, (n,): infinite where shapes differ or one isn't finite."""
    first, second = np.array(ours, np.float64), np.array(theirs, np.float64)
    if first.shape != second.shape or not first.size:
        return np.array([np.inf])
    off = np.abs(first - second).max(1)
    return np.where(np.isfinite(off), off, np.inf)


def _differing(ours: Sequence[int], theirs: Sequence[int]) -> int:
    return sum(one != other for one, other in zip(ours, theirs, strict=False))


def untimed(path: Path, devices: Mapping[str, Device]) -> Iterator[Line]:
    """Yield whether a run of the claims gave no verdict on any time, and is refused as a device's evidence."""

    def line(what: str, there: str, agrees: bool) -> Line:
        return Line(model='pytest -m "claims and edge"', what=what, here="", there=there, agrees=agrees)

    found = document.read(path)
    entries = [entry for paper in found.papers for entry in paper.claims if entry.metric in TIMED]
    for entry in entries:
        yield line(entry.id, entry.verdict, entry.verdict not in DECIDED and not entry.rows)
    if not entries:
        yield line("claims about times", "none", False)
    with tempfile.TemporaryDirectory() as evidence:
        try:
            kept = add_result(path, Path(evidence), devices)
            yield line("as evidence", f"kept as {kept.name}", False)
        except UserError as error:
            yield line("as evidence", "refused", "an emulated one" in str(error))


@app.command()
def prepare(folder: Annotated[Path, typer.Argument(help="a new folder")]) -> None:
    """Write the models that both machines take: bundles, and what torch loads."""
    from edgeai_repro.compress import saved_models
    from edgeai_repro.compress.quantization import dequantize
    from edgeai_repro.edge import build

    real = build.read_source(REAL)
    saved_models.save(real.network, REAL, "none", root=folder / MODELS)
    build.build(real, folder / BUNDLES / f"{REAL}-random", target=build.TARGET, test_split=False)
    (trained,) = TRAINED.iterdir()
    described = saved_models.read(trained)
    network = dequantize(saved_models.load(trained))
    fp32 = saved_models.save(
        network, described.model, "structured_pruning", described.settings, root=folder / "fp32"
    )
    build.build(
        build.read_source(str(fp32)),
        folder / BUNDLES / f"{described.model}-trained",
        target=build.TARGET,
        test_split=False,
    )


@app.command()
def edge(folder: Folder, out: Output, images: Images = 1000) -> None:
    """Run what is deployed, pruned + int8, in ONNX Runtime: needs no torch."""
    found = []
    taken = _test_images(images)
    for path in sorted((folder / BUNDLES).iterdir()):
        deployed = Deployed(bundle.load(path), "pruned-int8", threads=1)
        asked = taken if deployed.bundle.model("pruned-int8").origin.sha256 else None
        found.append(
            Found(
                model=f"{path.name}, pruned + int8",
                engine="onnxruntime",
                figures={"bytes": deployed.bundle.size("pruned-int8")},
                weights=deployed.sha256,
                logits=_rows(deployed.predict(deployed.bundle.probes())),
                error=deployed.bundle.model("pruned-int8").error,
                classes=() if asked is None else _answers(deployed.predict(asked)),
            )
        )
    _write(found, out)


@app.command()
def eager(folder: Folder, out: Output, images: Images = 1000) -> None:
    """Run torch's dynamic quantization, with each engine of this architecture."""
    import torch

    from edgeai_repro.compress import saved_models
    from edgeai_repro.compress.quantization import dequantize, quantize

    # torch 2.10 to 2.15 say so once of qnnpack, which quantizes activations to 8 bits where x86's engine takes 7.
    warnings.filterwarnings("ignore", "Currently, qnnpack incorrectly ignores reduce_range", UserWarning)
    taken = _test_images(images)
    (real,), (trained,) = (folder / MODELS).iterdir(), TRAINED.iterdir()
    dense = saved_models.load(real)
    found = [_profile(dense, f"{REAL}-random", "fp32")]
    for engine in ENGINES.get(platform.machine(), ()):
        torch.backends.quantized.engine = engine
        found.append(_profile(quantize(dense), f"{REAL}-random, int8", engine, plain=dense))
        kept = saved_models.load(trained)
        name = f"{saved_models.read(trained).model}-trained, pruned + int8"
        found.append(_profile(kept, name, engine, plain=dequantize(kept), images=taken))
    _write(found, out)


@app.command()
def check(
    folder: Annotated[Path, typer.Argument(help="where the JSONs are")],
    parts: Annotated[list[str], typer.Argument(help="edge, eager")],
) -> None:
    """Hold arm64 against x86, print the table, and exit with 1 where they don't agree."""
    lines: list[Line] = []
    for part in parts:
        here, there = (_read(folder / f"{machine}-{part}.json") for machine in ("x86", "arm64"))
        lines += compare(here, there)
        if part == "edge":
            lines += untimed(folder / "claims.json", load_devices(CLAIMS))
    table = Table("model", "what", "x86", "arm64", "agrees", box=SIMPLE_HEAD, pad_edge=False)
    for above, line in zip([None, *lines], lines, strict=False):
        said = {True: "yes", False: "NO", None: "told"}[line.agrees]
        model = "" if above and above.model == line.model else line.model
        table.add_row(model, line.what, line.here, line.there, said)
    typer.echo("\n".join(text.rstrip() for text in to_text([table], colour=False).strip().splitlines()))
    raise typer.Exit(any(line.agrees is False for line in lines))


def _profile(
    model: nn.Module,
    name: str,
    engine: str,
    *,
    plain: nn.Module | None = None,
    images: NDArray[np.uint8] | None = None,
) -> Found:
    """Count, weigh and run a torch model, on generated and on test images; `plain` is the same one in fp32."""
    import torch

    from edgeai_repro.data.transforms import normalise
    from edgeai_repro.measure import counts
    from edgeai_repro.measure.size import state_dict_bytes, stored_tensors

    random = np.random.default_rng(0).integers(0, 256, (8, 3, 32, 32), dtype=np.uint8)
    digest = hashlib.sha256()
    for tensor in stored_tensors(model):
        stored: Any = tensor.int_repr() if tensor.is_quantized else tensor
        digest.update(stored.detach().contiguous().numpy().tobytes())
    reported, actual = counts.reported(model), counts.actual(model)
    with torch.inference_mode():

        def predict(model: nn.Module, given: NDArray[np.uint8]) -> NDArray[np.float32]:
            return np.concatenate(
                [model(normalise(batch)).numpy() for batch in torch.split(torch.from_numpy(given), BATCH)]
            )

        logits = predict(model, random)
        return Found(
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
            error=0.0 if plain is None else float(np.abs(logits - predict(plain, random)).max()),
            classes=() if images is None else _answers(predict(model, images)),
        )


def _test_images(count: int) -> NDArray[np.uint8] | None:
    from edgeai_repro.data import cifar

    try:
        return cifar.load_arrays(cifar.data_folder(), "test")[0][:count]
    except MissingRequirement as missing:
        typer.echo(f"no test images are taken: {missing}", err=True)
        return None


def _rows(logits: NDArray[np.float32]) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(map(float, row)) for row in logits)


def _answers(logits: NDArray[np.float32]) -> tuple[int, ...]:
    return tuple(map(int, logits.argmax(1)))


def _write(found: Sequence[Found], out: Path) -> None:
    findings = Findings(environment=environment.describe(), found=tuple(found))
    write_text(out, findings.model_dump_json(indent=1) + "\n")


def _read(path: Path) -> Findings:
    return parse_as(Findings, read_json(path), path)


if __name__ == "__main__":
    try:
        app()
    except UserError as error:
        print(f"arm64-check: {error}", file=sys.stderr)
        sys.exit(USAGE)
