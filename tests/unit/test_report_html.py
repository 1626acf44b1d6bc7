"""The report as one page, without a browser."""

from __future__ import annotations

import json
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
from tests.support.factories import claim
from tests.support.reports import HOSTILE, networks, run

ELSEWHERE = re.compile(r"^(?!#|data:)")
VOID = {"meta", "link", "input", "br", "img"}


class _Page(HTMLParser):
    """What a page is made of: ids, what it would load or lead to, its text, and whether its tags are balanced."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.loads: list[str] = []
        self.tags: list[str] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(source)
        assert not self._open, f"tags that nobody closes: {self._open}"

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
        assert opened == tag, f"closed={tag}, but should be expected {opened} [line {self.getpos()[0]}]"

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] not in ("style", "script"):
            self.text += data


@pytest.fixture(scope="module")
def source() -> str:
    """The page of a run with a claim of each verdict."""
    return html.render(run())


@pytest.fixture(scope="module")
def page(source: str) -> _Page:
    """The same, parsed."""
    return _Page(source)


class TestPage:
    """One file that stands on its own."""

    def test_asks_for_nothing(self, source: str, page: _Page) -> None:
        """Nothing is loaded from anywhere, and the page's policy wouldn't admit it."""
        assert [load for load in page.loads if ELSEWHERE.match(load)] == []
        assert not re.search(r"@import|url\((?!#)", source)
        assert "default-src 'none'" in source

    def test_ids(self, page: _Page) -> None:
        """Each id stands once, in the figures too."""
        assert sorted(page.ids) == sorted(set(page.ids))

    def test_links_land(self, page: _Page) -> None:
        """Every link within the page leads to something, among them one to each claim by its full name."""
        within = [link[1:] for link in page.links if link.startswith("#")]

        assert set(within) <= set(page.ids)
        assert "paper/artefact-claim" in within

    def test_markup_is_text(self, page: _Page) -> None:
        """HTML in a claim's text is shown as the text that it is, wherever that stands."""
        everywhere = _Page(html.render(run(title=HOSTILE, authors=HOSTILE)))

        assert everywhere.tags == page.tags
        assert everywhere.text.count(HOSTILE) >= page.text.count(HOSTILE) + 2

    def test_hostile_names(self, page: _Page) -> None:
        """Ids and figures of a document that somebody else wrote can't break out of their attributes."""
        text = run(hostile="fine").model_dump_json().replace("artefact-claim", '<b>&\\" onload=alert(1) $x^{')

        theirs = _Page(html.render(Document.model_validate_json(text)))

        assert theirs.tags == page.tags
        assert theirs.text.count('<b>&" onload=alert(1) $x^{') >= 3

    @pytest.mark.parametrize(("url", "linked"), [("https://example.org/a", True), ("javascript:alert(1)", False)])
    def test_paper_link(self, url: str, linked: bool) -> None:
        """The paper's address is a link only where it leads to the web."""
        assert (url in _Page(html.render(run(url=url))).links) == linked

    def test_without_script(self, source: str) -> None:
        """Without its script the table is whole, and what would need the script isn't shown."""
        assert '<form class="filters" hidden>' in source
        assert "<button" not in source.partition("<script>")[0]

    def test_same_bytes(self, tmp_path: Path) -> None:
        """The same document gives the same bytes, in another process too; torch is not imported for it."""
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
    """What stands in it."""

    def test_order(self, page: _Page) -> None:
        """The verdicts come first, then the pictures, the implications, the claims."""
        headings = ["Verdicts", "In pictures", "What the claims say of each other", "Claim by claim"]

        places = [page.text.index(heading) for heading in headings]

        assert places == sorted(places)

    def test_others_first(self) -> None:
        """What others published stands before papers whose sentences are all ours, in the page and in Markdown."""
        plain = run()
        (paper,) = plain.papers
        claims = [claim.model_copy(update={"source": "ours"}) for claim in paper.claims]
        ours = paper.model_copy(update={"id": "ours", "title": "Our sentences", "claims": claims})
        both = plain.model_copy(update={"papers": [ours, paper]})

        for text in (_Page(html.render(both)).text, markdown.render(both)):
            assert text.index(paper.title) < text.index("Our sentences")

    def test_error(self) -> None:
        """A claim that broke before it was judged has its row, its sign and its reason, and is no drift."""
        plain = run()
        (paper,) = plain.papers
        entry = document.claim_entry(error_verdict(claim(id="broke"), "RuntimeError: out of memory"))
        broke = plain.model_copy(update={"papers": [paper.model_copy(update={"claims": [entry]})]})
        page = _Page(html.render(broke))

        assert "Of 1 claims, 1 broke before it was judged." in page.text
        assert "! error" in page.text
        assert "RuntimeError: out of memory." in page.text
        assert "was expected" not in page.text
        assert "RuntimeError: out of memory" in markdown.render(broke)

    def test_headline(self, page: _Page) -> None:
        """The first sentence counts the verdicts."""
        assert (
            "Of 6 claims, 1 holds, 1 holds with a choice that the paper doesn't state, 1 is an artefact of "
            "counting, 1 is contradicted, 1 is too close to tell, 1 can't be tested here." in page.text
        )

    def test_drift(self, page: _Page) -> None:
        """A verdict other than the expected one is said at the top."""
        assert "artefact-claim is artefact, reproduced was expected." in page.text

    def test_claim(self, page: _Page) -> None:
        """A claim tells its quote, assumptions in words, method, rows, evidence, and how to reproduce it."""
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

    def test_numbers(self, page: _Page) -> None:
        """Numbers are shown with their unit and at most two decimals; an interval with its ends."""
        assert "9 [8.5, 9.5]" in page.text
        assert "12.25 %" in page.text

    @pytest.mark.parametrize("name", ["overview", "counted", "sweeps", "latency-fast"])
    def test_figures(self, source: str, page: _Page, name: str) -> None:
        """Each figure has a title, and in its description the numbers that it draws."""
        assert f'aria-labelledby="paper-{name}-title paper-{name}-desc"' in source
        described = source.partition(f'<desc id="paper-{name}-desc">')[2].partition("</desc>")[0]
        assert re.search(r"\d %|\d ms", described)

    def test_trends(self) -> None:
        """A trend is drawn by its points: bytes against sparsity, said at length for who can't see them."""
        curve = Curve(over="sparsity", unit="MB", points=[(0.5, 111.4), (0.9, 21.25)])
        plain = run()
        (paper,) = plain.papers
        first = paper.claims[0]
        row = first.rows[0].model_copy(update={"curve": curve, "params": {"quantity": "deflated bytes"}})
        claims = [first.model_copy(update={"rows": [row]}), *paper.claims[1:]]
        drawn = html.render(plain.model_copy(update={"papers": [paper.model_copy(update={"claims": claims})]}))

        assert "deflated bytes: 111.4 MB at 0.5, 21.25 MB at 0.9." in _Page(drawn).text
        assert 'id="paper-trends"' not in html.render(plain)

    def test_reach(self, source: str) -> None:
        """What dynamic quantization does to each network is a table, the one with the most nn.Linear last."""
        found = re.findall(
            r'<tr><th scope="row">(.*?)</th>(?:<td class="number">(.*?)</td>)+</tr>', html.render(networks())
        )

        assert found[:2] == [("ResNet-50", "5.99 %"), ("ConvNeXt-Tiny", "69.70 %")]
        assert "How far dynamic quantization reaches" not in source

    def test_claimed_latency(self, source: str) -> None:
        """The line through the latencies is the claim's own value."""
        other = run()
        (paper,) = other.papers
        claims = [c.model_copy(update={"paper_value": 33.0}) if c.id == "fast" else c for c in paper.claims]
        moved = html.render(other.model_copy(update={"papers": [paper.model_copy(update={"claims": claims})]}))

        assert "paper, 20 ms" in source
        assert "paper, 33 ms" in moved

    def test_measured_latency(self) -> None:
        """A latency that was measured is drawn with its interval."""
        page = _Page(html.render(run(latency=(11.0, 13.0))))

        assert "convnext_small: 12 ms [11, 13]" in page.text

    def test_nothing_measured(self) -> None:
        """A run in which nothing was measured has a page, without figures of measurements."""
        (paper,) = run().papers
        claims = [c.model_copy(update={"rows": [], "row": None}) for c in paper.claims]
        empty = paper.model_copy(update={"claims": claims, "rooflines": []})

        page = _Page(html.render(run().model_copy(update={"papers": [empty]})))

        assert "Nothing was measured that could be drawn." in page.text

    def test_no_claim(self) -> None:
        """A run without a claim has a page that says so."""
        assert "No claim was judged." in _Page(html.render(run().model_copy(update={"papers": []}))).text

    def test_several_papers(self) -> None:
        """Several papers share the table, each under its title, and have sections of their own."""
        (paper,) = run().papers
        second = paper.model_copy(update={"id": "second", "title": "Another Paper"})

        page = _Page(html.render(run().model_copy(update={"papers": [paper, second]})))

        assert "2 papers, claim by claim" in page.text
        assert {"paper/fast", "second/fast", "paper-overview", "second-overview"} <= set(page.ids)
        assert len(page.ids) == len(set(page.ids))


