"""Reading YAML and JSON, and writing files whole or not at all."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Literal

import pytest
from pydantic import Field

from edgeai_repro import files
from edgeai_repro.errors import UserError
from edgeai_repro.evidence.measurement import Frozen, Interval


class Leaf(Frozen):
    """An entry of a list."""

    id: str
    size: float = 0.0
    kind: Literal["evergreen", "deciduous"] = "deciduous"


class Tree(Frozen):
    """A small schema."""

    leaves: list[Leaf] = Field([])
    trunk: Interval | None = None
    labels: dict[str, str] = Field({})
    sizes: list[int | str] = Field([])


def _yaml(folder: Path, text: str) -> Path:
    file = folder / "file.yaml"
    file.write_text(text, encoding="utf-8")
    return file


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("a: [1, 2", "must be valid YAML ("),
        ("a: 1\n\tb: 2", "line 2: must be valid YAML ("),
        ("a: 1\nb: 2\na: 3", "line 3: must be valid YAML (key 'a' twice); mend that line"),
        ("a: {b: 1, b: 2}", "line 1: must be valid YAML (key 'b' twice)"),
        ("? [1, 2]\n: 3", "must be valid YAML (found unhashable key)"),
        ("a: *nowhere", "must be valid YAML (found undefined alias)"),
        ("a: !!python/object:os.system x", "must be valid YAML (could not determine a constructor for the tag"),
        ("a: 2024-13-45", "must be valid YAML (month must be in 1..12); mend the file"),
        ("a: \0", "must be valid YAML (unacceptable character #x0000"),
    ],
)
def test_yaml_refused(tmp_path: Path, text: str, complaint: str) -> None:
    """Raises UserError with file, line and problem, in one line, for what YAML doesn't allow."""
    with pytest.raises(UserError) as refused:
        files.read_yaml(_yaml(tmp_path, text))

    assert complaint in str(refused.value)
    assert str(refused.value).startswith(f"{tmp_path}/file.yaml")
    assert "\n" not in str(refused.value)


def test_yaml_merges(tmp_path: Path) -> None:
    """A merged mapping may be overridden key by key: that is no key twice."""
    read = files.read_yaml(_yaml(tmp_path, "base: &base {a: 1, b: 2}\nmine: {<<: *base, a: 3}"))

    assert read["mine"] == {"a": 3, "b": 2}


def test_yaml_encoding(tmp_path: Path) -> None:
    """Raises UserError for a file that isn't UTF-8."""
    (tmp_path / "file.yaml").write_bytes("a: é".encode("latin-1"))

    with pytest.raises(
        UserError, match=r"file.yaml: must be a readable UTF-8 file \(got 'utf-8' codec can't decode"
    ):
        files.read_yaml(tmp_path / "file.yaml")


@pytest.mark.parametrize("read", [files.read_yaml, files.read_json])
def test_absent(tmp_path: Path, read: object) -> None:
    """Raises UserError for a file that isn't there, and for a folder."""
    assert callable(read)
    with pytest.raises(UserError, match=r"none: must be a readable .* \(got No such file or directory\); check"):
        read(tmp_path / "none")
    with pytest.raises(UserError, match=r"must be a readable .* \(got Is a directory\); check the path"):
        read(tmp_path)


def test_json_refused(tmp_path: Path) -> None:
    """Raises UserError for half a JSON file."""
    (tmp_path / "half.json").write_text('{"a": [1,', encoding="utf-8")

    with pytest.raises(UserError, match=r"half.json: must be a readable JSON file \(got Expecting value: line 1"):
        files.read_json(tmp_path / "half.json")


