"""Hints for names that aren't known."""

from __future__ import annotations

import pytest

from edgeai_repro.errors import did_you_mean
from edgeai_repro.networks.variants import CONVNEXT_VARIANTS

ALL = "known are convnext_atto, convnext_base, convnext_large, convnext_small, convnext_tiny, convnext_xlarge"


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("tiny", "did you mean 'convnext_tiny'?"),
        ("convnext_tinny", "did you mean 'convnext_tiny'?"),
        ("convnext_lage", "did you mean 'convnext_large'?"),
        ("vgg", ALL),
        ("", ALL),
        ("t", ALL),
    ],
)
def test_nearest(name: str, hint: str) -> None:
    """The one name that holds the given one, else the most similar, else all names."""
    assert did_you_mean(name, CONVNEXT_VARIANTS) == hint


def test_none_known() -> None:
    """Where no name is known, that is what is said."""
    assert did_you_mean("tiny", []) == "none is known"
