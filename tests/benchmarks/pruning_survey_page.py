"""The page that the survey of pruning writes."""

from __future__ import annotations

from collections.abc import Sequence

from tests.support.pruning import Survey


def page(surveys: Sequence[Survey]) -> str:
    """Return the page."""
    return ""
