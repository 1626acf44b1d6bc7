"""Results of several processes come together in one document."""

from __future__ import annotations

from edgeai_repro.judge.verdict import error_verdict
from edgeai_repro.report.document import claim_entry
from edgeai_repro.report.results import Result, Results
from tests.support.factories import claim, judged, row
from tests.support.reports import HERE

VERDICT = claim_entry(judged(claim(), [row(10.0)]))
ERROR = claim_entry(error_verdict(claim(), "it broke"))
WITHOUT_TORCH = HERE.model_copy(update={"threads": None, "engine": None})


def test_error_does_not_replace_a_verdict() -> None:
    """Two tests may take the same claim; a verdict replaces an error."""
    for entries in ([VERDICT, ERROR], [ERROR, VERDICT]):
        results = Results()
        for entry in entries:
            results.add(Result(case="paper/a-claim", entry=entry, environment=HERE))

        assert results.claims == {"paper/a-claim": VERDICT}


def test_seconds_of_all_processes_are_added() -> None:
    """Each step has its own sum."""
    results = Results()
    for seconds in ({"build": 1.0}, {"build": 2.0, "count": 4.0}):
        results.add(Result(case="paper/a-claim", entry=VERDICT, environment=HERE, seconds=seconds))

    assert results.seconds == {"build": 3.0, "count": 4.0}


def test_environment_is_that_of_a_process_with_torch() -> None:
    """A worker that judged only claims from records doesn't know torch's threads and engine."""
    for environments in ([WITHOUT_TORCH, HERE], [HERE, WITHOUT_TORCH]):
        results = Results()
        for environment in environments:
            results.add(Result(case="paper/a-claim", entry=VERDICT, environment=environment))

        assert results.environment == HERE


def test_result_is_the_same_after_it_travelled() -> None:
    """It travels as JSON."""
    result = Result(case="paper/a-claim", entry=VERDICT, environment=HERE, seconds={"build": 0.1})

    assert Result.model_validate_json(result.model_dump_json()) == result
