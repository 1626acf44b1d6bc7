"""The machine and the software that a run is made on, read without importing any of it."""

from __future__ import annotations

import os
import platform
import sys
from contextlib import suppress
from importlib import metadata
from pathlib import Path

from edgeai_repro.evidence.measurement import Environment

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
    "EDGEAI_MODELS": "the folder of trained and compressed models",
    "EDGEAI_DEVICE": "the edge device that this is, by its key in devices.yaml",
}


CPUINFO = Path("/proc/cpuinfo")
EMULATED = "this processor is emulated, and its times tell nothing of any device"
# The program that the kernel runs this thread with. qemu hides itself under /proc/self, and from 8.2 on makes up a
# /proc/cpuinfo too, but knows nothing of thread-self (linux-user/syscall.c, is_proc_myself; seen with 7.2).
EXECUTED = Path("/proc/thread-self/exe")
ARM = ("armv6l", "armv7l", "armv8l", "aarch64", "arm64")
FAMILIES = dict.fromkeys(("i386", "i686", "x86_64", "amd64"), "x86") | dict.fromkeys(ARM, "arm")
ELF_MACHINES = {3: "x86", 62: "x86", 40: "arm", 183: "arm"}  # EM_386, EM_X86_64, EM_ARM, EM_AARCH64
CPUINFO_KEYS = {"vendor_id": "x86", "CPU implementer": "arm"}  # what the kernels of each say of every core


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
        emulated=emulated(),
        versions=versions(*PACKAGES),
    )


def versions(*packages: str) -> dict[str, str]:
    """Return the version of each of the packages that is installed, by name."""
    installed = {}
    for package in packages:
        with suppress(metadata.PackageNotFoundError):
            installed[package] = metadata.version(package)
    return installed


def emulated() -> bool:
    """Tell whether an emulator (qemu-user, Rosetta, box64) runs this process, so that its times mean nothing.

    One does where the program that the kernel executes, or the processor that it describes, is of another family
    than the machine that Python sees. A whole machine that is emulated isn't told from a real one.
    """
    machine = platform.machine().lower()
    seen = FAMILIES.get(machine, machine)
    return any(family not in (None, seen) for family in (_executed(), _described()))


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


def _executed() -> str | None:
    """Return the family of the program that the kernel executes; None where that can't be told."""
    try:
        with EXECUTED.open("rb") as stream:
            header = stream.read(20)
    except OSError:
        return None
    return ELF_MACHINES.get(int.from_bytes(header[18:20], "little")) if header.startswith(b"\x7fELF") else None


def _described() -> str | None:
    """Return the family of the processor that the kernel describes; None where that can't be told."""
    return next((family for key, family in CPUINFO_KEYS.items() if key in _cpuinfo()), None)


def _cpu() -> str:
    said = _cpuinfo()
    # ARM's kernel names the board, where it does, and the core by numbers: Cortex-A76 is 0x41 0xd0b.
    named = [said.get(name) for name in ("model name", "Model", "CPU implementer", "CPU part")]
    return " ".join(filter(None, named)) or platform.processor() or platform.machine()


def _cpuinfo() -> dict[str, str]:
    """Return what the kernel says of the processors, by key; of several, what it says of the last."""
    if not CPUINFO.exists():
        return {}
    lines = CPUINFO.read_text(encoding="utf-8", errors="replace").splitlines()
    return {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
