"""`make bench`: times one image of ConvNeXt-Small in eager mode, ONNX Runtime and OpenVINO, in one interleaved run.

OpenVINO is only used for this comparison. It runs the bundle's pruned model in fp32, in bf16, and with statically
quantized weights and activations (by ONNX Runtime's tool).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from PIL import Image
from rich.console import Console
from rich.table import Table

from edgeai_repro.devices.roofline import estimate
from edgeai_repro.devices.spec import load_devices
from edgeai_repro.edge import build, bundle
from edgeai_repro.edge.deployed_models import DeployedModels
from edgeai_repro.edge.images import prepare
from edgeai_repro.evidence.measurement import aa_control_passes
from edgeai_repro.judge.formatting import format_interval
from edgeai_repro.measure.latency.interleaved import Timing, ratio, time_interleaved
from edgeai_repro.measure.latency.threads import torch_threads
from edgeai_repro.networks.variants import CONVNEXT_VARIANTS

ROOT = Path(__file__).parents[2]
TARGET = 0.8
DEPLOYED = "pruned-int8-onnxruntime"
# How many times faster than each of these the bundle's deployed model must be.
REQUIRED = {"pruned-int8-eager": 4.0, "fp32-eager": 10.0, "openvino": 1.0}
RUNS = 200
STARTS = 5


def main() -> None:
    """Print the latency of each contender, the share of each operator, and the cost of a start."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundle", type=Path, help="a bundle of convnext_small (default: write one)")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    console = Console(width=None if sys.stdout.isatty() else 110)
    with tempfile.TemporaryDirectory() as folder:
        edge_bundle = bundle.load(options.bundle) if options.bundle else written(Path(folder))
        models = DeployedModels(edge_bundle, threads=options.threads)
        peers = openvino_calls(edge_bundle, Path(folder), options.threads)
        with torch_threads(options.threads):
            timings = time_interleaved({**models.runners(), **peers})
        console.print(latencies(timings, options.threads))
        for name in REQUIRED.keys() - {"openvino"} - timings.keys():
            console.print(f"{name} wasn't timed and can't be compared; set OMP_WAIT_POLICY=passive")
        console.print(operators(edge_bundle.path("pruned-int8"), models))
        console.print(starts(edge_bundle, Path(folder)))


def written(folder: Path) -> bundle.Bundle:
    """Write the bundle to time, and return it."""
    source = build.read_source("convnext_small")
    return build.build(source, folder / "bundle", target=TARGET, test_split=False)


def latencies(timings: dict[str, Timing], threads: int) -> Table:
    """Return a table of the contenders, with how many times slower each is than the deployed model."""
    title = f"ConvNeXt-Small, one image of 32 × 32, {threads} threads, {len(timings)} contenders in turns"
    table = Table(
        "", "median and quartiles", "p90", "A/A control", "slower than the bundle's", "required", title=title
    )
    peers = [name for name in timings if name.startswith("openvino")]
    best = min(peers, key=lambda name: timings[name].median.value, default=None)
    for name, timing in timings.items():
        required = REQUIRED.get("openvino" if name == best else name)
        control = timing.control
        table.add_row(
            name,
            format_interval(timing.median, "ms"),
            f"{timing.p90:.2f} ms",
            f"{control.low:.2f} … {control.high:.2f}{'' if aa_control_passes(control) else ', too noisy'}",
            format_interval(ratio(timing, timings[DEPLOYED]), "×"),
            "" if required is None else f"≥ {required:g} ×",
        )
    for device in load_devices(ROOT / "claims").values():
        if device.kind == "cloud":
            row = estimate(device, CONVNEXT_VARIANTS["convnext_small"], 32, "pruned + int8", target=TARGET)
            table.add_row(f"bound of {device.key}", f"{row.bound_ms:.3f} ms", "", "", row.level, "")
    return table


