"""The machine and the software of this run. No package is imported to find its version."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from types import ModuleType

from edgeai_repro.evidence.measurement import Environment
from edgeai_repro.files import is_folder

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
    "EDGEAI_DATA": "the folder of CIFAR-10",
    "EDGEAI_MODELS": "the folder of trained and compressed models",
    "EDGEAI_DEVICE": "the key of this edge device in devices.yaml",
}

# Instructions that add up products of int8 values in 32 bits, by their names in /proc/cpuinfo.
INT8_INSTRUCTIONS = {
    "amx_int8": "AMX",
    "avx512_vnni": "VNNI",
    "avx_vnni": "VNNI",
    "avx_vnni_int8": "VNNI",
    "asimddp": "dotprod",
    "i8mm": "i8mm",
    "svei8mm": "i8mm",
}

CPUINFO = Path("/proc/cpuinfo")
EMULATED = "this processor is emulated, so its times say nothing about any device"
# The program that the kernel runs in this thread. qemu hides itself under /proc/self, and since 8.2 it also invents
# /proc/cpuinfo, but it doesn't hide thread-self (linux-user/syscall.c, is_proc_myself; observed with 7.2).
EXECUTED = Path("/proc/thread-self/exe")
ARM = ("armv6l", "armv7l", "armv8l", "aarch64", "arm64")
FAMILIES = dict.fromkeys(("i386", "i686", "x86_64", "amd64"), "x86") | dict.fromkeys(ARM, "arm")
ELF_MACHINES = {3: "x86", 62: "x86", 40: "arm", 183: "arm"}  # EM_386, EM_X86_64, EM_ARM, EM_AARCH64
CPUINFO_KEYS = {"vendor_id": "x86", "CPU implementer": "arm"}  # the key that each kernel lists for every core


def describe() -> Environment:
    """Return the environment. `threads` and `engine` are those of torch, None if torch isn't loaded."""
    torch = sys.modules.get("torch")
    return Environment(
        python=platform.python_version(),
        machine=platform.machine(),
        cpu=_cpu(),
        cores=os.cpu_count() or 1,
        threads=torch.get_num_threads() if torch else None,
        engine=_engine(torch) if torch else None,
        device=os.environ.get("EDGEAI_DEVICE"),
        emulated=emulated(),
        versions=versions(*PACKAGES),
    )


def _engine(torch: ModuleType) -> str | None:
    """Return torch's quantization engine, None if this torch has none."""
    return getattr(getattr(torch.backends, "quantized", None), "engine", None)


def versions(*packages: str) -> dict[str, str]:
    """Return the version of each of the packages that is installed, by name."""
    installed = {}
    for package in packages:
        with suppress(metadata.PackageNotFoundError):
            installed[package] = metadata.version(package)
    return installed


def version_changes(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """Return a text for each package with another version in `after`: "numpy 1.26.0 → 2.4.1"."""
    return [
        f"{name} {before.get(name, 'none')} → {after.get(name, 'none')}"
        for name in dict.fromkeys([*before, *after])
        if before.get(name) != after.get(name)
    ]


def emulated() -> bool:
    """Return whether an emulator (qemu-user, Rosetta, box64) runs this process, which makes its times meaningless.

    The sign is a program or a processor of another family than the machine that Python reports. An emulator of a
    whole machine isn't detected.
    """
    machine = platform.machine().lower()
    family = FAMILIES.get(machine, machine)
    return any(other not in (None, family) for other in (_program_family(), _processor_family()))


def is_arm() -> bool:
    """Return whether this machine has an ARM processor."""
    return FAMILIES.get(platform.machine().lower()) == "arm"


def int8_instructions() -> list[str] | None:
    """Return the names of the instructions for int8 products that this processor has, None if unknown."""
    cpuinfo = _cpuinfo()
    features = cpuinfo.get("flags", cpuinfo.get("Features"))
    if features is None:
        return None
    return sorted({name for flag, name in INT8_INSTRUCTIONS.items() if flag in features.split()})


def commit(folder: Path) -> str:
    """Return the commit of a folder's repository, with `+` if files were changed since; `unknown` without one."""
    describe_commit = ["git", "describe", "--always", "--abbrev=40", "--dirty=+", "--match="]
    try:
        result = subprocess.run(describe_commit, cwd=folder, capture_output=True, text=True, check=False)
    except OSError:  # git is not installed
        return "unknown"
    return result.stdout.strip() or "unknown"


def variables() -> dict[str, tuple[str, bool]]:
    """Return the value of every EDGEAI_* variable that is set, and whether this package knows the variable."""
    return {
        name: (value, name in VARIABLES) for name, value in sorted(os.environ.items()) if name.startswith("EDGEAI_")
    }


def requirements() -> str:
    """Return a line that lists which requirements of claims are met on this machine."""
    data = os.environ.get("EDGEAI_DATA")
    device = os.environ.get("EDGEAI_DEVICE")
    has_data = data is not None and is_folder(Path(data))
    data_text = data if has_data else f"not found, set EDGEAI_DATA (is {data or 'unset'})"
    return f"data: {data_text}; edge device: {device or 'not one, EDGEAI_DEVICE is unset'}"


def _program_family() -> str | None:
    """Return the processor family of the program that the kernel runs, None if unknown."""
    try:
        with EXECUTED.open("rb") as stream:
            header = stream.read(20)
    except OSError:
        return None
    return ELF_MACHINES.get(int.from_bytes(header[18:20], "little")) if header.startswith(b"\x7fELF") else None


def _processor_family() -> str | None:
    """Return the family of the processor that the kernel describes, None if unknown."""
    return next((family for key, family in CPUINFO_KEYS.items() if key in _cpuinfo()), None)


def _cpu() -> str:
    """Return the name of the processor. ARM's kernel names the board, and the core by numbers (0x41 0xd0b: A76)."""
    cpuinfo = _cpuinfo()
    names = [cpuinfo.get(key) for key in ("model name", "Model", "CPU implementer", "CPU part")]
    return " ".join(filter(None, names)) or platform.processor() or platform.machine()


def _cpuinfo() -> dict[str, str]:
    """Return the entries of /proc/cpuinfo by key; of several processors, those of the last."""
    if not CPUINFO.exists():
        return {}
    lines = CPUINFO.read_text(encoding="utf-8", errors="replace").splitlines()
    return {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
