"""The machine and the software that a run is made on, read without importing any of it."""

from __future__ import annotations

import os
import platform
import sys
from importlib import metadata
from pathlib import Path

from edgeai_repro.evidence import Environment

PACKAGES = (
    "edgeai-repro",
    "torch",
    "torchvision",
    "timm",
    "only-train-once",
    "thop",
    "onnxruntime",
    "numpy",
    "scipy",
)
VARIABLES = {
    "EDGEAI_DATA": "the folder that holds CIFAR-10",
    "EDGEAI_ARTEFACTS": "the folder of trained and compressed models",
    "EDGEAI_DEVICE": "the edge device that this is, by its key in devices.yaml",
}


CPUINFO = Path("/proc/cpuinfo")


def describe() -> Environment:
    """Return the environment; threads and engine are torch's, and None where torch isn't loaded."""
    torch = sys.modules.get("torch")
    return Environment(
        python=platform.python_version(),
        machine=platform.machine(),
        cpu=_cpu(),
        cores=os.cpu_count() or 1,
        threads=torch.get_num_threads() if torch else None,
        engine=torch.backends.quantized.engine if torch else None,
        device=os.environ.get("EDGEAI_DEVICE"),
        versions={name: version for name in PACKAGES if (version := _version(name))},
    )


def variables() -> dict[str, tuple[str, bool]]:
    """Return every EDGEAI_* variable that is set: its value, and whether this package knows it."""
    return {
        name: (value, name in VARIABLES) for name, value in sorted(os.environ.items()) if name.startswith("EDGEAI_")
    }


def conditions() -> str:
    """Return a line that tells which of the conditions of claims are met here."""
    data = os.environ.get("EDGEAI_DATA")
    device = os.environ.get("EDGEAI_DEVICE")
    found = [
        f"data: {data}"
        if data and Path(data).is_dir()
        else f"data: not found, set EDGEAI_DATA (is {data or 'unset'})",
        f"edge device: {device or 'not one, EDGEAI_DEVICE is unset'}",
    ]
    return "; ".join(found)


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _cpu() -> str:
    if CPUINFO.exists():
        lines = CPUINFO.read_text(encoding="utf-8", errors="replace").splitlines()
        said = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        # ARM's kernel names the board, where it does, and the core by numbers: Cortex-A76 is 0x41 0xd0b.
        named = [said.get(name) for name in ("model name", "Model", "CPU implementer", "CPU part")]
        if found := " ".join(filter(None, named)):
            return found
    return platform.processor() or platform.machine()