def openvino_calls(edge_bundle: bundle.Bundle, folder: Path, threads: int) -> dict[str, Callable[[], object]]:
    """Return functions that run the pruned model on one image in OpenVINO, by name; none if it isn't installed."""
    try:
        import openvino
    except ModuleNotFoundError:
        print("OpenVINO isn't installed and can't be compared; pip install '.[bench]'")
        return {}
    static = static_int8(edge_bundle, folder / "static.onnx")
    image = prepare(edge_bundle.probes()[:1], edge_bundle.manifest.input)
    core, calls = openvino.Core(), {}
    for name, path, hint in (
        ("fp32", edge_bundle.path("pruned"), "f32"),
        ("bf16", edge_bundle.path("pruned"), "bf16"),
        ("int8", static, "f32"),
    ):
        options = {
            "INFERENCE_PRECISION_HINT": hint,
            "INFERENCE_NUM_THREADS": threads,
            "PERFORMANCE_HINT": "LATENCY",
        }
        request = core.compile_model(path, "CPU", {**options, "NUM_STREAMS": 1}).create_infer_request()
        calls[f"openvino-pruned-{name}"] = lambda request=request: request.infer({0: image})
    return calls


class Calibration(CalibrationDataReader):  # type: ignore[misc]
    """The probes of a bundle, one at a time, for static quantization. The speed doesn't depend on the images."""

    def __init__(self, edge_bundle: bundle.Bundle) -> None:
        images = prepare(edge_bundle.probes(), edge_bundle.manifest.input)
        self.rest: Iterator[NDArray[np.float32]] = iter(np.split(images, len(images)))
        self.name = edge_bundle.manifest.input.name

    def get_next(self) -> dict[str, Any] | None:
        """Return the next image by the name of the input, None after the last."""
        image = next(self.rest, None)
        return None if image is None else {self.name: image}


def static_int8(edge_bundle: bundle.Bundle, path: Path) -> Path:
    """Write the pruned model with int8 weights and activations, and return the path."""
    quantize_static(
        onnx.load(edge_bundle.path("pruned")),
        path,
        Calibration(edge_bundle),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        weight_type=QuantType.QInt8,
        activation_type=QuantType.QUInt8,
    )
    return path


def operators(path: Path, models: DeployedModels) -> Table:
    """Return a table of each operator's share of the time on one thread.

    The shares come from ONNX Runtime's profiler, which slows every operator down.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    with tempfile.TemporaryDirectory() as folder:
        options.enable_profiling, options.profile_file_prefix = True, str(Path(folder) / "profile")
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        image = prepare(models.bundle.probes()[:1], models.bundle.manifest.input)
        for _ in range(RUNS):
            session.run(None, {models.bundle.manifest.input.name: image})
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    durations, nodes = Counter[str](), Counter[str]()
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("kernel_time"):
            durations[event["args"]["op_name"]] += event["dur"]
            nodes[event["args"]["op_name"]] += 1
    total = durations.total()
    table = Table("operator", "nodes", "share of the time", title="pruned + int8 in ONNX Runtime: time by operator")
    for name, microseconds in durations.most_common():
        table.add_row(name, str(nodes[name] // RUNS), f"{microseconds / total:.0%}")
    return table


def starts(edge_bundle: bundle.Bundle, folder: Path) -> Table:
    """Return a table of the seconds and memory of `classify`, a new process for one image, with their bounds."""
    image = folder / "image.png"
    Image.new("RGB", (32, 32), "red").save(image)
    program = (
        "import sys; from edgeai_repro.__main__ import main\n"
        f"sys.argv = ['edgeai-repro', 'classify', {str(edge_bundle.folder)!r}, {str(image)!r}]\n"
        "try: main()\n"
        "finally: print(next(line for line in open('/proc/self/status') if 'VmHWM' in line), file=sys.stderr)\n"
    )
    seconds, kilobytes = [], []
    for _ in range(STARTS):
        start = time.perf_counter()
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        seconds.append(time.perf_counter() - start)
        kilobytes.append(int(done.stderr.split()[-2]))
    table = Table("classify one image, from the start of the process", "measured", "at most")
    table.add_row(f"seconds, median of {STARTS}", f"{float(np.median(seconds)):.2f} s", "0.5 s")
    table.add_row("peak memory", f"{max(kilobytes) * 1024 / 1e6:.0f} MB", "120 MB")
    return table


if __name__ == "__main__":
    main()
