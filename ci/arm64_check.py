"""Compares the results of a few models on x86-64 and on an emulated arm64; called by arm64-emulated.sh.

Each machine writes its results as JSON. Both load the same files of weights, because torch draws other random
weights on another processor.
"""

from __future__ import annotations

import hashlib
import platform
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from ci.arm64_compare import (
    BYTES,
    Comparison,
    MachineResults,
    ModelResult,
    as_text,
    check_times_are_refused,
    compare,
)
from edgeai_repro.devices.spec import load_devices
from edgeai_repro.edge import bundle
from edgeai_repro.edge.runtime import Deployed
from edgeai_repro.errors import MissingRequirement, UserError
from edgeai_repro.evidence import environment
from edgeai_repro.files import read_json, write_text
from edgeai_repro.validation import parse_as

if TYPE_CHECKING:
    from torch import nn

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
    typer.echo(as_text(comparisons))
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
