"""Imports a user's own Python file and limits what its functions do: no download, and no endless work."""

from __future__ import annotations

import importlib.util
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any, NoReturn

from edgeai_repro.errors import UserError, one_line
from edgeai_repro.files import is_file

SECONDS = 60  # a network of a billion parameters takes less, and so does the import of a large library


class LimitError(UserError):
    """A user's function did what it must not do. The message is one line, for users."""


def import_file(path: Path) -> ModuleType:
    """Return a Python file as a module. Raises UserError if it is missing or can't be imported."""
    spec = importlib.util.spec_from_file_location(path.stem, path) if is_file(path) else None
    if spec is None or spec.loader is None:
        raise UserError(f"{path}: must be a Python file (no such file); check the path")
    module = importlib.util.module_from_spec(spec)
    folder = str(path.absolute().parent)
    sys.path.insert(0, folder)  # so that it can import its neighbours, as when it is run
    try:
        spec.loader.exec_module(module)
    except LimitError:
        raise
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # whatever a stranger's code raises, such as SystemExit
        raise UserError(f"{path}: must be importable (got {one_line(error)}); fix it") from error
    finally:
        sys.path.remove(folder)
    return module


@contextmanager
def limits(where: str, seconds: float = SECONDS) -> Iterator[None]:
    """Raise LimitError inside the block if it opens a connection, or takes longer than `seconds`.

    `where` names the function in the message. The time is limited on the main thread only.
    """
    connect, look_up = socket.socket.connect, socket.getaddrinfo
    timed = threading.current_thread() is threading.main_thread()
    refused: list[str] = []

    def refuse(*_: Any, **__: Any) -> NoReturn:
        refused.append(f"{where} must not download (it opened a connection); build the network with weights=None")
        raise LimitError(refused[0])

    def stop(signal_number: int, frame: FrameType | None) -> NoReturn:
        raise LimitError(f"{where} must return within {seconds:g} s (it did not); make it faster")

    before = signal.signal(signal.SIGALRM, stop) if timed else None
    socket.socket.connect, socket.getaddrinfo = refuse, refuse  # type: ignore[method-assign]
    if timed:
        signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    except LimitError:
        raise
    except Exception:
        if refused:  # the library that downloads has turned the refusal into an error of its own
            raise LimitError(refused[0]) from None
        raise
    finally:
        if timed:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
        socket.socket.connect, socket.getaddrinfo = connect, look_up  # type: ignore[method-assign]
