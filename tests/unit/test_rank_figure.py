"""The figure of MACs against time: each network of a set is a point."""

from __future__ import annotations

import re
from typing import Any

from edgeai_repro.evidence.measurement import Curve
from edgeai_repro.report import html
from edgeai_repro.report.document import Document
from edgeai_repro.report.figures.ranks import ranks
from edgeai_repro.report.figures.style import ACTUAL
from edgeai_repro.report.figures.trends import trends
from tests.support.reports import run

POINTS = [(0.03, 5.0), (0.9, 12.5), (0.3, 48.0)]


def timed(**changed: Any) -> Document:
    """Return a run whose first claim has timed three networks."""
    plain = run()
    (paper,) = plain.papers
    curve = Curve.model_validate({"over": "GMACs", "unit": "ms", "points": POINTS, **changed})
    row = paper.claims[0].rows[0].model_copy(update={"curve": curve})
    claims = [paper.claims[0].model_copy(update={"rows": [row]}), *paper.claims[1:]]
    return plain.model_copy(update={"papers": [paper.model_copy(update={"claims": claims})]})


def test_each_network_is_a_point_and_no_line_joins_them() -> None:
    """The figure has as many marks as networks; the figure of trends, which joins points, leaves them out."""
    (paper,) = timed().papers
    plot = ranks(paper)

    assert plot is not None
    assert len(re.findall(rf"<use [^>]*fill: {ACTUAL}", plot.svg)) == len(POINTS)
    assert trends(paper) is None


def test_points_are_told_in_words_and_in_the_report() -> None:
    """Screen readers get the numbers, sorted by MACs."""
    page = html.render(timed())

    assert "0.03 GMACs 5 ms, 0.3 GMACs 48 ms, 0.9 GMACs 12.5 ms" in page
    assert 'id="paper-ranks"' in page
    assert 'id="paper-trends"' not in page


def test_curve_over_a_setting_is_no_ranking() -> None:
    """It is a trend."""
    (paper,) = timed(over="sparsity").papers

    assert ranks(paper) is None
    assert trends(paper) is not None
