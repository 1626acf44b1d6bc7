"""What holds of any claim: its file gives it back, and its band has two closed edges."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import edgeai_repro.builtin  # noqa: F401 - registers the metrics and techniques that claims name
from edgeai_repro.claims.load import load_file
from edgeai_repro.claims.registry import METRICS, TECHNIQUES
from edgeai_repro.claims.schema import Claim, Paper
from edgeai_repro.claims.values import RANGES
from tests.support.factories import PAPER, claim

FULL_SCALE = {"init": "pretrained", "epochs": 1, "resolution": 32, "stem_stride": 4}
MODELS = ["convnext_tiny", "convnext_small", "convnext_base", "alexnet"]
SIDES = ["both", "at_least", "at_most"]
TEXT = st.text(min_size=1, max_size=40)
NUMBERS = st.floats(-1e6, 1e6)
WIDTHS = st.floats(0, 1e3)
NAMES = st.from_regex(r"[a-z0-9]{1,8}(-[a-z0-9]{1,8}){0,2}", fullmatch=True)
VALUES = st.one_of(st.booleans(), st.integers(-1000, 1000), NUMBERS, TEXT)
BANDS = st.fixed_dictionaries(
    {"rounding": WIDTHS, "side": st.sampled_from(SIDES), "derivation": TEXT},
    optional={"sampling": WIDTHS, "tolerance": WIDTHS, "interpretation": WIDTHS},
)
# Those that take any technique, any setting and any value of a condition.
PLAIN_METRICS = sorted(
    name
    for name, metric in METRICS.items()
    if metric.source == "compressed" and metric.compares != "always" and metric.better is not None
    if not (metric.techniques or metric.over or metric.conditions)
)
PLAIN_TECHNIQUES = sorted(name for name, technique in TECHNIQUES.items() if not technique.optional)
INTERVALS = st.tuples(NUMBERS, NUMBERS).map(sorted)


def lists(name: str) -> st.SearchStrategy[list[Any]]:
    """Draw lists of values that a setting or a condition may have."""
    if name not in RANGES:
        return st.lists(VALUES, min_size=1, max_size=3)
    allowed = RANGES[name]
    low, high = (end if end is not None else open for end, open in ((allowed.low, -1e6), (allowed.high, 1e6)))
    floats = st.floats(low, high, exclude_min=allowed.low_is_open, exclude_max=allowed.high_is_open)
    whole = st.integers(math.ceil(low), math.floor(high)).filter(allowed.contains)
    return st.lists(whole if allowed.whole else floats | whole, min_size=1, max_size=3)


@st.composite
def claims(draw: st.DrawFn) -> dict[str, Any]:
    """Draw a claim as its file has it."""
    models = draw(st.lists(st.sampled_from(MODELS), min_size=1, unique=True))
    others = [model for model in MODELS if model not in models]
    metric = draw(st.sampled_from(PLAIN_METRICS))
    technique = draw(st.sampled_from(PLAIN_TECHNIQUES))
    settings = {name: draw(lists(name)) for name in TECHNIQUES[technique].settings}
    conditions = {name: draw(lists(name)) for name in ("resolution", "classes")}
    values = {**settings, **conditions}
    choosable = [name for name in values if len(values[name]) > 1]
    verdicts = ["reproduced", "contradicted", *["artefact"] * METRICS[metric].has_actual]
    printed = draw(TEXT)
    entry: dict[str, Any] = {
        "id": draw(NAMES),
        "quote": draw(TEXT) + printed,
        "source": draw(st.sampled_from(["abstract", "summary", "figure", "readme", "ours"])),
        "locator": draw(TEXT),
        "printed": printed,
        "metric": metric,
        "technique": technique,
        "models": models,
        "also_shown": draw(st.lists(st.sampled_from(others), max_size=2, unique=True)) if others else [],
        "quantifier": "named" if len(models) == 1 else draw(st.sampled_from(["up_to", "every"])),
        "value": draw(NUMBERS),
        "band": draw(BANDS),
        "settings": settings,
        "conditions": conditions,
    }
    if choosable:
        name = draw(st.sampled_from(choosable))
        entry["choice"] = {"name": name, "default": draw(st.sampled_from(values[name])), "swept_on": models}
        verdicts.append("attainable")
    return {**entry, "expect": {"verdict": draw(st.sampled_from(verdicts)), "reason": draw(TEXT)}}


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A path for a claims file."""
    return tmp_path_factory.mktemp("claims") / "paper.yaml"


