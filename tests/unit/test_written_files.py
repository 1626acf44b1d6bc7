"""Files and folders are written whole or not at all."""

from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgeai_repro import files
from edgeai_repro.errors import UserError


class TestWriting:
    """A file takes its place whole."""

    def test_text_is_written_with_the_usual_mode(self, tmp_path: Path) -> None:
        """Missing folders are made, and the file has the mode of other new files."""
        (tmp_path / "other").touch()

        files.write_text(tmp_path / "new" / "folder" / "out.json", "β\n")

        assert (tmp_path / "new" / "folder" / "out.json").read_bytes() == "β\n".encode()
        modes = [stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "other", *tmp_path.rglob("out.json"))]
        assert modes[0] == modes[1]

    def test_reader_of_the_old_file_goes_on_reading_it(self, tmp_path: Path) -> None:
        """The new file replaces the old one in one step."""
        out = tmp_path / "out.json"
        out.write_text("old", encoding="utf-8")

        with out.open(encoding="utf-8") as reader:
            files.write_text(out, "new")

            assert reader.read() == "old"
        assert out.read_text(encoding="utf-8") == "new"

    @pytest.mark.parametrize("interruption", [KeyboardInterrupt, ValueError])
    def test_interrupted_write_leaves_the_old_file(self, tmp_path: Path, interruption: type[BaseException]) -> None:
        """The old file is unchanged and nothing else is left in its folder."""
        out = tmp_path / "out.json"
        out.write_text("old", encoding="utf-8")

        def write() -> None:
            with files.atomic_write(out) as stream:
                stream.write(b"half")
                stream.flush()
                raise interruption

        with pytest.raises(interruption):
            write()

        assert out.read_text(encoding="utf-8") == "old"
        assert list(tmp_path.iterdir()) == [out]

    @pytest.mark.parametrize("write", [files.atomic_write, files.atomic_folder])
    def test_full_disk_is_reported_and_nothing_is_left(self, tmp_path: Path, write: Callable[[Path], Any]) -> None:
        """The error names the path and the next step."""
        with (
            pytest.raises(UserError, match=r"out: must be writable \(got No space left on device\); free space"),
            write(tmp_path / "out"),
        ):
            raise OSError(28, "No space left on device")

        assert list(tmp_path.iterdir()) == []

    def test_checking_a_path_changes_nothing(self, tmp_path: Path) -> None:
        """The check leaves no file behind and an existing file unchanged."""
        (tmp_path / "there").write_text("old", encoding="utf-8")

        files.check_writable(tmp_path / "there")
        files.check_writable(tmp_path / "absent")

        assert [path.name for path in tmp_path.iterdir()] == ["there"]
        assert (tmp_path / "there").read_text(encoding="utf-8") == "old"

    def test_folder_is_not_a_writable_file(self, tmp_path: Path) -> None:
        """A folder is refused as the path of a file."""
        with pytest.raises(UserError, match=r"must be a file's path \(got a folder\); add a file name"):
            files.check_writable(tmp_path)

    @pytest.mark.parametrize("attempt", [files.check_writable, lambda path: files.write_text(path, "text")])
    def test_path_below_a_file_is_refused(self, tmp_path: Path, attempt: Callable[[Path], None]) -> None:
        """A file can't contain another file."""
        (tmp_path / "file").touch()

        with pytest.raises(UserError, match=r"file/out.json: must be writable \(got .*\); free space or choose"):
            attempt(tmp_path / "file" / "out.json")


class TestFolders:
    """A folder takes its place whole."""

    def test_folder_appears_when_the_block_has_ended(self, tmp_path: Path) -> None:
        """The files are written next to the path, and moved there at the end; missing parents are made."""
        path = tmp_path / "new" / "bundle"

        with files.atomic_folder(path) as folder:
            (folder / "file").write_text("whole", encoding="utf-8")
            assert not path.exists()

        assert (path / "file").read_text(encoding="utf-8") == "whole"
        assert list(path.parent.iterdir()) == [path]

    @pytest.mark.parametrize("interruption", [KeyboardInterrupt, ValueError])
    def test_interrupted_block_leaves_nothing(self, tmp_path: Path, interruption: type[BaseException]) -> None:
        """Neither the folder nor its temporary files remain."""

        def write() -> None:
            with files.atomic_folder(tmp_path / "bundle") as folder:
                (folder / "file").touch()
                raise interruption

        with pytest.raises(interruption):
            write()

        assert list(tmp_path.iterdir()) == []

    def test_existing_folder_is_refused_before_the_work(self, tmp_path: Path) -> None:
        """The block isn't entered if the path exists."""
        with (
            pytest.raises(UserError, match=r"must not exist yet \(got a file or folder\); remove it, or choose"),
            files.atomic_folder(tmp_path),
        ):
            pytest.fail("the block was entered")

    def test_folder_made_by_another_process_meanwhile_is_kept(self, tmp_path: Path) -> None:
        """Whoever is first wins; the second is refused."""
        path = tmp_path / "bundle"

        def write() -> None:
            with files.atomic_folder(path):
                path.mkdir()
                (path / "theirs").touch()

        with pytest.raises(UserError, match=r"bundle: must be writable"):
            write()

        assert [file.name for file in tmp_path.rglob("*")] == ["bundle", "theirs"]

    def test_finished_folder_with_the_same_content_stays(self, tmp_path: Path) -> None:
        """A folder that was finished before is recognised: the block ends well, and the files are untouched."""
        for _ in range(2):
            with files.atomic_folder(tmp_path / "bundle", finished="manifest") as folder:
                (folder / "manifest").write_text("same", encoding="utf-8")
            before = (tmp_path / "bundle" / "manifest").stat().st_ino

        assert (tmp_path / "bundle" / "manifest").stat().st_ino == before
        assert [path.name for path in tmp_path.rglob("*")] == ["bundle", "manifest"]

    @pytest.mark.parametrize("difference", ["changed", "more", "fewer", "link"])
    def test_finished_folder_with_other_content_is_refused(self, tmp_path: Path, difference: str) -> None:
        """The error names the file that differs; the folder stays as it was."""
        path = tmp_path / "bundle"
        path.mkdir()
        (path / "manifest").write_text("same", encoding="utf-8")
        if difference == "changed":
            (path / "weights").write_text("sane", encoding="utf-8")
        if difference == "link":
            (tmp_path / "elsewhere").write_text("same", encoding="utf-8")
            (path / "weights").symlink_to(tmp_path / "elsewhere")

        def write() -> None:
            with files.atomic_folder(path, finished="manifest") as folder:
                (folder / "manifest").write_text("same", encoding="utf-8")
                if difference != "more":
                    (folder / "weights").write_text("same", encoding="utf-8")
                else:
                    (path / "weights").write_text("same", encoding="utf-8")

        with pytest.raises(UserError, match=r"bundle: must not exist yet, or have .* \(got another weights\)"):
            write()

        assert [file.name for file in path.parent.glob(".*")] == []
