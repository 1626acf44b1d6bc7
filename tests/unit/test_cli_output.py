"""The command line's conventions: help with examples, JSON for every table, colours only on a terminal."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.main import get_command

from edgeai_repro import __version__
from edgeai_repro.cli import main as cli
from edgeai_repro.report import console, document
from tests.support import reports
from tests.support.commands import Command
from tests.support.terminal import COMMAND_LINE, on_terminal

ROOT = Path(__file__).parents[2]


def leaves(group: object, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the words of every command that has no subcommands."""
    commands = getattr(group, "commands", None)
    if commands is None:
        yield path
        return
    for name, inner in commands.items():
        yield from leaves(inner, (*path, name))


@pytest.mark.parametrize("words", list(leaves(get_command(cli.app))), ids=" ".join)
def test_help_has_an_example(command: Command, words: tuple[str, ...]) -> None:
    """Each command's help shows a command line that begins with its own name."""
    status, out, _ = command(*words, "--help")

    text = " ".join(out.split())
    assert status == 0
    assert re.search(rf"Example.*: edgeai-repro {' '.join(words)}\b", text), text


def test_help_without_a_command_has_examples_and_exit_statuses(command: Command) -> None:
    """The examples are one per line."""
    lines = [line.strip() for line in command("--help")[1].splitlines()]

    assert any(line.startswith("edgeai-repro audit resnet50 ") for line in lines)
    assert any(line.startswith("Exit status: 0 ") for line in lines)


@pytest.mark.parametrize("group", ["claims", "data", "evidence"])
def test_help_of_a_group_lists_its_commands(command: Command, group: str) -> None:
    """The exit status is 0."""
    status, out, err = command(group, "--help")

    assert (status, err) == (0, "")
    assert {words[1] for words in leaves(get_command(cli.app)) if words[0] == group} <= set(out.split())


def test_options_in_examples_are_one_word(command: Command) -> None:
    """`--option VALUE` in two words makes pytest take an existing path for a test path."""
    for words in [(), *leaves(get_command(cli.app))]:
        (examples,) = re.findall(r"Examples?:.*?(?=\n\n|\Z)", command(*words, "--help")[1], re.DOTALL)
        options = re.findall(r" --\S+", examples)

        assert all("=" in option for option in options), f"{' '.join(words)}: {options}"


@pytest.mark.parametrize(
    ("arguments", "heavy"),
    [
        ("--help", {"torch", "pydantic", "rich", "scipy", "pytest"}),
        ("audit --help", {"torch", "scipy", "pytest"}),
        ("reproduce dq-params", {"torch", "scipy", "pytest"}),
        ("diff VERDICTS VERDICTS", {"torch", "scipy", "pytest"}),
    ],
)
def test_light_commands_import_no_heavy_packages(arguments: str, heavy: set[str], tmp_path: Path) -> None:
    """Help imports nothing slow, and commands that need no torch don't import it."""
    verdicts = tmp_path / "verdicts.json"
    document.write(reports.run(), verdicts)
    imports = COMMAND_LINE.removesuffix("; main()")
    script = f"{imports}\ntry:\n    main()\nfinally:\n    print('loaded:', *sorted(sys.modules))"
    command = [sys.executable, "-c", script, *arguments.replace("VERDICTS", str(verdicts)).split()]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)

    assert not heavy & set(done.stdout.splitlines()[-1].split())


def test_version_is_that_of_the_package(command: Command) -> None:
    """--version prints name and version."""
    assert command("--version") == (0, f"edgeai-repro {__version__}\n", "")


def test_list_prints_json(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each claim is an object with the columns of the table."""
    monkeypatch.chdir(ROOT)
    status, out, _ = command("claims", "list", "--json")

    entry = next(entry for entry in json.loads(out) if entry["claim"] == "francy2024/dq-params")
    assert status == 0
    assert (entry["metric"], entry["paper"], entry["expected"]) == ("params_reduction", "95%", "artefact")


def test_each_command_with_a_table_takes_json() -> None:
    """--json is one of its options."""
    group = get_command(cli.app)
    for words in [("claims", "list"), ("audit",), ("diff",), ("rejudge",)]:
        inner: object = group
        for word in words:
            inner = inner.commands[word]  # type: ignore[attr-defined]
        options = {option for parameter in inner.params for option in parameter.opts}  # type: ignore[attr-defined]
        assert "--json" in options, words


def test_progress_bar_appears_only_on_a_terminal(tmp_path: Path, command: Command) -> None:
    """In a pipe the audit prints only its table."""
    (tmp_path / "mine.py").write_text("from torch import nn\n\n\ndef make():\n    return nn.Conv2d(3, 4, 3)\n")
    arguments = ("audit", f"{tmp_path / 'mine.py'}:make", "--resolution=8", "--no-latency")

    assert re.search(r"mine.py:make.*0/\d+", on_terminal(*arguments))
    status, out, err = command(*arguments)
    assert (status, err) == (0, "")
    assert "\x1b" not in out


def test_terminal_output_is_coloured_unless_no_color_is_set(tmp_path: Path) -> None:
    """Colours are ANSI escape sequences."""
    before, after = tmp_path / "a.json", tmp_path / "b.json"
    document.write(reports.run(), before)
    document.write(reports.run(latency=(18.0, 19.0)), after)

    assert "\x1b[" in on_terminal("diff", str(before), str(after))
    assert "\x1b[" not in on_terminal("diff", str(before), str(after), NO_COLOR="1")


@pytest.mark.parametrize(
    ("terminal", "no_color", "expected"), [(True, "", True), (True, "1", False), (False, "", False)]
)
def test_colours_need_a_terminal_and_an_empty_no_color(
    terminal: bool, no_color: str, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An empty NO_COLOR counts as unset."""
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal, raising=False)
    monkeypatch.setenv("NO_COLOR", no_color)

    assert console.coloured() is expected


def test_report_does_not_replace_a_file_by_its_folder(tmp_path: Path, command: Command) -> None:
    """An output path that is a file is an error of one line, and the file stays unchanged."""
    verdicts, file = tmp_path / "verdicts.json", tmp_path / "file"
    document.write(reports.run(), verdicts)
    file.write_text("mine", encoding="utf-8")

    status, _, err = command("report", str(verdicts), f"--output={file}")

    assert (status, err.count("\n"), file.read_text(encoding="utf-8")) == (2, 1, "mine")
