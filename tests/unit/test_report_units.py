"""Values of a row are shown in its own unit, with as many digits as tell them from the band, everywhere."""

from __future__ import annotations

import re

import pytest

from edgeai_repro.claims.schema import Paper
from edgeai_repro.report import document, html, markdown, terminal, text
from edgeai_repro.report.document import ClaimEntry, Document, PaperEntry
from edgeai_repro.report.figures.claims import overview
from edgeai_repro.report.figures.counted import counted
from edgeai_repro.report.figures.style import WIDTH
from tests.support.factories import claim, judged, paper_entry, row
from tests.support.reports import HERE

UNITS = {"unit": ["MB", "MiB"]}
SIZE = {
    **{"metric": "size", "technique": "none", "quote": "a 4.8MB model", "printed": "4.8MB", "value": 4.8},
    **{"band": {"rounding": 0.05, "derivation": "for the test"}, "conditions": {"classes": [10], **UNITS}},
    "choice": {"name": "unit", "default": "MB", "swept_on": ["convnext_tiny"]},
}


def paper_of(*verdicts: ClaimEntry) -> PaperEntry:
    """Return a paper with some claims."""
    return document.paper_entry(Paper.model_validate(paper_entry()), verdicts, [])


@pytest.fixture(scope="module")
def in_both() -> ClaimEntry:
    """A size that fits in MiB only; both units were tried."""
    megabytes = row(5.0, 4.994, conditions={"classes": 10, "unit": "MB"})
    mebibytes = row(4.77, 4.762, conditions={"classes": 10, "unit": "MiB"})
    return document.claim_entry(judged(claim(**SIZE), [megabytes, mebibytes]))


def test_value_in_mebibytes_is_not_called_megabytes(in_both: ClaimEntry) -> None:
    """The row in MiB decides; the table, the reason and the rows name its unit."""
    run = Document(environment=HERE, papers=[paper_of(in_both)])

    assert (text.reported_value(in_both), text.actual_value(in_both)) == ("4.77 MiB", "4.76 MiB")
    assert "4.76 MB" not in in_both.reason
    for shown in (html.render(run), markdown.render(run), terminal.render(run, colour=False)):
        assert "4.76 MiB" in shown
        assert "4.76 MB" not in shown
    for heading in ("reported", "actual"):
        assert f'<th scope="col" class="number">{heading}</th>' in html.render(run)


def test_unit_of_all_rows_stands_in_the_heading() -> None:
    """Then the cells do without it."""
    size = {**SIZE, "conditions": {"classes": [10]}, "choice": None}
    entry = document.claim_entry(judged(claim(**size), [row(4.82, 4.81, conditions={"classes": 10})]))

    page = html.render(Document(environment=HERE, papers=[paper_of(entry)]))

    assert '<th scope="col" class="number">reported, MB</th>' in page
    assert '<td class="number reported">4.82</td>' in page


def test_band_in_a_unit_of_several_words_is_shown_without_it() -> None:
    """As in "of the output"."""
    ratio = claim(metric="output_difference", technique="reparameterize", band={"rounding": 1.0, "derivation": "x"})

    assert text.band_edges(document.claim_entry(judged(ratio, [row(10.0)]))) == "9 … 11"


def test_figure_shows_each_value_in_its_unit(in_both: ClaimEntry) -> None:
    """A ratio or a size is no reduction, and 0.3 G tells nothing from a band around 300 M."""
    macs = claim(
        id="work",
        **{"metric": "macs", "technique": "none", "quote": "300M", "printed": "300M", "value": 0.3},
        band={"rounding": 0.0005, "derivation": "for the test"},
    )
    saved = claim(id="saved")
    paper = paper_of(
        in_both,
        document.claim_entry(judged(macs, [row(0.32749, 0.30077)])),
        document.claim_entry(judged(saved, [row(10.0, 9.5)])),
    )

    plot = counted(paper)

    assert plot is not None
    shown = re.findall(r"<text [^>]*>(.*?)</text>", plot.svg)
    assert "reduction" not in plot.svg
    assert {"work: paper 300M", "327.49 M", "300.77 M", "saved: paper 10 %", "9.5 %"} <= set(shown)
    assert [label for label in shown if re.fullmatch(r"\d+ %", label)] == [
        *("0 %", "25 %", "50 %", "75 %", "100 %", "10 %")
    ]


@pytest.mark.parametrize(
    ("value", "ticks"),
    [
        (10.5, ["−10", "−1", "paper", "+1", "+10"]),
        (60.0, ["−100", "−10", "−1", "paper", "+1", "+10", "+100"]),
        (700.0, ["−100", "−1", "paper", "+1", "+100"]),
        (7_000.0, ["−10⁴", "−100", "−1", "paper", "+1", "+100", "+10⁴"]),
    ],
)
def test_ticks_of_the_overview_leave_room_for_their_labels(value: float, ticks: list[str]) -> None:
    """At most two powers of ten are labelled beyond 1 on each side, large ones by their exponent."""
    plot = overview(paper_of(document.claim_entry(judged(claim(), [row(value)]))))

    assert plot is not None
    shown = re.findall(r"<text [^>]*>(.*?)</text>", plot.svg)
    assert sorted(label for label in shown if label in ticks or label[0] in "−+") == sorted([*ticks, "paper"])


def test_label_below_the_overview_is_centred_on_the_figure() -> None:
    """Long names of claims leave axes that are narrower than the label, which would reach beyond the figure."""
    plot = overview(
        paper_of(document.claim_entry(judged(claim(id="a-claim-with-a-name-of-some-length"), [row(9)])))
    )

    assert plot is not None
    label = re.search(r'text-anchor: middle[^>]*x="([\d.]+)"[^>]*>distance from the paper', plot.svg)
    assert label is not None
    assert float(label[1]) == pytest.approx(WIDTH / 2, abs=1)
