"""Files are read with errors in plain words."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from edgeai_repro import files, limits
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

    @pytest.mark.parametrize(
        ("text", "complaint"),
        [
            pytest.param("[" * 100_000, "it nests lists or mappings more than 40 levels deep", id="flow"),
            pytest.param("- " * 100_000, "it nests lists or mappings more than 40 levels deep", id="block"),
            pytest.param(
                "\n".join(f"a{i}: &a{i} [*a{i - 1}]" if i else "a0: &a0 []" for i in range(40)),
                "it nests lists or mappings more than 40 levels deep",
                id="aliases of aliases",
            ),
            pytest.param(
                "\n".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9) if i else 1}]" for i in range(9)),
                "it has more than 200,000 values",
                id="a billion of one value",
            ),
            pytest.param(
                "a: &a {x: 1}\n"
                + "\n".join(f"{k}: &{k} {{<<: [*{j}, *{j}]}}" for j, k in pairwise("abcdefghijklmnopqrst")),
                "it has more than 200,000 values",
                id="merge keys",
            ),
            pytest.param("a: &a [*a]", "the alias *a stands inside what it repeats", id="endless alias"),
            pytest.param("a: 1" + ":1" * 100_000, "a number of over 64 bits", id="base 60"),
            pytest.param("a: 9223372036854775808", "a number of over 64 bits", id="65 bits"),
            pytest.param("a: !!bool maybe", "KeyError: 'maybe'", id="bool"),
            pytest.param("a: !!int ''", "IndexError: string index out of range", id="int"),
        ],
    )
    def test_yaml_without_end_is_refused(self, tmp_path: Path, text: str, complaint: str) -> None:
        """Nesting would crash libyaml, aliases and long numbers would take hours; odd values raise many errors."""
        with pytest.raises(UserError, match=re.escape(complaint)):
            files.read_yaml(_yaml(tmp_path, text))

    def test_yaml_at_the_limits_is_read(self, tmp_path: Path) -> None:
        """40 levels and the largest number of 64 bits are no mistake."""
        document = files.read_yaml(_yaml(tmp_path, "[" * 39 + "[9223372036854775807]" + "]" * 39))

        assert str(document) == "[" * 40 + "9223372036854775807" + "]" * 40

    @pytest.mark.parametrize(
        ("text", "complaint"),
        [
            pytest.param("[" * 41 + "]" * 41, "it nests lists or mappings more than 40 levels deep", id="nested"),
            pytest.param('{"a":' * 100_000, "it nests lists or mappings more than 40 levels deep", id="half"),
            pytest.param("[NaN]", "NaN is not a finite number", id="NaN"),
            pytest.param("[-Infinity]", "-Infinity is not a finite number", id="infinite"),
            pytest.param("[1e999]", "1e999 is not a finite number", id="too large"),
            pytest.param("[9223372036854775808]", "9223372036854775808 has more than 64 bits", id="65 bits"),
            pytest.param("[" + "9" * 5000 + "]", "99999999999999999999 has more than 64 bits", id="5000 digits"),
            pytest.param(r'["\ud800"]', "surrogates not allowed", id="half of a pair"),
            pytest.param("[" + "[]," * 4_000_000 + "1]", "it has more than 8,000,000 values", id="values"),
        ],
    )
    def test_json_beyond_the_limits_is_refused(self, tmp_path: Path, text: str, complaint: str) -> None:
        """Nesting would raise RecursionError; nothing here writes NaN, numbers of 65 bits or half a character."""
        (tmp_path / "file.json").write_text(text, encoding="utf-8")

        with pytest.raises(UserError, match=rf"must be valid JSON \(.*{re.escape(complaint)}.*\); fix the file"):
            files.read_json(tmp_path / "file.json")

    def test_brackets_in_json_strings_do_not_count(self, tmp_path: Path) -> None:
        """Only lists and mappings nest, also next to escaped quotes."""
        text = r'["' + "[" * 100 + r'\"{\\", {"\ud83d\ude00": 1}]'
        (tmp_path / "file.json").write_text(text, encoding="utf-8")

        assert files.read_json(tmp_path / "file.json") == ["[" * 100 + '"{\\', {"😀": 1}]

    @pytest.mark.parametrize("read", [files.read_yaml, files.read_json])
    def test_file_beyond_the_limit_is_not_read(
        self, tmp_path: Path, read: Callable[[Path], Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The size is compared before anything is read."""
        monkeypatch.setattr(limits, "YAML_BYTES", 3)
        monkeypatch.setattr(limits, "JSON_BYTES", 3)
        (tmp_path / "file").write_text("1234", encoding="utf-8")

        with pytest.raises(UserError, match=r"file: must have at most 3 bytes \(got 4\); check the path"):
            read(tmp_path / "file")

    @pytest.mark.parametrize("name", ["a\0b", "a" * 300])
    def test_name_that_no_file_can_have_is_refused(self, tmp_path: Path, name: str) -> None:
        """The system refuses a NUL and 300 characters in two ways; the message is one line."""
        with pytest.raises(UserError, match=r"must be a readable JSON file \(got (ValueError|File name too long)"):
            files.read_json(tmp_path / name)
        assert not files.is_file(tmp_path / name)
        assert not files.is_folder(tmp_path / name)

    def test_pipe_in_place_of_a_file_is_refused(self, tmp_path: Path) -> None:
        """Reading a pipe that nobody writes to would never end."""
        os.mkfifo(tmp_path / "pipe")

        with pytest.raises(UserError, match=r"pipe: must be a readable JSON file \(got a pipe or a device\)"):
            files.read_json(tmp_path / "pipe")

    def test_pipe_of_the_shell_is_read(self) -> None:
        """`edgeai-repro diff <(git show HEAD:a.json) a.json` names a pipe under /dev."""
        reading, writing = os.pipe()
        os.write(writing, b"[1]")
        os.close(writing)

        assert files.read_json(Path(f"/dev/fd/{reading}")) == [1]
        os.close(reading)

    def test_truncated_json_is_refused(self, tmp_path: Path) -> None:
        """The error says where the JSON ends."""
        (tmp_path / "half.json").write_text('{"a": [1,', encoding="utf-8")

        with pytest.raises(UserError, match=r"half.json: must be valid JSON \(Expecting value: line 1"):
            files.read_json(tmp_path / "half.json")
