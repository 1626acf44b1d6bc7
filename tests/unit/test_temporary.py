"""What killed processes left is removed by the next one that writes there; what a living one writes is not."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from edgeai_repro import files
from edgeai_repro.temporary import remove_leftovers

WRITER = """
import sys, time
from pathlib import Path
from edgeai_repro import files

with files.{function}(Path({path!r})) as written:
    if isinstance(written, Path):
        (written / "half").write_text("half")
    else:
        written.write(b"half")
        written.flush()
    print("writing", flush=True)
    time.sleep(600)
"""


@contextmanager
def writing(function: str, path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that is in the middle of writing a file or folder."""
    code = WRITER.format(function=function, path=str(path))
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "writing\n"
        yield process
        process.kill()


@pytest.mark.parametrize("function", ["atomic_write", "atomic_folder"])
def test_leftover_of_a_killed_process_is_removed_and_a_living_one_keeps_its_own(
    tmp_path: Path, function: str
) -> None:
    """The next write of the same path removes the one and not the other."""
    path = tmp_path / "out"
    with writing(function, path) as process:
        (temporary,) = tmp_path.iterdir()

        remove_leftovers(path)

        assert list(tmp_path.iterdir()) == [temporary], "a living process must keep what it writes"

        process.send_signal(signal.SIGKILL)
        process.wait()
        assert list(tmp_path.iterdir()) == [temporary]

        files.write_text(path, "whole")

    assert list(tmp_path.iterdir()) == [path]


def test_only_temporary_names_of_the_same_path_are_removed(tmp_path: Path) -> None:
    """Other hidden files stay, and so does a link."""
    kept = [".out.original", ".other.0123abcd", "out.0123abcd", ".out.0123abcde"]
    for name in [*kept, ".out.0123abcd"]:
        (tmp_path / name).touch()
    (tmp_path / ".out.aaaaaaaa").symlink_to(tmp_path / kept[0])

    files.write_text(tmp_path / "out", "whole")

    assert {path.name for path in tmp_path.iterdir()} == {*kept, "out", ".out.aaaaaaaa"}


def test_file_that_is_removed_before_it_is_locked_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process may find a new file before its lock, and take it for a leftover."""
    import fcntl

    lock, removed = fcntl.flock, []

    def late(descriptor: int, operation: int) -> None:
        if not removed:
            removed.extend(tmp_path.iterdir())
            removed[0].unlink()
        lock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", late)

    files.write_text(tmp_path / "out", "whole")

    assert (tmp_path / "out").read_text(encoding="utf-8") == "whole"
    assert list(tmp_path.iterdir()) == [tmp_path / "out"]
