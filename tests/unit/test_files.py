"""Files are read with errors in plain words, and files and folders are written whole or not at all."""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgeai_repro import files
from edgeai_repro.errors import UserError


def _yaml(folder: Path, text: str) -> Path:
    (file := folder / "file.yaml").write_text(text, encoding="utf-8")
    return file


class TestReading:
    """YAML and JSON that can't be read are refused in one line."""

    @pytest.mark.parametrize(
        ("text", "complaint"),
        [
            ("a: [1, 2", "must be valid YAML ("),
            ("a: 1\n\tb: 2", "line 2: must be valid YAML ("),
            ("a: 1\nb: 2\na: 3", "line 3: must be valid YAML (key 'a' twice); fix that line"),
            ("a: {b: 1, b: 2}", "line 1: must be valid YAML (key 'b' twice)"),
            ("? [1, 2]\n: 3", "must be valid YAML (found unhashable key)"),
            ("a: *nowhere", "must be valid YAML (found undefined alias)"),
            ("a: !!python/object:os.system x", "must be valid YAML (could not determine a constructor for the tag"),
            ("a: 2024-13-45", "must be valid YAML (month must be in 1..12); fix the file"),
            ("a: \0", "must be valid YAML (unacceptable character #x0000"),
        ],
    )
    def test_invalid_yaml_is_refused_with_file_and_line(self, tmp_path: Path, text: str, complaint: str) -> None:
        """The error names the file, the line and the problem."""
        with pytest.raises(UserError) as refused:
            files.read_yaml(_yaml(tmp_path, text))

        assert complaint in str(refused.value)
        assert str(refused.value).startswith(f"{tmp_path}/file.yaml")
        assert "\n" not in str(refused.value)

    def test_merged_yaml_key_may_be_overridden(self, tmp_path: Path) -> None:
        """A key that `<<` merges isn't a duplicate of the same key."""
        document = files.read_yaml(_yaml(tmp_path, "base: &base {a: 1, b: 2}\nmine: {<<: *base, a: 3}"))

        assert document["mine"] == {"a": 3, "b": 2}

    @pytest.mark.parametrize("read", [files.read_yaml, files.read_json])
    def test_text_that_is_not_utf8_is_refused(self, tmp_path: Path, read: Callable[[Path], Any]) -> None:
        """The error names the encoding that is expected."""
        (tmp_path / "file").write_bytes("a: é".encode("latin-1"))

        with pytest.raises(UserError, match=r"file: must be UTF-8 text \(got 'utf-8' codec can't decode"):
            read(tmp_path / "file")

    @pytest.mark.parametrize("read", [files.read_yaml, files.read_json])
    @pytest.mark.parametrize(("name", "reason"), [("none", "No such file or directory"), (".", "Is a directory")])
    def test_path_without_a_file_is_refused(
        self, tmp_path: Path, read: Callable[[Path], Any], name: str, reason: str
    ) -> None:
        """A missing file and a folder are refused with the system's reason."""
        with pytest.raises(
            UserError, match=rf"must be a readable (YAML|JSON) file \(got {reason}\); check the path"
        ):
            read(tmp_path / name)

    def test_truncated_json_is_refused(self, tmp_path: Path) -> None:
        """The error says where the JSON ends."""
        (tmp_path / "half.json").write_text('{"a": [1,', encoding="utf-8")

        with pytest.raises(UserError, match=r"half.json: must be valid JSON \(Expecting value: line 1"):
            files.read_json(tmp_path / "half.json")


class TestVerifying:
    """A file is compared with its sha256."""

    @pytest.fixture(params=[files.verify_sha256, files.read_verified])
    def verify(self, request: pytest.FixtureRequest) -> Callable[..., bytes | None]:
        """Both functions, which refuse the same files."""
        return request.param

    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        """A file of three bytes."""
        (tmp_path / "weights").write_bytes(b"abc")
        return tmp_path / "weights"

    def test_unaltered_file_is_accepted(self, path: Path, verify: Callable[..., bytes | None]) -> None:
        """The right sum and size are accepted; `read_verified` returns the content."""
        assert verify(path, hashlib.sha256(b"abc").hexdigest(), "restore it", size=3) in (None, b"abc")

    def test_bytes_without_a_recorded_sum_are_only_read(self, path: Path) -> None:
        """A file that no record lists is read as it is."""
        assert files.read_verified(path, None, "restore it") == b"abc"

    @pytest.mark.parametrize(
        ("expected", "size", "complaint"),
        [
            (hashlib.sha256(b"abd").hexdigest(), None, r"must have the sha256 \w{12}… \(got ba7816bf8f01…\)"),
            (hashlib.sha256(b"abc").hexdigest(), 4, r"must have 4 bytes \(got 3\)"),
        ],
    )
    def test_altered_or_truncated_file_is_refused(
        self, path: Path, verify: Callable[..., bytes | None], expected: str, size: int | None, complaint: str
    ) -> None:
        """The error begins with the path and ends with the caller's hint."""
        with pytest.raises(UserError, match=rf"^{path}: {complaint}; restore it$"):
            verify(path, expected, "restore it", size=size)

    def test_missing_file_and_folder_are_refused(self, tmp_path: Path, verify: Callable[..., bytes | None]) -> None:
        """A missing file is reported as missing, a folder as unreadable."""
        with pytest.raises(UserError, match=r"none: is missing; restore it$"):
            verify(tmp_path / "none", "0" * 64, "restore it")
        with pytest.raises(UserError, match=r"must be readable \(got Is a directory\); restore it$"):
            verify(tmp_path, "0" * 64, "restore it")


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
