"""The HTML report, checked without a browser."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

pytest.importorskip("jinja2", reason="the report's template engine isn't installed")
pytest.importorskip("matplotlib", reason="the report's plotting library isn't installed")

from edgeai_repro.errors import UserError
from edgeai_repro.evidence.measurement import Curve
from edgeai_repro.judge.verdict import error_verdict
from edgeai_repro.report import document, files, html, markdown
from edgeai_repro.report.document import Document
from edgeai_repro.report.figures.claims import overview
from edgeai_repro.report.figures.style import BAND, INK
from tests.support.factories import claim
from tests.support.reports import HOSTILE, networks, run

ELSEWHERE = re.compile(r"^(?!#|data:)")
VOID = {"meta", "link", "input", "br", "img"}


class _Page(HTMLParser):
    """A parsed page: its ids, links, loaded addresses and text. Fails if its tags are not balanced."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.loads: list[str] = []
        self.tags: list[str] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(source)
        assert not self._open, f"open tags={self._open}, but should be none at the end of the page"

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in VOID:
            self._open.append(tag)
        for name, value in attributes:
            if name == "id":
                self.ids.append(value or "")
            elif name == "href" and tag == "a":
                self.links.append(value or "")
            elif name in ("href", "src", "xlink:href", "data", "action", "poster", "srcset"):
                self.loads.append(value or "")

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self._open.pop()

    def handle_endtag(self, tag: str) -> None:
        opened = self._open.pop() if self._open else None
        assert opened == tag, f"closed tag={tag}, but should be {opened} [line {self.getpos()[0]}]"

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] not in ("style", "script"):
            self.text += data


@pytest.fixture(scope="module")
def source() -> str:
    """The page of a run with one claim of each verdict."""
    return html.render(run())


@pytest.fixture(scope="module")
def page(source: str) -> _Page:
    """The page, parsed."""
    return _Page(source)


def _extents(svg: str, colour: str, attribute: str = "fill") -> list[tuple[float, float]]:
    """Return the least and the largest x of each path of a colour, in the order of drawing."""
    paths = re.findall(rf'<path d="([^"]*)"[^>]*style="[^"]*{attribute}: {colour}', svg)
    numbers = [[float(x) for x, _ in re.findall(r"[ML] (\S+) (\S+)", path)] for path in paths]
    return [(min(xs), max(xs)) for xs in numbers]


class TestPage:
    """The page is one self-contained file."""

    def test_page_loads_nothing(self, source: str, page: _Page) -> None:
        """The page loads nothing from elsewhere, and its content security policy forbids it."""
        assert [load for load in page.loads if ELSEWHERE.match(load)] == []
        assert not re.search(r"@import|url\((?!#)", source)
        assert "default-src 'none'" in source

    def test_ids_are_unique(self, page: _Page) -> None:
        """No id occurs twice, not even in two figures."""
        assert sorted(page.ids) == sorted(set(page.ids))

    def test_links_have_targets(self, page: _Page) -> None:
        """Every internal link has a target; claims are linked by their full names."""
        within = [link[1:] for link in page.links if link.startswith("#")]

        assert set(within) <= set(page.ids)
        assert "paper/artefact-claim" in within

    def test_markup_is_text(self, page: _Page) -> None:
        """HTML in a claim's text is escaped everywhere."""
        everywhere = _Page(html.render(run(title=HOSTILE, authors=HOSTILE)))

        assert everywhere.tags == page.tags
        assert everywhere.text.count(HOSTILE) >= page.text.count(HOSTILE) + 2

    def test_hostile_names_are_text(self, page: _Page) -> None:
        """Hostile ids in a document are escaped in attributes and figures."""
        text = run(hostile="fine").model_dump_json().replace("artefact-claim", '<b>&\\" onload=alert(1) $x^{')

        theirs = _Page(html.render(Document.model_validate_json(text)))

        assert theirs.tags == page.tags
        assert theirs.text.count('<b>&" onload=alert(1) $x^{') >= 3

    @pytest.mark.parametrize(("url", "linked"), [("https://example.org/a", True), ("javascript:alert(1)", False)])
    def test_only_web_addresses_are_links(self, url: str, linked: bool) -> None:
        """The paper's address is a link only if it is http or https."""
        assert (url in _Page(html.render(run(url=url))).links) == linked

    def test_page_is_complete_without_its_script(self, source: str) -> None:
        """Without the script the filters are hidden and the table has no buttons."""
        assert '<form class="filters" hidden>' in source
        assert "<button" not in source.partition("<script>")[0]

    def test_same_document_gives_the_same_bytes(self, tmp_path: Path) -> None:
        """Another process writes the same bytes, and doesn't import torch."""
        document.write(run(), tmp_path / "run.json")
        code = (
            "import sys; from pathlib import Path; from edgeai_repro.report import files\n"
            "files.build(Path(sys.argv[1]), Path(sys.argv[2])); assert 'torch' not in sys.modules"
        )
        files.build(tmp_path / "run.json", tmp_path / "here")
        subprocess.run(
            [sys.executable, "-W", "error", "-c", code, tmp_path / "run.json", tmp_path / "there"],
            env={**os.environ, "PYTHONHASHSEED": "7"},
            check=True,
        )

        for name in (files.HTML, files.MARKDOWN):
            assert (tmp_path / "here" / name).read_bytes() == (tmp_path / "there" / name).read_bytes()


