"""The documentation: its figures and tables match the JSON that they are built from."""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from xml.etree import ElementTree

import pytest

from edgeai_repro.compress.quantization import quantize
from edgeai_repro.errors import UserError
from edgeai_repro.measure import counts
from edgeai_repro.networks.references import reference
from edgeai_repro.networks.resolve import build as build_network
from edgeai_repro.networks.variants import display_name
from edgeai_repro.report import document
from edgeai_repro.report.document import PaperEntry
from edgeai_repro.report.figures.style import Plot

ROOT = Path(__file__).parents[2]
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
