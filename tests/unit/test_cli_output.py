"""The command line's manners: help with examples, JSON beside every table, colours and bars for terminals alone."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
import termios
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.main import get_command

from edgeai_repro import __version__
from edgeai_repro.cli import main as cli
from edgeai_repro.report import console, document
from tests.support import reports
from tests.unit.test_cli import Command

ROOT = Path(__file__).parents[2]
RUN = "import sys; from edgeai_repro.cli import main; sys.argv[0] = 'edgeai-repro'; main()"


def leaves(group: object, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the words of every command that does something."""
    commands = getattr(group, "commands", None)
    if commands is None:
        yield path
        return
    for name, inner in commands.items():
        yield from leaves(inner, (*path, name))


def on_terminal(*arguments: str, **variables: str) -> str:
    """Run the command line on a terminal of its own and return all that it shows."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (40, 200))
    environment = {"PYTHONPATH": str(ROOT), "TERM": "xterm", **variables}
    kept = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    shown = b""
    with subprocess.Popen(
        [sys.executable, "-c", RUN, *arguments], stdout=theirs, stderr=theirs, env={**kept, **environment}
    ):
        os.close(theirs)
        while True:
            try:
                chunk = os.read(ours, 4096)
            except OSError:  # Linux's way to say that the other end is closed
                break
            if not chunk:
                break
            shown += chunk
    os.close(ours)
    return shown.decode()


@pytest.mark.parametrize("words", list(leaves(get_command(cli.app))), ids=" ".join)
def test_help_has_an_example(command: Command, words: tuple[str, ...]) -> None:
    """Each command's help shows a command line that begins with its own name."""
    status, out, _ = command(*words, "--help")

    text = " ".join(out.split())
    assert status == 0
    assert re.search(rf"Example.*: edgeai-repro {' '.join(words)}\b", text), text


def test_help_tells_the_exit_statuses(command: Command) -> None:
    """The help of all has examples, line by line, and the exit statuses."""
    out = command("--help")[1]

    assert "\n  edgeai-repro audit resnet50 " in out.replace("\n    edgeai", "\n  edgeai")
    assert "Exit status: 0 as expected, 1 drift, 2 usage, 3 a condition is missing." in out


@pytest.mark.parametrize(
    ("arguments", "heavy"),
    [
        ("--help", {"torch", "pydantic", "rich", "scipy", "pytest"}),
        ("audit --help", {"torch", "scipy", "pytest"}),
        ("reproduce dq-params", {"torch", "scipy", "pytest"}),
        ("diff docs/verdicts.json docs/verdicts.json", {"torch", "scipy", "pytest"}),
    ],
)
def test_light(arguments: str, heavy: set[str]) -> None:
    """What needs no torch doesn't import it, and the help of all nothing that takes long."""
    script = f"{RUN.replace('main()', '')}\ntry:\n    main()\nfinally:\n    print('loaded:', *sorted(sys.modules))"
    command = [sys.executable, "-c", script, *arguments.split()]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)

    assert not heavy & set(done.stdout.splitlines()[-1].split())


def test_version(command: Command) -> None:
    """--version is the package's."""
    assert command("--version") == (0, f"edgeai-repro {__version__}\n", "")


def test_list_json(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """--json lists the claims as data."""
    monkeypatch.chdir(ROOT)
    status, out, _ = command("claims", "list", "--json")

    entry = next(entry for entry in json.loads(out) if entry["claim"] == "francy2024/dq-params")
    assert status == 0
    assert (entry["metric"], entry["paper"], entry["expected"]) == ("params_reduction", 95.0, "artefact")


def test_every_table_has_json() -> None:
    """Each command that prints a table takes --json."""
    group = get_command(cli.app)
    for words in [("claims", "list"), ("audit",), ("diff",), ("rejudge",)]:
        found: object = group
        for word in words:
            found = found.commands[word]  # type: ignore[attr-defined]
        options = {option for parameter in found.params for option in parameter.opts}  # type: ignore[attr-defined]
        assert "--json" in options, words


def test_bar_on_a_terminal(tmp_path: Path, command: Command) -> None:
    """The audit shows how far it is on a terminal, and in a pipe nothing but its table."""
    (tmp_path / "mine.py").write_text("from torch import nn\n\n\ndef make():\n    return nn.Conv2d(3, 4, 3)\n")
    arguments = ("audit", f"{tmp_path / 'mine.py'}:make", "--resolution", "8")

    assert "make:   0%" in on_terminal(*arguments)
    status, out, err = command(*arguments)
    assert (status, err) == (0, "")
    assert "\x1b" not in out


def test_colour(tmp_path: Path) -> None:
    """A terminal gets colours, unless NO_COLOR is set."""
    before, after = tmp_path / "a.json", tmp_path / "b.json"
    document.write(reports.run(), before)
    document.write(reports.run(latency=(18.0, 19.0)), after)

    assert "\x1b[" in on_terminal("diff", str(before), str(after))
    assert "\x1b[" not in on_terminal("diff", str(before), str(after), NO_COLOR="1")


@pytest.mark.parametrize(
    ("terminal", "no_color", "expected"), [(True, "", True), (True, "1", False), (False, "", False)]
)
def test_coloured(terminal: bool, no_color: str, expected: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Colours are for a terminal where NO_COLOR is unset or empty."""
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal, raising=False)
    monkeypatch.setenv("NO_COLOR", no_color)

    assert console.coloured() is expected


def test_report_folder_that_cannot_be_written(tmp_path: Path, command: Command) -> None:
    """A report can't go where a file is: one line, status 2, and the file is as it was."""
    found, taken = tmp_path / "found.json", tmp_path / "taken"
    document.write(reports.run(), found)
    taken.write_text("mine", encoding="utf-8")

    status, _, err = command("report", str(found), "-o", str(taken))

    assert (status, err.count("\n"), taken.read_text(encoding="utf-8")) == (2, 1, "mine")