class TestFiles:
    """The report as files."""

    def test_written(self, tmp_path: Path) -> None:
        """Both files are written, into a folder that needn't be there."""
        written = files.write(run(), tmp_path / "new" / "report")

        assert [path.name for path in written] == ["report.html", "report.md"]
        assert all(path.stat().st_size for path in written)
        assert sorted(path.name for path in (tmp_path / "new" / "report").iterdir()) == ["report.html", "report.md"]

    @pytest.mark.parametrize(
        "text", ["{", "[]", json.dumps({"schema_version": 1}), '{"schema_version": 2}', "\x00"]
    )
    def test_foreign_json(self, tmp_path: Path, text: str) -> None:
        """Raises UserError, in one line, for what isn't a run's document; a report that is there stays."""
        (tmp_path / "run.json").write_text(text, encoding="utf-8")
        (tmp_path / files.HTML).write_text("an older report", encoding="utf-8")

        with pytest.raises(UserError, match=r"run\.json: .*must") as caught:
            files.build(tmp_path / "run.json", tmp_path)

        assert "\n" not in str(caught.value)
        assert (tmp_path / files.HTML).read_text(encoding="utf-8") == "an older report"

    def test_folder_is_a_file(self, tmp_path: Path) -> None:
        """Raises UserError where the folder is a file, which stays as it was."""
        (tmp_path / "report").write_text("mine", encoding="utf-8")

        with pytest.raises(UserError, match="must be a folder"):
            files.write(run(), tmp_path / "report")

        assert (tmp_path / "report").read_text(encoding="utf-8") == "mine"

    def test_missing_library(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Raises UserError that names the extra where a library of the report isn't installed."""
        monkeypatch.setitem(sys.modules, "jinja2", None)
        monkeypatch.delitem(sys.modules, "edgeai_repro.report.html", raising=False)
        monkeypatch.delattr("edgeai_repro.report.html", raising=False)

        with pytest.raises(UserError, match=r"'jinja2' must be installed .*edgeai-repro\[report\]"):
            files.write(run(), tmp_path)
