"""Emulation is detected by what the kernel reports, not by what the emulator shows."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgeai_repro.devices.fingerprint import fingerprint
from edgeai_repro.evidence import environment
from edgeai_repro.evidence.measurement import Environment

X86, I386, AARCH64, ARM, RISCV = 62, 3, 183, 40, 243  # e_machine, of ELF
X86_CPU = "processor\t: 0\nvendor_id\t: AuthenticAMD\nmodel name\t: AMD EPYC\n"
ARM_CPU = "processor\t: 0\nCPU implementer\t: 0x41\nCPU part\t: 0xd0b\n"


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A machine whose properties a test chooses."""
    return Machine(tmp_path, monkeypatch)


class Machine:
    """The machine that Python sees, the program that the kernel runs, and the processor that it describes."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._folder, self._monkeypatch = folder, monkeypatch

    def make(self, seen: str, executed: int | None, cpuinfo: str | None) -> None:
        """Set the properties; None means that there is no such file."""
        self._monkeypatch.setattr("platform.machine", lambda: seen)
        for name in ("EXECUTED", "CPUINFO"):
            self._monkeypatch.setattr(environment, name, self._folder / name)
        if executed is not None:
            header = b"\x7fELF" + bytes([2, 1, 1]).ljust(14, b"\0") + executed.to_bytes(2, "little")
            (self._folder / "EXECUTED").write_bytes(header + bytes(44))
        if cpuinfo is not None:
            (self._folder / "CPUINFO").write_text(cpuinfo, encoding="utf-8")


@pytest.mark.parametrize(
    ("seen", "executed", "cpuinfo"),
    [
        pytest.param("aarch64", X86, X86_CPU, id="qemu-7"),
        pytest.param("aarch64", X86, ARM_CPU, id="qemu-9-that-makes-up-cpuinfo"),
        pytest.param("aarch64", X86, None, id="without-cpuinfo"),
        pytest.param("aarch64", None, X86_CPU, id="without-thread-self"),
        pytest.param("aarch64", AARCH64, X86_CPU, id="one-sign-is-enough"),
        pytest.param("armv7l", X86, X86_CPU, id="32-bit"),
        pytest.param("riscv64", X86, X86_CPU, id="another-architecture"),
        pytest.param("x86_64", AARCH64, ARM_CPU, id="x86-on-arm"),
    ],
)
def test_emulation_is_detected_by_program_or_processor(
    machine: Machine, seen: str, executed: int | None, cpuinfo: str | None
) -> None:
    """One sign is enough: a program or a processor of another family than Python's machine."""
    machine.make(seen, executed, cpuinfo)

    assert environment.emulated()
    assert environment.describe().emulated
    assert fingerprint(1).emulated


@pytest.mark.parametrize(
    ("seen", "executed", "cpuinfo"),
    [
        pytest.param("x86_64", X86, X86_CPU, id="x86"),
        pytest.param("x86_64", I386, X86_CPU, id="32-bit-python-on-x86"),
        pytest.param("aarch64", AARCH64, ARM_CPU, id="arm"),
        pytest.param("aarch64", ARM, ARM_CPU, id="32-bit-python-on-arm"),
        pytest.param("armv7l", ARM, ARM_CPU, id="armv7"),
        pytest.param("arm64", None, None, id="macOS"),
        pytest.param("AMD64", None, None, id="Windows"),
        pytest.param("riscv64", RISCV, "hart\t: 0\n", id="riscv"),
    ],
)
def test_real_machine_is_not_emulated(
    machine: Machine, seen: str, executed: int | None, cpuinfo: str | None
) -> None:
    """This holds with a 32-bit Python too, and if the kernel reports nothing."""
    machine.make(seen, executed, cpuinfo)

    assert not environment.emulated()


def test_file_that_is_not_a_program_is_no_sign_of_emulation(machine: Machine) -> None:
    """Only ELF files have a processor family."""
    machine.make("aarch64", None, ARM_CPU)
    environment.EXECUTED.write_bytes(b"#!/bin/sh and more")

    assert not environment.emulated()


def test_program_family_is_known_on_linux() -> None:
    """Linux reports the running program."""
    assert environment._program_family() in (None, "x86", "arm")
    assert Path("/proc/self").exists() == (environment._program_family() is not None)


def test_older_record_of_an_environment_is_of_a_real_machine() -> None:
    """Environments were recorded before emulation was detected."""
    recorded = {"python": "3.11.7", "machine": "x86_64", "cpu": "AMD EPYC", "cores": 2, "versions": {}}

    assert not Environment.model_validate(recorded).emulated
