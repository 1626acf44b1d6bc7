"""Temporary files and folders that become others when they are whole. What killed processes left is removed.

A process holds a lock on what it writes. The kernel releases the lock when the process ends, however it ends, so a
temporary file without a lock is left over.
"""

from __future__ import annotations

import atexit
import filecmp
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO

_RANDOM = 4  # bytes of a temporary name
_FOLDER = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_NOFOLLOW", 0)


@contextmanager
def temporary_file(path: Path) -> Iterator[tuple[Path, IO[bytes]]]:
    """Yield a new file next to `path` and its path. It is removed at the end unless the block has moved it.

    Files that killed processes left there for the same path are removed first. Raises OSError.
    """
    remove_leftovers(path)
    while True:
        temporary = _temporary_path(path)
        with temporary.open("xb") as stream:
            if not _keep_lock(stream.fileno(), temporary):
                continue
            try:
                yield temporary, stream
            finally:
                temporary.unlink(missing_ok=True)
        return


@contextmanager
def temporary_folder(path: Path | None = None) -> Iterator[Path]:
    """Yield a new folder, which only its owner can read. It is removed at the end with all it holds.

    It lies next to `path`, by default where the system keeps temporary files. Folders that killed processes left
    there for the same path are removed first. Raises OSError.
    """
    if path is None:
        path = Path(tempfile.gettempdir()) / "edgeai-repro"
    remove_leftovers(path)
    while True:
        temporary = _temporary_path(path)
        temporary.mkdir(mode=0o700)
        descriptor = _open_folder(temporary)
        try:
            if descriptor is not None and not _keep_lock(descriptor, temporary):
                continue
            try:
                yield temporary
            finally:
                shutil.rmtree(temporary, ignore_errors=True)
        finally:
            if descriptor is not None:
                os.close(descriptor)
        return


def kept_until_exit() -> Path:
    """Return a new temporary folder, as `temporary_folder` makes it. It is removed when this process ends."""
    stack = ExitStack()
    atexit.register(stack.close)
    return stack.enter_context(temporary_folder())


def differing_file(path: Path, expected: Path) -> str | None:
    """Return the first name of which two folders don't have equal files, None if there is none. Links differ."""
    for name in sorted({file.name for folder in (path, expected) for file in folder.iterdir()}):
        pair = path / name, expected / name
        if any(file.is_symlink() or not file.is_file() for file in pair) or not filecmp.cmp(*pair, shallow=False):
            return name
    return None


def remove_leftovers(path: Path) -> None:
    """Remove the temporary files and folders of a path whose processes have ended. What can't be removed stays."""
    name = re.compile(rf"\.{re.escape(path.name)}\.[0-9a-f]{{{2 * _RANDOM}}}")
    with suppress(OSError):
        for entry in list(os.scandir(path.parent)):
            if name.fullmatch(entry.name) and not entry.is_symlink():
                with suppress(OSError):
                    _remove_unless_locked(Path(entry.path))


def _temporary_path(path: Path) -> Path:
    return path.with_name(f".{path.name}.{secrets.token_hex(_RANDOM)}")


def _open_folder(folder: Path) -> int | None:
    """Return a descriptor of a folder, None where the system has none (Windows)."""
    return os.open(folder, _FOLDER) if hasattr(os, "O_DIRECTORY") else None


def _keep_lock(descriptor: int, path: Path) -> bool:
    """Lock a new file or folder while it is open; return whether it is still there.

    Another process may have found it before it was locked, and removed it.
    """
    with suppress(ImportError, OSError):  # no locks on Windows, and on some network file systems
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _remove_unless_locked(path: Path) -> None:
    """Remove a file or folder that no process has locked. Raises OSError if one has, or if there are no locks."""
    try:
        import fcntl
    except ImportError:
        return
    is_folder = path.is_dir()
    descriptor = os.open(path, _FOLDER if is_folder else os.O_RDONLY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if is_folder:
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink()
    finally:
        os.close(descriptor)
