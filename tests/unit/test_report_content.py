"""The content of the HTML report."""

from __future__ import annotations

import re

import pytest

pytest.importorskip("jinja2", reason="the report's template engine isn't installed")
pytest.importorskip("matplotlib", reason="the report's plotting library isn't installed")

from edgeai_repro.evidence.measurement import Curve
from edgeai_repro.judge.verdict import error_verdict
from edgeai_repro.report import document, html, markdown
from edgeai_repro.report.figures.claims import overview
from edgeai_repro.report.figures.style import BAND, INK
from tests.support.factories import claim
from tests.support.html_page import Page
from tests.support.reports import networks, run


def _extents(svg: str, colour: str, attribute: str = "fill") -> list[tuple[float, float]]:
    """Return the least and the largest x of each path of a colour, in the order of drawing."""
    paths = re.findall(rf'<path d="([^"]*)"[^>]*style="[^"]*{attribute}: {colour}', svg)
    numbers = [[float(x) for x, _ in re.findall(r"[ML] (\S+) (\S+)", path)] for path in paths]
    return [(min(xs), max(xs)) for xs in numbers]


class TestContent:
    """The content of the page."""

    def test_sections_are_in_order(self, page: Page) -> None:
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

        for text in (Page(html.render(both)).text, markdown.render(both)):
            assert text.index(paper.title) < text.index("Our sentences")

    def test_failed_measurement_is_an_error_without_drift(self) -> None:
        """A claim whose measurement failed has its row, sign and reason, and doesn't count as drift."""
        plain = run()
        (paper,) = plain.papers
        entry = document.claim_entry(error_verdict(claim(id="failed"), "RuntimeError: out of memory"))
        failed = plain.model_copy(update={"papers": [paper.model_copy(update={"claims": [entry]})]})
        page = Page(html.render(failed))

        assert "Of 1 claim, 1 failed to be measured." in page.text
        assert "! error" in page.text
        assert "RuntimeError: out of memory." in page.text
        assert "was expected" not in page.text
        assert "RuntimeError: out of memory" in markdown.render(failed)

    def test_headline_counts_the_verdicts(self, page: Page) -> None:
        """The first sentence has the number of the paper's claims with each verdict, without our own."""
        assert (
            "Of 5 published claims, 1 holds for some values of a setting that the paper doesn't state, 1 is an "
            "artefact of counting, 1 is contradicted, 1 is too close to decide, 1 can't be tested here."
            in page.text
        )

    def test_drift_is_at_the_top(self, page: Page) -> None:
        """A verdict other than the expected one is named at the top of the page."""
        assert "artefact-claim is artefact, but reproduced was expected." in page.text

    def test_claim_has_all_its_parts(self, page: Page) -> None:
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

    def test_numbers_have_units_and_intervals(self, page: Page) -> None:
        """Numbers have their unit and at most two decimals; intervals have their ends."""
        assert "9 [8.5, 9.5]" in page.text
        assert "12.25 %" in page.text

    @pytest.mark.parametrize("name", ["overview", "counted", "sweeps", "latency-fast"])
    def test_figure_has_a_title_and_its_numbers_in_words(self, page: Page, name: str) -> None:
        """Screen readers get the title of each figure, and a description with the numbers."""
        assert f'aria-labelledby="paper-{name}-title" aria-describedby="paper-{name}-desc"' in page.source
        assert {f"paper-{name}-title", f"paper-{name}-desc"} <= set(page.ids)
        described = page.source.partition(f'<p id="paper-{name}-desc" hidden>')[2].partition("</p>")[0]
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

        assert "deflated bytes: 111.4 MB at 0.5, 21.25 MB at 0.9." in Page(drawn).text
        assert 'id="paper-trends"' not in html.render(plain)

    def test_effect_of_quantization_on_networks_is_a_table(self, page: Page) -> None:
        """The table has one line per network, ordered by the share of nn.Linear."""
        lines = re.findall(
            r'<tr><th scope="row">(.*?)</th>(?:<td class="number">(.*?)</td>)+</tr>', html.render(networks())
        )

        assert lines[:2] == [("ResNet-50", "5.99 %"), ("ConvNeXt-Tiny", "69.70 %")]
        assert "Effect of dynamic quantization on other networks" not in page.source

    def test_claimed_latency_is_drawn(self, page: Page) -> None:
        """The vertical line in the figure of latencies is the claim's value."""
        other = run()
        (paper,) = other.papers
        claims = [
            c.model_copy(update={"paper_value": 33.0, "printed": "33 ms"}) if c.id == "fast" else c
            for c in paper.claims
        ]
        moved = html.render(other.model_copy(update={"papers": [paper.model_copy(update={"claims": claims})]}))

        assert "paper, 20 ms" in page.source
        assert "paper, 33 ms" in moved

    def test_measured_latency_is_drawn(self) -> None:
        """A measured latency is in the figure, with its interval."""
        page = Page(html.render(run(latency=(11.0, 13.0))))

        assert "convnext_small: 12 ms [11, 13]" in page.text

    def test_run_without_measurements_has_no_figures(self) -> None:
        """If nothing was measured, the page says so instead of showing figures."""
        (paper,) = run().papers
        claims = [c.model_copy(update={"rows": [], "row": None}) for c in paper.claims]
        empty = paper.model_copy(update={"claims": claims, "rooflines": []})

        page = Page(html.render(run().model_copy(update={"papers": [empty]})))

        assert "Nothing was measured, so there is nothing to draw." in page.text

    def test_run_without_claims_has_a_page(self) -> None:
        """If no claim was judged, the page says so."""
        assert "No claim was judged." in Page(html.render(run().model_copy(update={"papers": []}))).text

    def test_several_papers_share_the_table(self) -> None:
        """Several papers share one table and have one section each."""
        (paper,) = run().papers
        second = paper.model_copy(update={"id": "second", "title": "Another Paper"})

        page = Page(html.render(run().model_copy(update={"papers": [paper, second]})))

        assert "2 papers, claim by claim" in page.text
        assert {"paper/fast", "second/fast", "paper-overview", "second-overview"} <= set(page.ids)
        assert len(page.ids) == len(set(page.ids))
