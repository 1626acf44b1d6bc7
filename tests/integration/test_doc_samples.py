"""Links, command lines and samples of the documentation work."""

from __future__ import annotations

import inspect
import re
import shlex
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from typer.main import get_command

from edgeai_repro.claims.schema import Claim
from edgeai_repro.cli import main as cli
from edgeai_repro.files import read_yaml
from edgeai_repro.plugin import fixtures

ROOT = Path(__file__).parents[2]
PAGES = [
    *(ROOT / page for page in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *(ROOT / page for page in ("ci/arm-runner.md", "evidence/README.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
FENCED = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def links() -> Iterator[tuple[Path, str]]:
    """Yield every link of every page."""
    for page in PAGES:
        yield from ((page, target) for target in LINK.findall(page.read_text(encoding="utf-8")))


def samples(language: str) -> Iterator[tuple[str, str]]:
    """Yield the samples in a language, each with the name of its page."""
    for page in PAGES:
        blocks = FENCED.findall(page.read_text(encoding="utf-8"))
        yield from ((page.name, sample) for name, sample in blocks if name == language)


def command_lines(program: str) -> list[str]:
    """Return the distinct command lines that start with a program, without comments and redirections."""
    lines = (line for _, sample in samples("sh") for line in sample.splitlines())
    commands = (line.partition(" #")[0].partition(" > ")[0].strip() for line in lines)
    return sorted({command for command in commands if command.split()[:1] == [program]})


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub gives the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize(
    ("page", "target"), [pytest.param(*link, id=f"{link[0].name}:{link[1]}") for link in links()]
)
def test_link_leads_to_a_file_and_a_heading(page: Path, target: str) -> None:
    """A link without https names a file of the repository, and a heading in it if it has an anchor."""
    if target.startswith("https://"):
        return
    name, _, anchor = target.partition("#")
    linked = (page.parent / name).resolve() if name else page
    assert linked.exists(), f"{page.name} links to {target}, but there is no such file"
    assert not anchor or anchor in anchors(linked), f"{page.name} links to {target}, but it has no such heading"


@pytest.mark.parametrize("line", command_lines("edgeai-repro"))
def test_command_line_is_accepted(line: str) -> None:
    """Each command exists and takes the arguments and options that a page gives it."""
    words = shlex.split(line)[1:]
    command: object = get_command(cli.app)
    while words and words[0] in getattr(command, "commands", {}):
        command = command.commands[words.pop(0)]  # type: ignore[attr-defined]

    assert not hasattr(command, "commands"), f"{line!r} names no command"
    assert command.make_context("command", words).params  # type: ignore[attr-defined] # raises for a wrong option


@pytest.mark.parametrize("line", command_lines("pytest"))
def test_pytest_options_exist(line: str, pytestconfig: pytest.Config) -> None:
    """Each long option on a page is one of pytest or of a plugin; getoption raises for any other."""
    for word in shlex.split(line):
        if word.startswith("--"):
            pytestconfig.getoption(word.partition("=")[0])


@pytest.mark.parametrize("line", [*command_lines("pytest"), *command_lines("edgeai-repro")])
def test_option_and_value_are_one_word(line: str) -> None:
    """`--option VALUE` in two words can make pytest take VALUE for a path of tests."""
    words = shlex.split(line)
    separated = [
        (option, value)
        for option, value in pairwise(words)
        if option.startswith("--") and "=" not in option and not value.startswith("-")
    ]

    assert not separated


def test_make_targets_exist() -> None:
    """Each make command on a page names a target of the Makefile."""
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    used = {line.split()[1] for line in command_lines("make")}

    assert {"claims", "test"} <= used <= targets


def test_sample_test_of_claims_takes_fixtures_of_the_plugin() -> None:
    """The README's test carries the mark `claims`, and takes only fixtures that the plugin provides."""
    (sample,) = [text for page, text in samples("python") if page == "README.md"]
    names: dict[str, object] = {}
    exec(compile(sample, "README.md", "exec"), names)
    test = names["test_claim"]

    assert [mark.name for mark in test.pytestmark] == ["claims"]  # type: ignore[attr-defined]
    assert all(hasattr(fixtures, fixture) for fixture in inspect.signature(test).parameters)  # type: ignore[arg-type]


def test_sample_audit_prints_its_parameters(capsys: pytest.CaptureFixture[str]) -> None:
    """The audit on the page about the method counts the network that it builds."""
    (sample,) = [text for page, text in samples("python") if page == "method.md"]
    exec(compile(sample, "method.md", "exec"), {})
    convolution, linear = 8 * (3 * 3 * 3 + 1), 10 * (288 + 1)

    assert f"actual={convolution + linear}" in capsys.readouterr().out


def claim_samples() -> list[tuple[str, str]]:
    """Return the samples of claims, each with the name of its page; an indented sample continues the one before.

    Workflows, and the list of what a paper leaves open, are left out.
    """
    joined: list[tuple[str, str]] = []
    for page, sample in samples("yaml"):
        if sample.startswith(("name: ", "unstated:")):
            continue
        if sample.startswith("    "):
            page, begun = joined.pop()
            sample = begun + sample
        joined.append((page, sample))
    return joined


@pytest.mark.parametrize(("page", "sample"), claim_samples())
def test_sample_claims_are_valid(page: str, sample: str, tmp_path: Path) -> None:
    """Each claim on a page fits the schema."""
    (tmp_path / "sample.yaml").write_text(sample, encoding="utf-8")

    for entry in read_yaml(tmp_path / "sample.yaml"):
        assert Claim.model_validate(entry).expect.reason, page
