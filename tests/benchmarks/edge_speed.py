"""`make bench`: one image of ConvNeXt-Small in eager mode, in ONNX Runtime and in OpenVINO, in one interleaved run.

OpenVINO is a peer here and nowhere else: it runs the bundle's pruned model in fp32, in bf16 and quantized
statically (weights and activations, by ONNX Runtime's tool), and is timed in the same turns.
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
from edgeai_repro.edge.runtime import prepare
from edgeai_repro.evidence.measurement import aa_control_passes
from edgeai_repro.judge.formatting import format_interval
from edgeai_repro.measure.latency.interleaved import Timing, ratio, time_interleaved
from edgeai_repro.measure.latency.threads import torch_threads
from edgeai_repro.networks.variants import CONVNEXT_VARIANTS

ROOT = Path(__file__).parents[2]
TARGET = 0.8
DEPLOYED = "pruned-int8-onnxruntime"
# What the bundle must be against, and by how much it must be faster.
ASKED = {"pruned-int8-eager": 4.0, "fp32-eager": 10.0, "openvino": 1.0}
RUNS = 200
STARTS = 5


def main() -> None:
    """Print what takes how long, what each operator takes of it, and what a start costs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundle", type=Path, help="of convnext_small (default: one is written)")
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    console = Console(width=None if sys.stdout.isatty() else 110)
    with tempfile.TemporaryDirectory() as folder:
        found = bundle.load(given.bundle) if given.bundle else written(Path(folder))
        lab = DeployedModels(found, threads=given.threads)
        peers = openvino_calls(found, Path(folder), given.threads)
        with torch_threads(given.threads):
            timings = time_interleaved({**lab.runners(), **peers})
        console.print(latencies(timings, given.threads))
        for name in ASKED.keys() - {"openvino"} - timings.keys():
            console.print(f"{name} wasn't timed, so nothing is told beside it: is OMP_WAIT_POLICY passive?")
        console.print(operators(found.path("pruned-int8"), lab))
        console.print(starts(found, Path(folder)))


def written(folder: Path) -> bundle.Bundle:
    """Write the bundle that is timed."""
    source = build.read_source("convnext_small")
    return build.build(source, folder / "bundle", target=TARGET, test_split=False)


def latencies(timings: dict[str, Timing], threads: int) -> Table:
    """Return a row for each contender, with how many times slower it is than the deployed model."""
    title = f"ConvNeXt-Small, one image of 32 × 32, {threads} threads, {len(timings)} contenders in turns"
    table = Table(
        "", "median and quartiles", "p90", "A/A control", "slower than the bundle's", "asked", title=title
    )
    peers = [name for name in timings if name.startswith("openvino")]
    best = min(peers, key=lambda name: timings[name].median.value, default=None)
    for name, timing in timings.items():
        asked = ASKED.get("openvino" if name == best else name)
        control = timing.control
        table.add_row(
            name,
            format_interval(timing.median, "ms"),
            f"{timing.p90:.2f} ms",
            f"{control.low:.2f} … {control.high:.2f}{'' if aa_control_passes(control) else ', too noisy'}",
            format_interval(ratio(timing, timings[DEPLOYED]), "×"),
            "" if asked is None else f"≥ {asked:g} ×",
        )
    for device in load_devices(ROOT / "claims").values():
        if device.kind == "cloud":
            row = estimate(device, CONVNEXT_VARIANTS["convnext_small"], 32, "pruned + int8", target=TARGET)
            table.add_row(f"bound of {device.key}", f"{row.bound_ms:.3f} ms", "", "", row.level, "")
    return table


def openvino_calls(found: bundle.Bundle, folder: Path, threads: int) -> dict[str, Callable[[], object]]:
    """Return OpenVINO's answers to one image by the pruned model, by precision; none where it isn't installed."""
    try:
        import openvino
    except ModuleNotFoundError:
        print("OpenVINO isn't installed, so no peer is timed: pip install '.[bench]'")
        return {}
    static = static_int8(found, folder / "static.onnx")
    image = prepare(found.probes()[:1], found.manifest.input)
    core, calls = openvino.Core(), {}
    for name, path, hint in (
        ("fp32", found.path("pruned"), "f32"),
        ("bf16", found.path("pruned"), "bf16"),
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
    """The probes of a bundle, one at a time, for static quantization; its speed doesn't depend on them."""

    def __init__(self, found: bundle.Bundle) -> None:
        images = prepare(found.probes(), found.manifest.input)
        self.rest: Iterator[NDArray[np.float32]] = iter(np.split(images, len(images)))
        self.name = found.manifest.input.name

    def get_next(self) -> dict[str, Any] | None:
        """Return the next image by the input's name, None after the last."""
        image = next(self.rest, None)
        return None if image is None else {self.name: image}


def static_int8(found: bundle.Bundle, path: Path) -> Path:
    """Write the pruned model with int8 weights and activations in its products and convolutions."""
    quantize_static(
        onnx.load(found.path("pruned")),
        path,
        Calibration(found),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        weight_type=QuantType.QInt8,
        activation_type=QuantType.QUInt8,
    )
    return path


def operators(path: Path, lab: DeployedModels) -> Table:
    """Return each operator's share of one image on one thread, by ONNX Runtime's profiler, which lengthens all."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    with tempfile.TemporaryDirectory() as folder:
        options.enable_profiling, options.profile_file_prefix = True, str(Path(folder) / "profile")
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        assert lab.bundle is not None
        image = prepare(lab.bundle.probes()[:1], lab.bundle.manifest.input)
        for _ in range(RUNS):
            session.run(None, {lab.bundle.manifest.input.name: image})
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    took, nodes = Counter[str](), Counter[str]()
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("kernel_time"):
            took[event["args"]["op_name"]] += event["dur"]
            nodes[event["args"]["op_name"]] += 1
    whole = took.total()
    table = Table(
        "operator", "nodes", "share of the time", title="pruned + int8 in ONNX Runtime, where the time goes"
    )
    for name, microseconds in took.most_common():
        table.add_row(name, str(nodes[name] // RUNS), f"{microseconds / whole:.0%}")
    return table


def starts(found: bundle.Bundle, folder: Path) -> Table:
    """Return seconds and memory from the start of a process to the class of one image, beside what is allowed."""
    image = folder / "image.png"
    Image.new("RGB", (32, 32), "red").save(image)
    program = (
        "import sys; from edgeai_repro.cli.main import main\n"
        f"sys.argv = ['edgeai-repro', 'classify', {str(found.folder)!r}, {str(image)!r}]\n"
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
