"""Runs a command in a forked process, and kills it or lets a file operation fail at its n-th change of a file."""

from __future__ import annotations

import errno
import os
import resource
import signal
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.chaos.commands import Command

# The events of sys.addaudithook that change files. The standard library raises them before the operation.
CHANGES = ("open", "os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.truncate", "os.link", "os.symlink")
MAKING = ("open", "os.rename", "os.mkdir")  # a full disk still lets files be removed
COUNTS = "\0"  # in standard error, before the numbers of changes
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


@dataclass(frozen=True)
class Outcome:
    """How a process ended: killed, or with an exit status, what it printed to standard error, and its changes.

    `changes` are those that a kill can precede, `made` those that a full disk can prevent.
    """

    killed: bool
    status: int
    error: str
    changes: int = 0
    made: int = 0


def run(command: Command, folder: Path, *, kill_at: int = 0, fail_at: int = 0, most_bytes: int = 0) -> Outcome:
    """Run a command in a process of its own, with one fault at most.

    It is killed before its `kill_at`-th change of a file in the folder; the disk is full when it makes its
    `fail_at`-th; no file may grow over `most_bytes`.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _run_here(command, folder, writing, kill_at=kill_at, fail_at=fail_at, most_bytes=most_bytes)
    os.close(writing)
    with os.fdopen(reading, encoding="utf-8", errors="replace") as stream:
        error, _, counts = stream.read().partition(COUNTS)
    _, status = os.waitpid(child, 0)
    changes, made = map(int, counts.split() or (0, 0))
    return Outcome(os.WIFSIGNALED(status), os.waitstatus_to_exitcode(status), error, changes, made)


def _run_here(command: Command, folder: Path, error: int, *, kill_at: int, fail_at: int, most_bytes: int) -> None:
    """Run a command and end this process."""
    status, fault = 1, None
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.dup2(error, 2)
        sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)  # noqa: SIM115
        if most_bytes:
            resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most_bytes))
        fault = _Fault(folder, kill_at, fail_at)
        sys.addaudithook(fault)
        command.run(folder)
        status = 0
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        if fault is not None:
            os.write(2, f"{COUNTS}{fault.changes} {fault.made}".encode())
        os._exit(status)


class _Fault:
    """An audit hook that counts changes of files in a folder, and does something at the n-th."""

    def __init__(self, folder: Path, kill_at: int, fail_at: int) -> None:
        self._folder = str(folder)
        self._kill_at, self._fail_at = kill_at, fail_at
        self.changes = self.made = 0

    def __call__(self, event: str, arguments: tuple[object, ...]) -> None:
        if event not in CHANGES or not self._is_change(event, arguments):
            return
        self.changes += 1
        if self.changes == self._kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        self.made += event in MAKING
        if event in MAKING and self.made == self._fail_at:
            raise OSError(errno.ENOSPC, "No space left on device")

    def _is_change(self, event: str, arguments: tuple[object, ...]) -> bool:
        path = arguments[0]
        if not isinstance(path, str | os.PathLike) or not os.fspath(path).startswith(self._folder):
            return False
        return event != "open" or bool(int(str(arguments[2])) & WRITING)
