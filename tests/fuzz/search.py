"""Shows a reader random inputs in processes of their own, and collects its distinct failures."""

from __future__ import annotations

import faulthandler
import json
import mmap
import os
import re
import resource
import shutil
import signal
import struct
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from random import Random
from types import FrameType

from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.fuzz.inputs import mutated
from tests.fuzz.outcomes import HangError, failure_of
from tests.fuzz.reader import Reader

CPU_SECONDS = 5  # that an input may take
MEMORY = 2_500_000_000  # bytes that an input may take
DRAWN = 5  # one of so many inputs is drawn, which takes most of the time
MOST_CRASHES = 20  # of a reader, after which it is given up
TICKS = os.sysconf("SC_CLK_TCK")


def outcome(reader: Reader, content: bytes, folder: Path) -> str | None:
    """Show an input to a reader, and return the name of its failure, None if it read or refused the input."""
    if threaded_timer := signal.getsignal(signal.SIGPROF) is _stop:
        signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            reader.read(content, folder)
    except HangError:
        return f"takes more than {CPU_SECONDS} s"
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        return failure_of(error)
    finally:
        if threaded_timer:
            signal.setitimer(signal.ITIMER_PROF, 0)
        for path in folder.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    return None


def limit_process() -> None:
    """Limit the memory of this process, and let an input that takes too long raise HangError."""
    used = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGPROF, _stop)


def _stop(signal_number: int, frame: FrameType | None) -> None:
    raise HangError


class Search:
    """The inputs that a reader was shown so far, and its failures: the first input of each, by its name.

    `work` is a folder for what processes tell each other; it should be in memory.
    """

    def __init__(self, reader: Reader, work: Path) -> None:
        self.reader = reader
        self.failures: dict[str, bytes] = {}
        self.inputs = 0
        self._work = work
        self._current = work / "current"
        self._count = mmap.mmap(-1, 8)

    def show(self, inputs: int, start: int, until: float) -> None:
        """Show so many inputs, drawn from the seed `start`, in processes that are replaced when they die.

        `until` is the monotonic time at which to stop.
        """
        self._run(inputs, until, lambda left: self._search(left, start + self.inputs))

    def guide(self, search: Callable[[Callable[[bytes], None]], None], until: float) -> None:
        """Let `search` choose the inputs: it gets the function that shows one. Ends at the time `until`."""
        self._run(sys.maxsize, until, lambda _: search(self._shower()))

    def _run(self, inputs: int, until: float, work: Callable[[int], None]) -> None:
        crashes = 0
        while inputs > 0 and crashes < MOST_CRASHES and time.monotonic() < until:
            self._count[:] = struct.pack("<Q", 0)
            status = self._in_child(lambda left=inputs: work(left), until)  # type: ignore[misc]
            shown = self._shown()
            self.inputs, inputs = self.inputs + shown, inputs - max(shown, 1)
            for name, content in self._told():
                self.failures.setdefault(name, content)
            if status == 0 or time.monotonic() >= until:
                break
            crashes += 1
            self.failures.setdefault(self._crash(status), self._current.read_bytes())

    def _in_child(self, work: Callable[[], None], until: float) -> int:
        """Do work in a process of its own, and return its status. A process that hangs in C is killed."""
        (self._work / "failures").write_text("", encoding="ascii")
        process = os.fork()
        if process == 0:
            self._be_child(work)
        before, used = -1, 0.0
        while True:
            ended, status = os.waitpid(process, os.WNOHANG)
            if ended:
                return status
            time.sleep(0.05)
            if self._shown() != before:
                before, used = self._shown(), _cpu_seconds(process)
            if _cpu_seconds(process) - used > 3 * CPU_SECONDS or time.monotonic() > until:
                os.kill(process, signal.SIGKILL)

    def _be_child(self, work: Callable[[], None]) -> None:
        status = 70
        try:
            with (self._work / "stderr").open("wb") as errors:
                os.dup2(errors.fileno(), 2)
            faulthandler.enable()
            limit_process()
            work()
            status = 0
        except BaseException:
            traceback.print_exc(file=sys.__stderr__)
        finally:
            os._exit(status)

    def _search(self, inputs: int, start: int) -> None:
        """Show inputs: a part is drawn by the reader's strategy, and the others are changes of these."""
        show, drawn, random = self._shower(), list[bytes](), Random(start)

        def draw(content: bytes) -> None:
            drawn.append(content)
            show(content)

        options = settings(
            max_examples=max(inputs // DRAWN, 1) if self.reader.mutable else inputs,
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        seed(start)(options(given(self.reader.inputs())(draw)))()
        for _ in range(inputs - len(drawn) if self.reader.mutable else 0):
            show(mutated(random.choice(drawn), random))

    def _shower(self) -> Callable[[bytes], None]:
        """Return the function that shows an input in a child, and tells the parent of a new failure."""
        folder = Path(tempfile.mkdtemp(dir=self._work))
        seen = set(self.failures)

        def show(content: bytes) -> None:
            self._current.write_bytes(content)
            self._count[:] = struct.pack("<Q", self._shown() + 1)
            failure = outcome(self.reader, content, folder)
            if failure is not None and failure not in seen:
                seen.add(failure)
                with (self._work / "failures").open("a", encoding="ascii") as stream:
                    stream.write(json.dumps([failure, content.hex()]) + "\n")

        return show

    def _shown(self) -> int:
        count: int = struct.unpack("<Q", self._count[:])[0]
        return count

    def _told(self) -> list[tuple[str, bytes]]:
        lines = (self._work / "failures").read_text(encoding="ascii").splitlines()
        return [(name, bytes.fromhex(content)) for name, content in map(json.loads, lines)]

    def _crash(self, status: int) -> str:
        """Return a name for the end of a child: the signal, and the functions in which Python was."""
        stderr = (self._work / "stderr").read_text(encoding="utf-8", errors="replace")
        frames = re.findall(r'File "[^"]*?([^"/]+)\.py", line \d+ in (\w+)', stderr)
        where = " ← ".join(dict.fromkeys(f"{file}.{function}" for file, function in frames[:2]))
        if not os.WIFSIGNALED(status):
            return f"process exited with {os.WEXITSTATUS(status)}: {stderr[-200:]}"
        if os.WTERMSIG(status) == signal.SIGKILL:
            return "hangs, or takes all memory"
        return f"process ended by {signal.Signals(os.WTERMSIG(status)).name} in {where or 'unknown'}"


def _cpu_seconds(process: int) -> float:
    """Return the CPU time of a process so far."""
    try:
        fields = (
            Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        )
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / TICKS