@pytest.mark.parametrize(
    ("document", "complaint"),
    [
        ({"laeves": []}, "'laeves' must be a known key (got [] for it); did you mean 'leaves'?"),
        ({"leaves": [{"id": "oak", "sise": 1}]}, "leaves oak: 'sise' must be a known key (got 1 for it); did you"),
        ({"trunk": {"vlaue": 1}}, "'trunk.vlaue' must be a known key (got 1 for it); did you mean 'value'?"),
        ({"leaves": [{}]}, "leaves number 1: 'id' must be given (got nothing); add it"),
        ({"leaves": ["oak"]}, "leaves number 1 must fit: input should be a valid dictionary"),
        ({"leaves": [{"id": "oak", "size": "big"}]}, "leaves oak: 'size' must fit: input should be a valid number"),
        ({"leaves": 3}, "'leaves' must fit: input should be a valid list (got 3); mend it"),
        (
            {"leaves": [{"id": "oak"}, {"id": "elm", "kind": "shrub"}]},
            "leaves elm: 'kind' must be known (got 'shrub'",
        ),
        (
            {"leaves": [{"id": "oak", "kind": "ever-green"}]},
            "(got 'ever-green'; did you mean 'evergreen'?); mend it",
        ),
        ({"leaves": [{"id": "oak", "size": ["y" * 500]}]}, "yyy…); mend it"),
        (
            {"trunk": {"value": 3, "low": 4, "high": 5}},
            "'value' must lie in [low, high] (got 4.0 ≤ 3.0 ≤ 5.0); mend",
        ),
        ({"leaves": [{}, {}]}, "(and 1 more)"),
        ({True: 1}, "key True must be text; put it in quotes"),
        ({"labels": {1: "one"}}, "key 1 must be text; put it in quotes"),
        ({"leaves": [{"id": "a\nb", "size": "big"}]}, "leaves a b: 'size' must fit"),
        ({"sizes": [[1]]}, "sizes number 1 must fit: input should be a valid"),
        (None, "must fit: input should be a valid dictionary or instance of Tree (got None)"),
    ],
)
def test_validated(document: object, complaint: str) -> None:
    """Raises UserError with place, rule, what came and what to do, in one short line."""
    with pytest.raises(UserError) as refused:
        files.parse_as(Tree, document, Path("file.yaml"))

    line = str(refused.value)
    assert complaint in line
    assert line.startswith("file.yaml: ")
    assert "\n" not in line
    assert len(line) < 250


class TestWriting:
    """Files take their place whole."""

    def test_written(self, tmp_path: Path) -> None:
        """The text arrives, in folders made for it, with the mode that other new files have."""
        (tmp_path / "other").touch()

        files.write_text(tmp_path / "new" / "folder" / "out.json", "β\n")

        assert (tmp_path / "new" / "folder" / "out.json").read_bytes() == "β\n".encode()
        modes = [stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "other", *tmp_path.rglob("out.json"))]
        assert modes[0] == modes[1]

    def test_replaced(self, tmp_path: Path) -> None:
        """A new file takes the old one's place at once: who reads the old one goes on reading it."""
        out = tmp_path / "out.json"
        out.write_text("old", encoding="utf-8")

        with out.open(encoding="utf-8") as reader:
            files.write_text(out, "new")

            assert reader.read() == "old"
        assert out.read_text(encoding="utf-8") == "new"

    @pytest.mark.parametrize("interruption", [KeyboardInterrupt, ValueError])
    def test_interrupted(self, tmp_path: Path, interruption: type[BaseException]) -> None:
        """What is interrupted half-way leaves the old file as it was, and nothing beside it."""
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

    def test_disk_full(self, tmp_path: Path) -> None:
        """Raises UserError, and leaves nothing, where the disk is full."""
        with (
            pytest.raises(UserError, match=r"out: must be writable \(got No space left on device\); free space"),
            files.atomic_write(tmp_path / "out"),
        ):
            raise OSError(28, "No space left on device")

        assert list(tmp_path.iterdir()) == []

    def test_trial(self, tmp_path: Path) -> None:
        """Trying whether a file could be written leaves no trace, nor touches one that is there."""
        (tmp_path / "there").write_text("old", encoding="utf-8")

        files.check_writable(tmp_path / "there")
        files.check_writable(tmp_path / "absent")

        assert [path.name for path in tmp_path.iterdir()] == ["there"]
        assert (tmp_path / "there").read_text(encoding="utf-8") == "old"

    def test_folder(self, tmp_path: Path) -> None:
        """Raises UserError if the path is a folder."""
        with pytest.raises(UserError, match=r"must be a file's path \(got a folder\); add a file name"):
            files.check_writable(tmp_path)

    @pytest.mark.parametrize("attempt", [files.check_writable, lambda path: files.write_text(path, "text")])
    def test_below_a_file(self, tmp_path: Path, attempt: object) -> None:
        """Raises UserError if what should be the folder is a file."""
        assert callable(attempt)
        (tmp_path / "file").touch()

        with pytest.raises(UserError, match=r"file/out.json: must be writable \(got .*\); free space or choose"):
            attempt(tmp_path / "file" / "out.json")