class TestContent:
    """The content of the page."""

    def test_sections_are_in_order(self, page: _Page) -> None:
        """The verdicts come first, then the figures, the implications and the claims."""
        headings = ["Verdicts", "Figures", "What the claims imply for each other", "Claim by claim"]

        places = [page.text.index(heading) for heading in headings]

        assert places == sorted(places)

    def test_published_papers_come_first(self) -> None:
        """Files that hold only our own claims come last, in HTML and in Markdown."""
        plain = run()
        (paper,) = plain.papers
        claims = [claim.model_copy(update={"source": "ours"}) for claim in paper.claims]
        ours = paper.model_copy(update={"id": "ours", "title": "Our sentences", "claims": claims})
        both = plain.model_copy(update={"papers": [ours, paper]})

        for text in (_Page(html.render(both)).text, markdown.render(both)):
            assert text.index(paper.title) < text.index("Our sentences")

    def test_failed_measurement_is_an_error_without_drift(self) -> None:
        """A claim whose measurement failed has its row, sign and reason, and doesn't count as drift."""
        plain = run()
        (paper,) = plain.papers
        entry = document.claim_entry(error_verdict(claim(id="failed"), "RuntimeError: out of memory"))
        failed = plain.model_copy(update={"papers": [paper.model_copy(update={"claims": [entry]})]})
        page = _Page(html.render(failed))

        assert "Of 1 claim, 1 failed to be measured." in page.text
        assert "! error" in page.text
        assert "RuntimeError: out of memory." in page.text
        assert "was expected" not in page.text
        assert "RuntimeError: out of memory" in markdown.render(failed)

    def test_headline_counts_the_verdicts(self, page: _Page) -> None:
        """The first sentence has the number of the paper's claims with each verdict, without our own."""
        assert (
            "Of 5 published claims, 1 holds for some values of a setting that the paper doesn't state, 1 is an "
            "artefact of counting, 1 is contradicted, 1 is too close to decide, 1 can't be tested here."
            in page.text
        )

    def test_drift_is_at_the_top(self, page: _Page) -> None:
        """A verdict other than the expected one is named at the top of the page."""
        assert "artefact-claim is artefact, but reproduced was expected." in page.text

    def test_claim_has_all_its_parts(self, page: _Page) -> None:
        """A claim has its quote, assumptions, method, rows, evidence, and the command that reproduces it."""
        claim = page.text[page.text.rindex("artefact-claim", 0, page.text.index("-k paper/artefact-claim")) :]

        for text in (
            "it is 10 % smaller",
            "abstract, sentence 1",
            "for the test",
            "parameters()",
            "how it was counted:",
        ):
            assert text in claim
        assert "evidence/a.json" in page.text

    def test_numbers_have_units_and_intervals(self, page: _Page) -> None:
        """Numbers have their unit and at most two decimals; intervals have their ends."""
        assert "9 [8.5, 9.5]" in page.text
        assert "12.25 %" in page.text

    @pytest.mark.parametrize("name", ["overview", "counted", "sweeps", "latency-fast"])
    def test_figure_has_a_title_and_its_numbers_in_words(self, source: str, page: _Page, name: str) -> None:
        """Screen readers get the title of each figure, and a description with the numbers."""
        assert f'aria-labelledby="paper-{name}-title" aria-describedby="paper-{name}-desc"' in source
        assert {f"paper-{name}-title", f"paper-{name}-desc"} <= set(page.ids)
        described = source.partition(f'<p id="paper-{name}-desc" hidden>')[2].partition("</p>")[0]
        assert re.search(r"\d %|\d ms", described)

    def test_each_claim_has_its_own_band_in_the_overview(self) -> None:
        """A band is as wide on both sides of the paper's value, or reaches beyond the figure if its end is open."""
        (paper,) = run().papers
        first, second, *others = paper.claims
        open_ended = second.model_copy(update={"band": second.band.model_copy(update={"high": None})})

        plot = overview(paper.model_copy(update={"claims": [first, open_ended, *others]}))

        assert plot is not None
        closed, unbounded = _extents(plot.svg, BAND)[:2]
        middle, _ = _extents(plot.svg, INK, attribute="stroke")[0]
        assert closed[0] + closed[1] == pytest.approx(2 * middle)
        assert unbounded[0] == pytest.approx(closed[0])
        assert unbounded[1] > 2 * closed[1]

    def test_trend_is_described_by_its_points(self) -> None:
        """The points of a trend's curve are in the figure's description."""
        curve = Curve(over="sparsity", unit="MB", points=[(0.5, 111.4), (0.9, 21.25)])
        plain = run()
        (paper,) = plain.papers
        first = paper.claims[0]
        row = first.rows[0].model_copy(update={"curve": curve, "notes": {"quantity": "deflated bytes"}})
        claims = [first.model_copy(update={"rows": [row]}), *paper.claims[1:]]
        drawn = html.render(plain.model_copy(update={"papers": [paper.model_copy(update={"claims": claims})]}))

        assert "deflated bytes: 111.4 MB at 0.5, 21.25 MB at 0.9." in _Page(drawn).text
        assert 'id="paper-trends"' not in html.render(plain)

    def test_effect_of_quantization_on_networks_is_a_table(self, source: str) -> None:
        """The table has one line per network, ordered by the share of nn.Linear."""
        lines = re.findall(
            r'<tr><th scope="row">(.*?)</th>(?:<td class="number">(.*?)</td>)+</tr>', html.render(networks())
        )

        assert lines[:2] == [("ResNet-50", "5.99 %"), ("ConvNeXt-Tiny", "69.70 %")]
        assert "Effect of dynamic quantization on other networks" not in source

    def test_claimed_latency_is_drawn(self, source: str) -> None:
        """The vertical line in the figure of latencies is the claim's value."""
        other = run()
        (paper,) = other.papers
        claims = [
            c.model_copy(update={"paper_value": 33.0, "printed": "33 ms"}) if c.id == "fast" else c
            for c in paper.claims
        ]
        moved = html.render(other.model_copy(update={"papers": [paper.model_copy(update={"claims": claims})]}))

        assert "paper, 20 ms" in source
        assert "paper, 33 ms" in moved

    def test_measured_latency_is_drawn(self) -> None:
        """A measured latency is in the figure, with its interval."""
        page = _Page(html.render(run(latency=(11.0, 13.0))))

        assert "convnext_small: 12 ms [11, 13]" in page.text

    def test_run_without_measurements_has_no_figures(self) -> None:
        """If nothing was measured, the page says so instead of showing figures."""
        (paper,) = run().papers
        claims = [c.model_copy(update={"rows": [], "row": None}) for c in paper.claims]
        empty = paper.model_copy(update={"claims": claims, "rooflines": []})

        page = _Page(html.render(run().model_copy(update={"papers": [empty]})))

        assert "Nothing was measured, so there is nothing to draw." in page.text

    def test_run_without_claims_has_a_page(self) -> None:
        """If no claim was judged, the page says so."""
        assert "No claim was judged." in _Page(html.render(run().model_copy(update={"papers": []}))).text

    def test_several_papers_share_the_table(self) -> None:
        """Several papers share one table and have one section each."""
        (paper,) = run().papers
        second = paper.model_copy(update={"id": "second", "title": "Another Paper"})

        page = _Page(html.render(run().model_copy(update={"papers": [paper, second]})))

        assert "2 papers, claim by claim" in page.text
        assert {"paper/fast", "second/fast", "paper-overview", "second-overview"} <= set(page.ids)
        assert len(page.ids) == len(set(page.ids))


