"""Results of several processes come together in one document."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgeai_repro.errors import UserError
from edgeai_repro.judge.verdict import error_verdict
from edgeai_repro.report import document
from edgeai_repro.report.document import LARGE, Document, PaperEntry, claim_entry
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


def of_claims(number: int) -> Document:
    """Return the document of a run with so many claims."""
    paper = PaperEntry(id="paper", title="A Paper", claims=[VERDICT] * number, implications=[])
    return Document(environment=HERE, papers=[paper])


@pytest.mark.parametrize("large", [False, True])
def test_document_of_any_size_is_read_again(large: bool, tmp_path: Path) -> None:
    """One of many claims stands on one line, which saves a third of its bytes; others have a line per value."""
    run = of_claims(LARGE + large)
    document.write(run, tmp_path / "run.json")

    assert document.read(tmp_path / "run.json") == run
    assert ((tmp_path / "run.json").read_text("utf-8").count("\n") == 1) == large


def test_document_that_nothing_could_read_is_not_written(tmp_path: Path) -> None:
    """The earlier file stays; the message says how to divide the claims."""
    document.write(of_claims(1), tmp_path / "run.json")
    size = (tmp_path / "run.json").stat().st_size

    document.write(of_claims(1), tmp_path / "run.json", most_bytes=size)
    with pytest.raises(UserError, match=rf"at most {size} bytes .* --claims-shard"):
        document.write(of_claims(2), tmp_path / "run.json", most_bytes=size)

    assert document.read(tmp_path / "run.json") == of_claims(1)
