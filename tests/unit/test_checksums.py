"""Files are compared with their sha256: where they lie, when they are read, and when they are copied."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from edgeai_repro import checksums
from edgeai_repro.errors import UserError

CONTENT = b"abc" * 2**19  # more than one part of a copy
SIZE = len(CONTENT)
SUM = hashlib.sha256(CONTENT).hexdigest()
OTHER_SUM = hashlib.sha256(b"abd").hexdigest()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file of CONTENT."""
    (tmp_path / "weights").write_bytes(CONTENT)
    return tmp_path / "weights"


def copied(path: Path, expected: str, hint: str, *, size: int = SIZE) -> bytes:
    """Copy a file and return the content of the copy."""
    target = path.with_name("copy")
    checksums.copy_verified(path, target, expected, hint, size=size)
    return target.read_bytes()


@pytest.fixture(params=[checksums.verify_sha256, checksums.read_verified, copied])
def verify(request: pytest.FixtureRequest) -> Callable[..., bytes | None]:
    """Each of the functions, which refuse the same files."""
    return request.param


def test_unaltered_file_is_accepted(path: Path, verify: Callable[..., bytes | None]) -> None:
    """The right sum and size are accepted; what is read or copied is the content."""
    assert verify(path, SUM, "restore it", size=SIZE) in (None, CONTENT)


def test_bytes_without_a_recorded_sum_are_only_read(path: Path) -> None:
    """A file that no record lists is read as it is."""
    assert checksums.read_verified(path, None, "restore it") == CONTENT


@pytest.mark.parametrize(
    ("expected", "size", "complaint"),
    [
        (OTHER_SUM, SIZE, rf"must have the sha256 {OTHER_SUM[:12]}… \(got {SUM[:12]}…\)"),
        (SUM, SIZE + 1, rf"must have {SIZE + 1} bytes \(got {SIZE}\)"),
    ],
)
def test_altered_or_truncated_file_is_refused(
    path: Path, verify: Callable[..., bytes | None], expected: str, size: int, complaint: str
) -> None:
    """The error begins with the path and ends with the caller's hint."""
    with pytest.raises(UserError, match=rf"^{path}: {complaint}; restore it$"):
        verify(path, expected, "restore it", size=size)


def test_no_more_of_a_file_is_copied_than_its_size_needs(path: Path) -> None:
    """A file that grows without end would fill the disk."""
    with pytest.raises(UserError, match=rf"^{path}: must have 3 bytes \(got \d+\); restore it$"):
        copied(path, SUM, "restore it", size=3)

    assert path.with_name("copy").stat().st_size < SIZE


def test_missing_file_and_folder_are_refused(tmp_path: Path, verify: Callable[..., bytes | None]) -> None:
    """A missing file is reported as missing, a folder as unreadable."""
    with pytest.raises(UserError, match=r"none: is missing; restore it$"):
        verify(tmp_path / "none", SUM, "restore it")
    (tmp_path / "copy").unlink(missing_ok=True)
    (tmp_path / "folder").mkdir()
    with pytest.raises(UserError, match=r"must be readable \(got Is a directory\); restore it$"):
        verify(tmp_path / "folder", SUM, "restore it")


def test_link_is_not_copied(path: Path) -> None:
    """It may lead to a file outside."""
    link = path.with_name("link")
    link.symlink_to(path)

    with pytest.raises(UserError, match=r"link: must be readable \(got a link\); restore it$"):
        copied(link, SUM, "restore it")


def test_existing_file_is_not_replaced_by_a_copy(path: Path) -> None:
    """Who put it there may hold it open."""
    path.with_name("copy").write_bytes(b"old")

    with pytest.raises(FileExistsError):
        copied(path, SUM, "restore it")
    assert path.with_name("copy").read_bytes() == b"old"
