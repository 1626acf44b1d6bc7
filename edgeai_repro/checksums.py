"""Compares files with their sha256 sums: those that stay, those that are read, and those that are copied."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from edgeai_repro import limits
from edgeai_repro.errors import UserError
from edgeai_repro.files import file_size, open_no_link, read_bytes, unreadable


def sha256(path: Path, *, follow: bool = True) -> str:
    """Return the sha256 of a file, in hexadecimal. Raises OSError if it isn't one, or a link without `follow`."""
    file_size(path)
    with open(path, "rb", opener=None if follow else open_no_link) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def verify_sha256(path: Path, expected: str, hint: str, *, size: int | None = None, follow: bool = True) -> None:
    """Raise UserError unless a file has the sha256 `expected`, and `size` bytes if given.

    `hint` is the next step for the user. Without `follow`, a link is refused.
    """
    try:
        _compare(path, path.stat().st_size, sha256(path, follow=follow), expected, hint, size)
    except (OSError, ValueError) as error:
        raise unreadable(path, error, hint) from None


def read_verified(
    path: Path, expected: str | None, hint: str, *, size: int | None = None, follow: bool = True
) -> bytes:
    """Return the bytes of a file, read once and then checked as `verify_sha256` does; unchecked with None."""
    content = read_bytes(path, limits.WEIGHT_BYTES if size is None else size, hint, follow=follow)
    _compare(path, len(content), hashlib.sha256(content).hexdigest(), expected, hint, size)
    return content


def copy_verified(path: Path, target: Path, expected: str, hint: str, *, size: int) -> None:
    """Copy a file to `target`, and check the bytes that were copied as `verify_sha256` does. A link is refused.

    Raises OSError if `target` exists or can't be written.
    """
    digest, copied = hashlib.sha256(), 0
    with target.open("xb") as copy:
        for block in _blocks(path, hint):
            digest.update(block)
            copied += copy.write(block)
            if copied > size:
                break
    _compare(path, copied, digest.hexdigest(), expected, hint, size)


def _blocks(path: Path, hint: str) -> Iterator[bytes]:
    """Yield the content of a file in parts of 1 MiB. Raises UserError for a link, and if it can't be read."""
    try:
        file_size(path)
        with open(path, "rb", opener=open_no_link) as stream:
            while block := stream.read(2**20):
                yield block
    except (OSError, ValueError) as error:
        raise unreadable(path, error, hint) from None


def _compare(
    path: Path, size: int, digest: str, expected: str | None, hint: str, expected_size: int | None
) -> None:
    if expected_size is not None and size != expected_size:
        raise UserError(f"{path}: must have {expected_size} bytes (got {size}); {hint}")
    if expected is not None and digest != expected:
        raise UserError(f"{path}: must have the sha256 {expected[:12]}… (got {digest[:12]}…); {hint}")
