"""Reads YAML and JSON, and writes files and folders whole or not at all."""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, TypeVar

import yaml

from edgeai_repro import limits
from edgeai_repro.errors import UserError, one_line
from edgeai_repro.parsing import compose_yaml, parse_json, parse_yaml
from edgeai_repro.temporary import differing_file, temporary_file, temporary_folder

Content = TypeVar("Content")


def read_yaml(path: Path) -> Any:
    """Return the content of a YAML file. Raises UserError if it can't be read or parsed, or exceeds a limit."""
    return _read_yaml(path, parse_yaml)


def read_yaml_nodes(path: Path) -> yaml.Node | None:
    """Return the nodes of a YAML file that `read_yaml` has read, with their lines. Raises as `read_yaml`."""
    return _read_yaml(path, compose_yaml)


def _read_yaml(path: Path, parse: Callable[[str], Content]) -> Content:
    try:
        return parse(read_text(path, limits.YAML_BYTES, "YAML"))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line = f", line {mark.line + 1}" if mark else ""
        raise UserError(f"{path}{line}: must be valid YAML ({error.problem}); fix that line") from None
    except ValueError as error:
        raise UserError(f"{path}: must be valid YAML ({error}); fix the file") from None


def read_json(path: Path, content: bytes | None = None) -> Any:
    """Return the content of a JSON file. Raises UserError if it can't be read or parsed, or exceeds a limit.

    `content` are the bytes of the file, if they were read before.
    """
    try:
        return parse_json(read_text(path, limits.JSON_BYTES, "JSON", content=content))
    except ValueError as error:
        raise UserError(f"{path}: must be valid JSON ({error}); fix the file") from None


def read_bytes(path: Path, limit: int, hint: str, form: str = "", *, follow: bool = True) -> bytes:
    """Return the bytes of a file of at most `limit` bytes; `form` says in the message what the file must be.

    Raises UserError, with `hint` as the next step, for a larger file, a folder, and anything else that is no file.
    A pipe of the shell, which lies under /dev, is read up to the limit. Without `follow`, a link is refused.
    """
    try:
        size = file_size(path)
        if size <= limit:
            with open(path, "rb", opener=None if follow else open_no_link) as stream:
                content = stream.read() if size >= 0 else _first_bytes(stream, limit + 1)
            size = len(content)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise unreadable(path, error, hint, form) from None
    if size > limit:
        raise UserError(f"{path}: must have at most {limit} bytes (got {size}); {hint}")
    return content


def open_no_link(path: str, flags: int) -> int:
    """Open a file for `open(opener=…)`. Raises OSError for a link."""
    try:
        return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0))
    except OSError as error:
        raise OSError(error.errno, "a link") if error.errno == errno.ELOOP else error from None


def file_size(path: Path) -> int:
    """Return the size of a file, −1 for a pipe of the shell. Raises OSError for what isn't a file."""
    status = path.stat()
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, "Is a directory")
    if stat.S_ISREG(status.st_mode):
        return status.st_size
    if path.is_relative_to("/dev"):
        return -1
    raise OSError(errno.EINVAL, "a pipe or a device")  # reading it might never end


def _first_bytes(stream: IO[bytes], count: int) -> bytes:
    """Return at most `count` bytes of a stream, without memory for more than it has."""
    content = bytearray()
    while len(content) < count and (part := stream.read(min(2**20, count - len(content)))):
        content += part
    return bytes(content)


def is_file(path: Path) -> bool:
    """Return whether a path is that of a file; a path that the system refuses, such as one with a NUL, is not."""
    with suppress(OSError, ValueError):
        return path.is_file()
    return False


def is_folder(path: Path) -> bool:
    """Return whether a path is that of a folder; a path that the system refuses, such as one with a NUL, is not."""
    with suppress(OSError, ValueError):
        return path.is_dir()
    return False


def read_text(
    path: Path, limit: int, form: str, hint: str = "check the path", *, content: bytes | None = None
) -> str:
    """Return the text of a file of at most `limit` bytes of UTF-8. Raises UserError as `read_bytes` does."""
    try:
        return (read_bytes(path, limit, hint, form) if content is None else content).decode("utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: must be UTF-8 text (got {error}); save it as UTF-8") from None


def unreadable(path: Path, error: OSError | ValueError, hint: str, form: str = "") -> UserError:
    """Return the error for a file that can't be read, with `hint` as the next step for the user."""
    if isinstance(error, FileNotFoundError) and not form:
        return UserError(f"{path}: is missing; {hint}")
    reason = (error.strerror if isinstance(error, OSError) else None) or one_line(error)
    return UserError(f"{path}: must be {f'a readable {form} file' if form else 'readable'} (got {reason}); {hint}")


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all. Raises UserError if it can't be written."""
    with atomic_write(path) as stream:
        stream.write(text.encode())


def check_writable(path: Path) -> None:
    """Raise UserError early if a file can't be written at `path`."""
    if path.is_dir():
        raise UserError(f"{path}: must be a file's path (got a folder); add a file name")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):  # without a name, so that nothing can be left of it
            pass
    except OSError as error:
        raise _not_writable(path, error) from None


@contextmanager
def atomic_write(path: Path) -> Iterator[IO[bytes]]:
    """Open a temporary file next to `path`, and move it to `path` if the block ends without an exception.

    Raises UserError if the folder can't be written or the disk is full; an old file at `path` is then unchanged.
    What killed processes left of the same file is removed.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary_file(path) as (temporary, stream):
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
            temporary.replace(path)
    except OSError as error:
        raise _not_writable(path, error) from None


@contextmanager
def atomic_folder(path: Path, *, finished: str = "") -> Iterator[Path]:
    """Yield an empty folder next to `path`, and move it to `path` if the block ends without an exception.

    Raises UserError if `path` exists or can't be written. A folder that has the file `finished` may exist: it stays
    if the block has written the same files, and is refused if not. Nothing is left of an interrupted block, and
    what killed processes left of the same folder is removed.
    """
    if path.exists() and not (finished and (path / finished).is_file()):
        raise UserError(f"{path}: must not exist yet (got a file or folder); remove it, or choose another path")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary_folder(path) as temporary:
            folder = temporary / path.name
            folder.mkdir()
            yield folder
            if not (finished and path.exists()):
                folder.rename(path)
            elif name := differing_file(path, folder):  # of a folder that was there, or of a faster process
                raise UserError(
                    f"{path}: must not exist yet, or have the same content (got another {name}); remove it, or "
                    "choose another path"
                )
    except OSError as error:
        raise _not_writable(path, error) from None


def _not_writable(path: Path, error: OSError) -> UserError:
    reason = error.strerror or one_line(error)
    return UserError(f"{path}: must be writable (got {reason}); free space or choose another path")
