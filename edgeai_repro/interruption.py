"""Ctrl-C: a command ends with one line, within two seconds even while a library computes."""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

from edgeai_repro.errors import Interrupted

GRACE = 1.6  # seconds that a command has for what it still does after Ctrl-C
STEP = 0.8  # seconds of it that a step may take to its end
EXIT = 130  # the status of a command that SIGINT ended, as in a shell
LINE = "edgeai-repro: interrupted"


@contextmanager
def interruptible() -> Iterator[None]:
    """Raise Interrupted in the block at Ctrl-C, and end the process if the block goes on for `GRACE` seconds."""
    handler = signal.signal(signal.SIGINT, _interrupt)
    try:
        with watched(_end):
            yield
    finally:
        signal.signal(signal.SIGINT, handler)


@contextmanager
def watched(late: Callable[[], None], *, only_blocked: bool = False) -> Iterator[None]:
    """Call `late` if the block goes on for `GRACE` seconds after Ctrl-C. Elsewhere than on the main thread, don't.

    While a library computes, Python raises nothing, so a thread waits for the signal, too. With `only_blocked`, a
    block that has gone on from where it was is left alone: its code may have caught the interruption.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    waiting, woken = os.pipe()
    os.set_blocking(woken, False)
    earlier = signal.set_wakeup_fd(woken, warn_on_full_buffer=False)
    threading.Thread(target=_watch, args=(waiting, late, only_blocked), daemon=True).start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(earlier)
        os.close(woken)  # ends the thread


class Postponed:
    """Whether Ctrl-C was pressed in a block of `step_to_its_end`."""

    asked = False


@contextmanager
def step_to_its_end(seconds: float = STEP) -> Iterator[Postponed]:
    """Postpone Ctrl-C in the block: `asked` becomes true, and only `seconds` later Interrupted is raised.

    So a step may end whose half would be lost. Elsewhere than in a command on the main thread, nothing changes.
    """
    postponed = Postponed()

    def ask(number: int, frame: FrameType | None) -> None:
        postponed.asked = True
        signal.setitimer(signal.ITIMER_REAL, seconds)

    if (
        threading.current_thread() is not threading.main_thread()
        or signal.getsignal(signal.SIGINT) is not _interrupt
    ):
        yield postponed
        return
    signal.signal(signal.SIGINT, ask)
    alarm = signal.signal(signal.SIGALRM, _interrupt)
    try:
        yield postponed
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, alarm)
        signal.signal(signal.SIGINT, _interrupt)


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    raise Interrupted


def _watch(waiting: int, late: Callable[[], None], only_blocked: bool) -> None:
    """Wait for the numbers of signals; call `late` if the block goes on for `GRACE` seconds after SIGINT."""
    with os.fdopen(waiting, "rb", buffering=0) as signals:
        while number := signals.read(1):
            if number == bytes([signal.SIGINT]):
                before = _place()
                ended, _, _ = select.select([signals], [], [], GRACE)
                if not ended and (not only_blocked or _place() == before):
                    late()


def _place() -> tuple[FrameType | None, int]:
    """Return the frame that the main thread runs, and its instruction there."""
    frame = sys._current_frames().get(threading.main_thread().ident or 0)
    return frame, -1 if frame is None else frame.f_lasti


def _end() -> NoReturn:
    os.write(2, f"{LINE}\n".encode())  # Python's own stream may be locked
    os._exit(EXIT)
