"""`make bench`: times one image of three networks in every runtime that is installed, in one interleaved run each.

The contenders are a bundle's files in ONNX Runtime and OpenVINO, and the same network, plain and pruned, in
torch's eager mode, ncnn (converted by pnnx) and ExecuTorch (XNNPACK). ncnn and ExecuTorch run it in fp32, because
ncnn's wheel has no tool that quantizes. The logits of each are compared with torch's before it is timed. A runtime
that isn't installed, or that can't run a network, is named with the reason.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from rich.console import Console
from rich.table import Table
from torch import nn
from torchvision.models import resnet50

from edgeai_repro.compress.techniques import apply
from edgeai_repro.edge import build
from edgeai_repro.edge.any_network import network_source
from edgeai_repro.edge.bundle import Bundle
from edgeai_repro.edge.runtime import Deployed
from edgeai_repro.errors import one_line
from edgeai_repro.evidence.measurement import aa_control_passes
from edgeai_repro.judge.formatting import format_interval
from edgeai_repro.measure.latency.interleaved import Plan, Timing, ratio, time_interleaved
from edgeai_repro.measure.latency.threads import torch_threads

Call = Callable[[], Any]
ALLOWED = {"fp32": 1e-3, "int8": 0.5}  # share of the largest logit by which a contender may differ from torch
BASELINE = "onnxruntime fp32"
TARGET = 0.5  # share of each group's channels that is pruned


def two_layers() -> nn.Module:
    """Return a convolution and a linear layer."""
    pool = [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(nn.Conv2d(3, 32, 3, 2), nn.ReLU(), *pool, nn.Linear(32, 10))


NETWORKS: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "MobileNetV3-Large": (lambda: timm.create_model("mobilenetv3_large_100"), 224),
    "ResNet-50": (lambda: resnet50(weights=None), 224),
    "two layers": (two_layers, 32),
}


def main() -> None:
    """Print a table for each network."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", nargs="*", default=list(NETWORKS), choices=NETWORKS)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=20)
    options = parser.parse_args()
    console = Console(width=None if sys.stdout.isatty() else 110)
    for name in options.networks:
        make, side = NETWORKS[name]
        torch.manual_seed(0)
        network = make().eval()
        with tempfile.TemporaryDirectory() as folder, torch_threads(options.threads):
            source = network_source(name, network, resolution=side)
            bundle = build.build(source, Path(folder) / "bundle", target=TARGET)
            calls, left_out = contenders(network, bundle, Path(folder), options.threads)
            timings = time_interleaved(calls, Plan(rounds=options.rounds, samples=2, untimed=1))
        console.print(table(f"{name}, one image of {side} × {side}, threads: {options.threads}", timings))
        for variant in bundle.manifest.models:
            console.print(f"{variant}: {bundle.size(variant) / 1e6:.2f} MB")
        for line in left_out:
            console.print(line)


def contenders(network: nn.Module, bundle: Bundle, folder: Path, threads: int) -> tuple[dict[str, Call], list[str]]:
    """Return a callable per contender whose logits are torch's, and a line for each of the others."""
    image = torch.from_numpy(Deployed(bundle, "fp32", threads=1).prepared(bundle.probes()[:1]))
    pruned = apply(network, "structured_pruning", {"target": TARGET}, inputs=(image,))
    with torch.inference_mode():
        expected = {False: network(image).numpy(), True: pruned(image).numpy()}
    calls: dict[str, Call] = {}
    left_out: list[str] = []
    for name, make in makers(network, pruned, bundle, folder, image, threads):
        logits = expected["pruned" in name]
        try:
            call = make()
            difference = float(np.abs(np.asarray(call()).reshape(logits.shape) - logits).max())
        except Exception as error:  # each library raises its own types
            left_out.append(f"{name}: {one_line(error)}")
            continue
        share = difference / float(np.abs(logits).max())
        if not share <= ALLOWED["int8" if "int8" in name else "fp32"]:
            left_out.append(f"{name}: its logits differ from torch's by {share:.1%} of the largest")
            continue
        calls[name] = call
    return calls, left_out