class TestFiles:
    """The files of the report."""

    def test_both_files_are_written(self, tmp_path: Path) -> None:
        """Both files are written; the folder is made if it is missing."""
        written = files.write(run(), tmp_path / "new" / "report")

        assert [path.name for path in written] == ["report.html", "report.md"]
        assert all(path.stat().st_size for path in written)
        assert sorted(path.name for path in (tmp_path / "new" / "report").iterdir()) == ["report.html", "report.md"]

    @pytest.mark.parametrize("text", ["{", "[]", '{"schema_version": 1}', '{"schema_version": 2}', "\x00"])
    def test_other_json_is_refused(self, tmp_path: Path, text: str) -> None:
        """JSON that is not a run's document is refused, and an existing report is kept."""
        (tmp_path / "run.json").write_text(text, encoding="utf-8")
        (tmp_path / files.HTML).write_text("an older report", encoding="utf-8")

        with pytest.raises(UserError, match=r"run\.json: .*; ") as caught:
            files.build(tmp_path / "run.json", tmp_path)

        assert all("run.json: " in line for line in str(caught.value).splitlines())
        assert (tmp_path / files.HTML).read_text(encoding="utf-8") == "an older report"

    def test_file_in_place_of_the_folder_is_refused(self, tmp_path: Path) -> None:
        """If the folder's path is a file, it is refused and kept."""
        (tmp_path / "report").write_text("mine", encoding="utf-8")

        with pytest.raises(UserError, match="must be a folder"):
            files.write(run(), tmp_path / "report")

        assert (tmp_path / "report").read_text(encoding="utf-8") == "mine"

    def test_missing_library_names_the_extra(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """If a library isn't installed, the error names the extra to install."""
        monkeypatch.setitem(sys.modules, "jinja2", None)
        monkeypatch.delitem(sys.modules, "edgeai_repro.report.html", raising=False)
        monkeypatch.delattr("edgeai_repro.report.html", raising=False)

        with pytest.raises(UserError, match=r"jinja2 is missing, .*edgeai-repro\[report\]"):
            files.write(run(), tmp_path)
