"""The HTML report is one self-contained file, written whole, and loads nothing."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("jinja2", reason="the report's template engine isn't installed")
pytest.importorskip("matplotlib", reason="the report's plotting library isn't installed")

from edgeai_repro.errors import UserError
from edgeai_repro.report import document, files, html
from edgeai_repro.report.document import Document
from tests.support.html_page import Page
from tests.support.reports import HOSTILE, run

ELSEWHERE = re.compile(r"^(?!#|data:)")


class TestPage:
    """The page is one self-contained file."""

    def test_page_loads_nothing(self, page: Page) -> None:
        """The page loads nothing from elsewhere, and its content security policy forbids it."""
        assert [load for load in page.loads if ELSEWHERE.match(load)] == []
        assert not re.search(r"@import|url\((?!#)", page.source)
        assert "default-src 'none'" in page.source

    def test_ids_are_unique(self, page: Page) -> None:
        """No id occurs twice, not even in two figures."""
        assert sorted(page.ids) == sorted(set(page.ids))

    def test_links_have_targets(self, page: Page) -> None:
        """Every internal link has a target; claims are linked by their full names."""
        within = [link[1:] for link in page.links if link.startswith("#")]

        assert set(within) <= set(page.ids)
        assert "paper/artefact-claim" in within

    def test_markup_is_text(self, page: Page) -> None:
        """HTML in a claim's text is escaped everywhere."""
        everywhere = Page(html.render(run(title=HOSTILE, authors=HOSTILE)))

        assert everywhere.tags == page.tags
        assert everywhere.text.count(HOSTILE) >= page.text.count(HOSTILE) + 2

    def test_hostile_names_are_text(self, page: Page) -> None:
        """Hostile ids in a document are escaped in attributes and figures."""
        text = run(hostile="fine").model_dump_json().replace("artefact-claim", '<b>&\\" onload=alert(1) $x^{')

        theirs = Page(html.render(Document.model_validate_json(text)))

        assert theirs.tags == page.tags
        assert theirs.text.count('<b>&" onload=alert(1) $x^{') >= 3

    @pytest.mark.parametrize(("url", "linked"), [("https://example.org/a", True), ("javascript:alert(1)", False)])
    def test_only_web_addresses_are_links(self, url: str, linked: bool) -> None:
        """The paper's address is a link only if it is http or https."""
        assert (url in Page(html.render(run(url=url))).links) == linked

    def test_page_is_complete_without_its_script(self, page: Page) -> None:
        """Without the script the filters are hidden and the table has no buttons."""
        assert '<form class="filters" hidden>' in page.source
        assert "<button" not in page.source.partition("<script>")[0]

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
