"""Shows readers random inputs, in processes of their own, and counts the distinct failures.

    python -m tests.fuzz.run --inputs=1000            every reader
    python -m tests.fuzz.run --seconds=600 yaml onnx  some readers, guided by coverage if atheris is installed

A process that dies, hangs or runs out of memory is a failure, too. Inputs that failed are kept under --output.
"""

from __future__ import annotations

import argparse
import faulthandler
import json
import mmap
import os
import re
import resource
import signal
import struct
import sys
import tempfile
import time
import warnings
from pathlib import Path
from types import FrameType

from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.fuzz.binary_readers import BINARY_READERS
from tests.fuzz.outcomes import HangError, failure_of
from tests.fuzz.reader import Reader
from tests.fuzz.text_readers import TEXT_READERS, clear

READERS = [*TEXT_READERS, *BINARY_READERS]
CPU_SECONDS = 10  # that an input may take
MEMORY = 2_500_000_000  # bytes that an input may take
MOST_CRASHES = 12  # of a reader, after which it is given up
SLOW_SHARE = 20  # a slow reader gets one of so many inputs


def outcome(reader: Reader, content: bytes, folder: Path) -> str | None:
    """Show an input to a reader, and return the name of its failure, None if it read or refused the input."""
    signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            reader.read(content, folder)
    except HangError:
        return f"takes more than {CPU_SECONDS} s"
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        return failure_of(error)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        clear(folder)
    return None


def limit_process() -> None:
    """Limit the memory of this process, and let an input that takes too long raise HangError."""

    def stop(signal_number: int, frame: FrameType | None) -> None:
        raise HangError

    used = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGPROF, stop)


class Search:
    """The inputs that a reader was shown so far, and its failures: the first input of each, by its name."""

    def __init__(self, reader: Reader, output: Path, work: Path) -> None:
        self.reader = reader
        self.failures: dict[str, bytes] = {}
        self.inputs = 0
        self._output = output
        self._work = work
        self._current = work / "current"
        self._count = mmap.mmap(-1, 8)

    def show(self, inputs: int, start: int) -> None:
        """Show so many inputs, in processes that are replaced when they die."""
        crashes = 0
        while inputs > 0 and crashes < MOST_CRASHES:
            self._count[:] = struct.pack("<Q", 0)
            status = self._in_child(inputs, start + self.inputs)
            shown = struct.unpack("<Q", self._count[:])[0]
            self.inputs, inputs = self.inputs + shown, inputs - max(shown, 1)
            for line in self._lines():
                self.failures.setdefault(*line)
            if status == 0:
                break
            crashes += 1
            self.failures.setdefault(self._crash(status), self._current.read_bytes())
        self._keep()

    def _in_child(self, inputs: int, start: int) -> int:
        (self._work / "failures").write_text("", encoding="ascii")
        process = os.fork()
        if process == 0:
            try:
                self._search(inputs, start)
            except BaseException:
                import traceback

                traceback.print_exc(file=sys.__stderr__)
                os._exit(70)
            os._exit(0)
        before, since = -1, time.monotonic()
        while True:
            ended, status = os.waitpid(process, os.WNOHANG)
            if ended:
                return status
            time.sleep(0.05)
            shown = struct.unpack("<Q", self._count[:])[0]
            if shown != before:
                before, since = shown, time.monotonic()
            elif time.monotonic() - since > 12 * CPU_SECONDS:
                os.kill(process, signal.SIGKILL)

    def _search(self, inputs: int, start: int) -> None:
        with (self._work / "stderr").open("wb") as errors:
            os.dup2(errors.fileno(), 2)
        faulthandler.enable()
        limit_process()
        folder = Path(tempfile.mkdtemp(dir=self._work))
        seen = set(self.failures)

        @seed(start)
        @settings(
            max_examples=inputs,
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(self.reader.inputs())
        def search(content: bytes) -> None:
            self._current.write_bytes(content)
            self._count[:] = struct.pack("<Q", struct.unpack("<Q", self._count[:])[0] + 1)
            failure = outcome(self.reader, content, folder)
            if failure is not None and failure not in seen:
                seen.add(failure)
                with (self._work / "failures").open("a", encoding="ascii") as stream:
                    stream.write(json.dumps([failure, content.hex()]) + "\n")

        search()

    def _lines(self) -> list[tuple[str, bytes]]:
        lines = (self._work / "failures").read_text(encoding="ascii").splitlines()
        return [(name, bytes.fromhex(content)) for name, content in map(json.loads, lines)]

    def _crash(self, status: int) -> str:
        stderr = (self._work / "stderr").read_text(encoding="utf-8", errors="replace")
        frames = re.findall(r'File "[^"]*?([^"/]+)\.py", line \d+ in (\w+)', stderr)
        where = " ← ".join(dict.fromkeys(f"{file}.{function}" for file, function in frames[:2]))
        if os.WIFSIGNALED(status):
            return f"process ended by {signal.Signals(os.WTERMSIG(status)).name} in {where or 'unknown'}"
        return f"process exited with {os.WEXITSTATUS(status)} {where} {stderr[-300:] if not where else ''}"

    def _keep(self) -> None:
        folder = self._output / self.reader.name.replace(" ", "-")
        for number, (name, content) in enumerate(self.failures.items()):
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{number:02}-{re.sub('[^A-Za-z0-9]+', '-', name)[:80]}").write_bytes(content)


def main() -> None:
    """Show every named reader its inputs, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("readers", nargs="*", help="names of readers (default: all)")
    parser.add_argument("--inputs", type=int, default=1000, help="inputs for each reader")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=Path("build/fuzz"))
    arguments = parser.parse_args()
    failed = 0
    for reader in READERS:
        if arguments.readers and reader.name not in arguments.readers:
            continue
        with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as work:
            search = Search(reader, arguments.output, Path(work))
            started = time.monotonic()
            search.show(max(arguments.inputs // (SLOW_SHARE if reader.slow else 1), 1), arguments.seed)
        print(
            f"{reader.name}: {search.inputs} inputs, {len(search.failures)} failures, {time.monotonic() - started:.0f} s",
            flush=True,
        )
        for name in search.failures:
            print(f"    {name}", flush=True)
        failed += len(search.failures)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
