"""The verdict table reads well at any width: columns drop by importance, and no number is cut."""

from __future__ import annotations

import re

import pytest

from edgeai_repro.report import terminal
from edgeai_repro.report.text import reported_value
from tests.support import reports

RUN = reports.run(hostile="plain", latency=(18.0, 19.0))
CLAIMS = RUN.papers[0].claims
WIDTHS = (20, 40, 60, 80, 120, 200)


@pytest.mark.parametrize("width", WIDTHS)
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    """Nothing wraps by the terminal."""
    shown = terminal.render(RUN, colour=False, width=width)

    assert max(map(len, shown.splitlines())) <= width


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_is_cut(width: int) -> None:
    """There is no ellipsis in place of digits, and every verdict is there in full."""
    shown = terminal.render(RUN, colour=False, width=width)
    words = " ".join(shown.split())

    assert not re.search(r"[\d%a-z]…|…[\d%a-z]", words)
    for claim in CLAIMS:
        assert claim.id in words
        assert claim.verdict.replace("_", " ") in words


def test_columns_drop_by_importance() -> None:
    """The claim and its verdict are always there; what would flip it drops first."""
    order = ["claim", "verdict", "paper", "reported", "actual", "band", "flips if"]
    numbers = []
    for width in range(60, 150, 5):
        lines = terminal.render(RUN, colour=False, width=width).splitlines()
        (heading,) = [line for line in lines if line.lstrip().startswith("claim ")]
        headings = re.split(r"\s{2,}", heading.strip())
        numbers.append(len(headings))
        assert set(headings) == set(order[: len(headings)]), width

    assert numbers == sorted(numbers)
    assert (numbers[0] < len(order), numbers[-1]) == (True, len(order))


def test_narrow_terminal_gets_a_list() -> None:
    """In 20 columns each row becomes lines of words, with every value."""
    shown = " ".join(terminal.render(RUN, colour=False, width=20).split())

    for claim in CLAIMS:
        assert f"{claim.id} paper: {claim.printed}" in shown
        assert reported_value(claim) in shown


def test_front_page_shows_signs_if_words_do_not_fit() -> None:
    """A line below the table says what they mean."""
    other = RUN.papers[0].model_copy(update={"id": "other"})
    several = RUN.model_copy(update={"papers": [RUN.papers[0], other]})

    assert "✓ reproduced, ◐ attainable" in terminal.render(several, colour=False, width=60)
    assert "✓ reproduced, ◐ attainable" not in terminal.render(several, colour=False, width=120)