def makers(
    network: nn.Module, pruned: nn.Module, bundle: Bundle, folder: Path, image: torch.Tensor, threads: int
) -> Iterator[tuple[str, Callable[[], Call]]]:
    """Yield the name of each contender and a function that prepares it."""
    pixels = image.numpy()
    yield "torch eager fp32", lambda: eager(network, image)
    for variant in bundle.manifest.models:
        yield f"onnxruntime {variant}", lambda v=variant: onnxruntime_call(bundle, v, pixels, threads)
    for variant in ("fp32", "static-int8", "pruned", "pruned-static-int8"):
        if variant in bundle.manifest.models:
            yield f"openvino {variant}", lambda v=variant: openvino_call(bundle.path(v), pixels, threads)
    for name, one in (("fp32", network), ("pruned", pruned)):
        yield f"ncnn {name}", lambda n=name, o=one: ncnn_call(o, image, folder / f"ncnn_{n}.pt", threads)
        yield f"executorch {name}", lambda o=one: executorch_call(o, image, threads)


def eager(network: nn.Module, image: torch.Tensor) -> Call:
    """Return a callable that runs torch's eager mode."""

    @torch.inference_mode()
    def run() -> Any:
        return network(image).numpy()

    return run


def onnxruntime_call(bundle: Bundle, variant: Any, pixels: Any, threads: int) -> Call:
    """Return a callable that runs a file of a bundle as a device does."""
    deployed = Deployed(bundle, variant, threads=threads)
    return lambda: deployed(pixels)


def openvino_call(path: Path, pixels: Any, threads: int) -> Call:
    """Return a callable that runs an ONNX file in OpenVINO."""
    import openvino

    options = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1}
    request = openvino.Core().compile_model(path, "CPU", options).create_infer_request()
    return lambda: request.infer({0: pixels})[0]


def ncnn_call(network: nn.Module, image: torch.Tensor, file: Path, threads: int) -> Call:
    """Return a callable that runs a network in ncnn, in fp32; it is traced to `file`."""
    import ncnn
    import pnnx

    with torch.no_grad():
        traced = torch.jit.trace(network, image)
    traced.save(str(file))
    # Not pnnx.convert: it imports the Python code that it writes, which is invalid for a Sequential's numbers.
    shape = f"inputshape=[{','.join(map(str, image.shape))}]f32"
    subprocess.run([pnnx.EXEC_PATH, file, shape, "fp16=0"], check=True, capture_output=True, cwd=file.parent)
    net = ncnn.Net()
    net.opt.num_threads = threads
    net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = False
    net.load_param(str(file.with_suffix(".ncnn.param")))
    net.load_model(str(file.with_suffix(".ncnn.bin")))
    pixels = np.ascontiguousarray(image.numpy()[0])

    def run() -> Any:
        extractor = net.create_extractor()
        extractor.input("in0", ncnn.Mat(pixels))
        return np.array(extractor.extract("out0")[1])

    return run


def executorch_call(network: nn.Module, image: torch.Tensor, threads: int) -> Call:
    """Return a callable that runs a network in ExecuTorch with XNNPACK, in fp32."""
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower
    from executorch.extension.pybindings import portable_lib

    del threads  # its Python runtime has no setting for them; OMP_NUM_THREADS has no effect on XNNPACK's pool
    exported = torch.export.export(network, (image,))
    lowered = to_edge_transform_and_lower(exported, partitioner=[XnnpackPartitioner()]).to_executorch()
    program = lowered.buffer
    module = portable_lib._load_for_executorch_from_buffer(program)

    def run() -> Any:
        assert program  # the module reads it while it runs, and holds no reference to it
        return module.forward([image])[0].numpy()

    return run


def table(title: str, timings: dict[str, Timing]) -> Table:
    """Return a table of the contenders, with how many times as long as ONNX Runtime's fp32 each takes."""
    shown = Table("", "median and quartiles", "A/A control", f"time ÷ {BASELINE}", title=title)
    for name, timing in timings.items():
        control = timing.control
        noisy = "" if aa_control_passes(control) else ", too noisy"
        shown.add_row(
            name,
            format_interval(timing.median, "ms"),
            f"{control.low:.2f} … {control.high:.2f}{noisy}",
            format_interval(ratio(timing, timings[BASELINE]), "×"),
        )
    return shown


if __name__ == "__main__":
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    main()
