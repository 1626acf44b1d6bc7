"""The documentation: its figures and tables are those of its JSON, its links lead somewhere, its samples work."""

from __future__ import annotations

import importlib.util
import json
import re
import shlex
from collections.abc import Iterator
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
from edgeai_repro.networks import convnext
from edgeai_repro.networks.variants import display_name
from edgeai_repro.report import document

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCED = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
INDENTED = re.compile(r"^    (edgeai-repro .+)$", re.MULTILINE)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


@pytest.fixture(scope="module")
def build() -> ModuleType:
    """`docs/build.py` as a module."""
    spec = importlib.util.spec_from_file_location("docs_build", ROOT / "docs" / "build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def links() -> Iterator[tuple[Path, str]]:
    """Yield every link of every page."""
    for page in PAGES:
        yield from ((page, target) for target in LINK.findall(page.read_text(encoding="utf-8")))


def samples(language: str) -> Iterator[tuple[str, str]]:
    """Yield the code of a language on every page, with its page's name."""
    for page in PAGES:
        found = FENCED.findall(page.read_text(encoding="utf-8"))
        yield from ((page.name, text) for kind, text in found if kind == language)


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub gives the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def written(svg: str) -> list[str]:
    """Return the words and numbers in a figure, in their order."""
    return [text.strip() for text in ElementTree.fromstring(svg).itertext() if text.strip()]


def test_figures_and_tables_are_those_of_the_json(build: ModuleType) -> None:
    """Building the documentation again changes no byte; of a figure that another matplotlib drew, no word."""
    for path, text in build.built().items():
        assert path.exists(), f"{path.name} isn't there; run python docs/build.py"
        found = path.read_text(encoding="utf-8")
        same = found == text if path.suffix == ".md" or build.DRAWN_BY in found else written(found) == written(text)
        assert same, f"{path.name} isn't up to date; run python docs/build.py"


def test_figures_are_drawings(build: ModuleType) -> None:
    """Each figure is well-formed SVG by itself, with a title for who can't see it and its colours in it."""
    for path in build.FIGURES.glob("*.svg"):
        root = ElementTree.parse(path).getroot()
        space = "{http://www.w3.org/2000/svg}"
        assert root.tag == f"{space}svg"
        assert root.findtext(f"{space}title")
        used = set(re.findall(r"var\((--[a-z0-9-]+)\)", path.read_text(encoding="utf-8")))
        assert used <= set(re.findall(r"(--[a-z0-9-]+):#", root.findtext(f"{space}style") or ""))


def test_another_number_is_noticed(build: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With another measurement in the JSON, pages and figures would be others."""
    found = json.loads(build.VERDICTS.read_text(encoding="utf-8"))
    before = build.built()
    for paper in found["papers"]:
        for claim in paper["claims"]:
            for row in claim["rows"]:
                row["reported"] = {end: value + 1.0 for end, value in row["reported"].items()}
                row["params"] = {n: v + 1.0 if n == "bytes_saved" else v for n, v in row["params"].items()}
    (tmp_path / "other.json").write_text(json.dumps(found), encoding="utf-8")
    monkeypatch.setattr(build, "VERDICTS", tmp_path / "other.json")

    changed = {path.name for path, text in build.built().items() if text != before[path]}

    assert changed == {"README.md", "findings.md", "overview.svg", "counted.svg", "sweeps.svg"}


def test_generality_columns_are_claims_rows(build: ModuleType) -> None:
    """Each column of the table on other networks is what the rows of the claim on that quantity say."""
    (paper,) = [paper for paper in document.read(build.VERDICTS).papers if paper.id == build.GENERALITY]
    claims = {claim.id: {row.model: row for row in claim.rows} for claim in paper.claims}
    by = {
        "reported_parameters_saved": claims["dq-params-everywhere"],
        "reported_macs_saved": claims["dq-macs-everywhere"],
        "bytes_saved": claims["dq-size-everywhere"],
    }

    for model, row in claims["dq-size-is-linear-share"].items():
        for column, rows in by.items():
            expected = rows[model].reported.value
            assert row.params[column] == pytest.approx(expected, abs=0.005), f"{model}, {column}"


@pytest.mark.parametrize("network", ["resnet18", "mobilenet_v3_large"])
def test_generality_macs_are_what_thop_says(network: str, build: ModuleType) -> None:
    """The table's MACs are those of thop, counted here: what it reports less of, quantized, than of the network."""
    model = convnext.build_from_zoo(network, num_classes=1000)
    before, after = (counts.reported(each, 224).macs for each in (model, quantize(model)))
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (line,) = re.findall(rf"^\| {display_name(network)} \|.*$", readme, re.MULTILINE)

    assert line.split("|")[4].strip() == f"{100 * (before - after) / before:.2f} %"


def test_broken_json(build: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A broken JSON is refused in one line, and no page is touched."""
    (tmp_path / "broken.json").write_text("{", encoding="utf-8")
    monkeypatch.setattr(build, "VERDICTS", tmp_path / "broken.json")

    with pytest.raises(UserError, match=r"broken\.json: must be valid JSON"):
        build.main()


@pytest.mark.parametrize(
    ("page", "target"), [pytest.param(*link, id=f"{link[0].name}:{link[1]}") for link in links()]
)
def test_links(page: Path, target: str) -> None:
    """A link leads to a file that is there, to a heading that it has, or by https to elsewhere."""
    if target.startswith("https://"):
        return
    name, _, anchor = target.partition("#")
    place = (page.parent / name).resolve() if name else page
    assert place.exists(), f"{page.name} links to {target}, which isn't there"
    assert not anchor or anchor in anchors(place), f"{page.name} links to {target}, which has no such heading"


@pytest.mark.parametrize(
    "line", sorted({line for page in PAGES for line in INDENTED.findall(page.read_text("utf-8"))})
)
def test_command_lines(line: str) -> None:
    """Each command line that a page shows names a command that there is, with options that it has."""
    words = shlex.split(line.partition("#")[0].replace(" | ", " "))[1:]
    command: object = get_command(cli.app)
    while words and words[0] in getattr(command, "commands", {}):
        command = command.commands[words.pop(0)]  # type: ignore[attr-defined]
    known = {option for parameter in command.params for option in parameter.opts}  # type: ignore[attr-defined]

    assert not hasattr(command, "commands") or words[0] in ("list", "show", "check"), line
    assert {word for word in words if word.startswith("--")} <= known, line


@pytest.mark.parametrize(("page", "text"), list(samples("python")))
def test_python_samples(page: str, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Each Python sample runs by itself."""
    exec(compile(text, page, "exec"), {"__name__": page})

    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize(("page", "text"), list(samples("yaml")))
def test_yaml_samples(page: str, text: str, tmp_path: Path) -> None:
    """Each claim that a page shows is a valid one."""
    (tmp_path / "sample.yaml").write_text(text, encoding="utf-8")

    for entry in read_yaml(tmp_path / "sample.yaml"):
        assert Claim.model_validate(entry).expect.reason, page
