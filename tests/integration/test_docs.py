"""The documentation: figures and tables match the JSON they are built from; links, commands and samples work."""

from __future__ import annotations

import importlib.util
import inspect
import json
import re
import shlex
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from xml.etree import ElementTree

import pytest
from typer.main import get_command

from edgeai_repro.claims.schema import Claim
from edgeai_repro.cli import main as cli
from edgeai_repro.compress.quantization import quantize
from edgeai_repro.errors import UserError
from edgeai_repro.files import read_yaml
from edgeai_repro.measure import counts
from edgeai_repro.networks.references import reference
from edgeai_repro.networks.resolve import build as build_network
from edgeai_repro.networks.variants import display_name
from edgeai_repro.plugin import fixtures
from edgeai_repro.report import document
from edgeai_repro.report.document import PaperEntry
from edgeai_repro.report.figures.style import Plot

ROOT = Path(__file__).parents[2]
PAGES = [
    *(ROOT / page for page in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *(ROOT / page for page in ("ci/arm-runner.md", "evidence/README.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
FENCED = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def build() -> ModuleType:
    """`docs/build.py` as a module."""
    spec = importlib.util.spec_from_file_location("docs_build", ROOT / "docs" / "build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def content(build: ModuleType) -> dict[Path, str]:
    """What building the documentation writes, by path. Drawing all figures takes many seconds."""
    content: dict[Path, str] = build.built()
    return content


def only(draw: Callable[[PaperEntry], Plot | None], papers: Sequence[str]) -> Callable[[PaperEntry], Plot | None]:
    """Return a function that draws a figure of these papers only."""
    return lambda paper: draw(paper) if paper.id in papers else None


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


def texts(svg: str) -> list[str]:
    """Return the words and numbers in a figure, in their order."""
    return [text.strip() for text in ElementTree.fromstring(svg).itertext() if text.strip()]


def test_pages_and_figures_match_the_json(build: ModuleType, content: dict[Path, str]) -> None:
    """Building the documentation changes no byte. A figure from another matplotlib must have the same texts."""
    for path, expected in content.items():
        assert path.exists(), f"{path.name} is missing; run python docs/build.py"
        actual = path.read_text(encoding="utf-8")
        exact = path.suffix == ".md" or build.DRAWN_BY in actual
        same = actual == expected if exact else texts(actual) == texts(expected)
        assert same, f"{path.name} is out of date; run python docs/build.py"


def test_figures_have_a_title_and_a_background(build: ModuleType) -> None:
    """Each figure is an SVG file that needs no other file, with a title for screen readers."""
    for path in build.FIGURES.glob("*.svg"):
        root = ElementTree.parse(path).getroot()
        assert root.tag == f"{SVG}svg"
        assert root.findtext(f"{SVG}title")
        assert root.get("style") == "background:#fff"
        assert "var(" not in path.read_text(encoding="utf-8"), "a variable is defined only in the HTML page"


def test_other_measurements_change_pages_and_figures(
    build: ModuleType, content: dict[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tables and figures show the measurements of the JSON, not numbers of their own."""
    results = json.loads(build.VERDICTS.read_text(encoding="utf-8"))
    for paper in results["papers"]:
        for claim in paper["claims"]:
            for row in claim["rows"]:
                row["reported"] = {end: value + 1.0 for end, value in row["reported"].items()}
                row["notes"] = {n: v + 1.0 if n == "bytes_saved" else v for n, v in row["notes"].items()}
        paper["claims"][0]["verdict"] = "contradicted"
    (tmp_path / "other.json").write_text(json.dumps(results), encoding="utf-8")
    monkeypatch.setattr(build, "VERDICTS", tmp_path / "other.json")
    drawn = ("francy2024", "generality", "edge")  # all figures take many seconds
    monkeypatch.setattr(build, "DRAWINGS", {name: only(draw, drawn) for name, draw in build.DRAWINGS.items()})

    changed = {path.name for path, text in build.built().items() if text != content[path]}

    assert {"README.md", "francy2024.md", "generality.md", "edge.md"} <= changed
    assert {f"francy2024-{figure}.svg" for figure in ("overview", "counted", "sweeps")} <= changed


def test_every_paper_has_a_page_with_every_claim(build: ModuleType, content: dict[Path, str]) -> None:
    """A page has a paragraph per claim, and the table of all papers links to the page."""
    run = document.read(build.VERDICTS)
    front = content[build.FINDINGS / "README.md"]
    for paper in run.papers:
        page = content[build.FINDINGS / f"{paper.id}.md"]
        assert [claim.id for claim in paper.claims] == re.findall(r"^### (.+)$", page, re.MULTILINE)
        assert f"({paper.id}.md)" in front


def test_page_of_a_new_paper_comes_from_the_template(
    build: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A paper without a page gets one; the sentences of an existing page stay."""
    monkeypatch.setattr(build, "FRONT_PAGES", {})
    monkeypatch.setattr(build, "FINDINGS", tmp_path)
    monkeypatch.setattr(build, "DRAWINGS", {})  # they take many seconds
    (tmp_path / "edge.md").write_text("By hand.\n\n<!-- table: byline -->\n<!-- end -->\n", encoding="utf-8")

    content = build.built()

    assert content[tmp_path / "edge.md"].startswith("By hand.\n\n<!-- table: byline -->\nthe authors of")
    assert "| `tiny-params` | 28.6M |" in content[tmp_path / "liu2022.md"]


def test_broken_json_is_refused_in_one_line(
    build: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No page is touched then."""
    (tmp_path / "broken.json").write_text("{", encoding="utf-8")
    monkeypatch.setattr(build, "VERDICTS", tmp_path / "broken.json")

    with pytest.raises(UserError, match=r"broken\.json: must be valid JSON"):
        build.main()


def test_generality_table_agrees_with_the_claims(build: ModuleType) -> None:
    """Each column of the table on other networks equals the rows of the claim on that quantity."""
    (paper,) = [paper for paper in document.read(build.VERDICTS).papers if paper.id == "generality"]
    claims = {claim.id: {row.model: row for row in claim.rows} for claim in paper.claims}
    columns = {
        "reported_parameters_saved": claims["dq-params-everywhere"],
        "reported_macs_saved": claims["dq-macs-everywhere"],
        "bytes_saved": claims["dq-size-everywhere"],
    }

    for model, row in claims["dq-size-is-linear-share"].items():
        for column, rows in columns.items():
            expected = rows[model].reported.value
            assert row.notes[column] == pytest.approx(expected, abs=0.005), f"{model}, {column}"


@pytest.mark.parametrize("network", ["resnet18", "mobilenet_v3_large"])
def test_generality_table_has_the_macs_of_thop(network: str) -> None:
    """The reduction in the table equals the reduction that thop reports now."""
    model = build_network(reference(network), classes=1000).model
    before, after = (counts.reported(counted, 224).macs for counted in (model, quantize(model)))
    findings = (ROOT / "docs" / "findings" / "generality.md").read_text(encoding="utf-8")
    (line,) = re.findall(rf"^\| {display_name(network)} \|.*$", findings, re.MULTILINE)

    assert line.split("|")[4].strip() == f"{100 * (before - after) / before:.2f} %"


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