@settings(max_examples=60)
@given(entries=st.lists(claims(), min_size=1, max_size=3, unique_by=lambda entry: entry["id"]))
def test_claims_file_gives_back_what_was_written(file: Path, entries: list[dict[str, Any]]) -> None:
    """A claims file gives back what was written, text, numbers and the kinds of settings' values alike."""
    written = Paper.model_validate(
        {"schema_version": 2, "paper": PAPER, "claims": entries, "full_scale": FULL_SCALE}
    )
    text = yaml.safe_dump(written.model_dump(mode="json"), sort_keys=False)
    file.write_text(text, encoding="utf-8")

    read = load_file(file)

    assert isinstance(read, Paper)
    assert read.claims == written.claims
    assert read.paper == written.paper
    for found, entry in zip(read.claims, entries, strict=True):
        assert [[type(value) for value in values] for values in found.settings.values()] == [
            [type(value) for value in values] for values in entry["settings"].values()
        ]


def _claim(value: float, band: dict[str, Any]) -> Claim:
    return claim(value=value, band=band)


@given(value=NUMBERS, band=BANDS)
def test_value_and_edges_lie_in_the_band_and_the_next_number_beyond_does_not(
    value: float, band: dict[str, Any]
) -> None:
    """The paper's value and each edge lie in the band; the next number beyond an edge doesn't."""
    asked = _claim(value, band)
    low, high = asked.edges

    assert asked.locate(value, value) == "inside"
    for edge, beyond in ((low, -math.inf), (high, math.inf)):
        if math.isfinite(edge):
            outer = math.nextafter(edge, beyond)
            assert asked.locate(edge, edge) == "inside"
            assert asked.locate(outer, outer) == "outside"
            assert asked.locate(min(edge, outer), max(edge, outer)) == "straddles"


@given(value=NUMBERS, band=BANDS)
def test_band_is_as_wide_as_its_parts_together(value: float, band: dict[str, Any]) -> None:
    """A band is as wide as its parts together, and infinite at its open end."""
    low, high = _claim(value, band).edges
    width = band["rounding"] + band.get("sampling", 0.0) + band.get("tolerance", 0.0)
    width += band.get("interpretation", 0.0)

    assert low == (-math.inf if band["side"] == "at_most" else value - width)
    assert high == (math.inf if band["side"] == "at_least" else value + width)


@given(value=NUMBERS, band=BANDS, interval=INTERVALS, share=st.floats(0, 1))
def test_interval_inside_lies_in_the_band_and_one_outside_does_not(
    value: float, band: dict[str, Any], interval: list[float], share: float
) -> None:
    """All of an interval that is inside lies in the band, nothing of one that is outside does."""
    asked = _claim(value, band)
    low, high = interval
    point = min(max(low + share * (high - low), low), high)

    where = asked.locate(low, high)

    within = asked.edges[0] <= point <= asked.edges[1]
    assert within or where != "inside"
    assert not within or where != "outside"


@given(value=NUMBERS, band=BANDS, interval=INTERVALS, more=WIDTHS)
def test_wider_band_never_turns_inside_to_outside(
    value: float, band: dict[str, Any], interval: list[float], more: float
) -> None:
    """A wider band never turns inside to outside, nor a wider interval straddling to decided."""
    asked, wider = _claim(value, band), _claim(value, {**band, "tolerance": band.get("tolerance", 0.0) + more})
    order = ["outside", "straddles", "inside"]

    assume(wider.band.width >= asked.band.width)
    assert order.index(wider.locate(*interval)) >= order.index(asked.locate(*interval))
    if asked.locate(*interval) == "straddles":
        assert asked.locate(interval[0] - more, interval[1] + more) == "straddles"
