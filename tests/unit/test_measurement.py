"""Measurements as data."""

from __future__ import annotations

import math

import pytest
from pydantic import ValidationError

from edgeai_repro.evidence.measurement import Environment, Interval, Measurement
from tests.support.factories import row


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_infinite_values_are_refused(value: float) -> None:
    """Raises ValidationError for a number that isn't finite: it is no measurement."""
    with pytest.raises(ValidationError, match="finite number"):
        Interval.exact(value)


@pytest.mark.parametrize(("value", "low", "high"), [(1.0, 2.0, 3.0), (4.0, 2.0, 3.0), (2.5, 3.0, 2.0)])
def test_value_outside_of_its_interval_is_refused(value: float, low: float, high: float) -> None:
    """Raises ValidationError if the value doesn't lie in its interval."""
    with pytest.raises(ValidationError, match=r"'value' must lie in \[low, high\]"):
        Interval(value=value, low=low, high=high)


def test_exact_interval_has_no_width() -> None:
    """What was counted has an interval without width."""
    assert Interval.exact(3.0) == Interval(value=3.0, low=3.0, high=3.0)


def test_row_can_not_be_changed() -> None:
    """Raises ValidationError if a row is changed after it was measured."""
    with pytest.raises(ValidationError, match="frozen"):
        row(1.0).model = "another"  # type: ignore[misc]


def test_unknown_key_is_refused() -> None:
    """Raises ValidationError for a key that the schema doesn't have."""
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        Measurement.model_validate({**row(1.0).model_dump(), "valeu": 1})


@pytest.mark.parametrize(
    ("field", "value", "rule"), [("n", 0, "greater than 0"), ("seconds", -1.0, "greater than or equal to 0")]
)
def test_field_out_of_bounds_is_refused(field: str, value: float, rule: str) -> None:
    """Raises ValidationError for a number of observations below one, and for negative seconds."""
    with pytest.raises(ValidationError, match=rule):
        Measurement.model_validate({**row(1.0).model_dump(), field: value})


def test_json_has_these_keys() -> None:
    """A row has the fields that the design gives it, and beside them a timing's control and a sweep's curve."""
    written = row(1.0).model_dump()

    assert list(written) == [
        "model",
        "technique",
        "settings",
        "conditions",
        "notes",
        "reported",
        "actual",
        "uncounted",
        "n",
        "source",
        "scale",
        "evidence",
        "seconds",
        "control",
        "curve",
    ]
    assert list(written["reported"]) == ["value", "low", "high"]


def test_row_survives_its_json() -> None:
    """The types of its notes survive, too."""
    measured = row((1.0, 2.0), 0.1 + 0.2, notes={"bits": 8, "target": 0.8, "reading": "points", "dense": True})

    again = Measurement.model_validate_json(measured.model_dump_json())

    assert again == measured
    assert [type(value) for value in again.notes.values()] == [int, float, str, bool]


def test_machine_without_torch_has_no_threads_and_no_engine() -> None:
    """There is no device either."""
    here = Environment(python="3.11", machine="x86_64", cpu="cpu", cores=2, versions={})

    assert (here.threads, here.engine, here.device) == (None, None, None)
