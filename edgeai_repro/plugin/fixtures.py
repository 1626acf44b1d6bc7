"""The fixtures: claims, implications and contenders, and what is measured of them.

PYTEST_DONT_REWRITE: it has no assertions, and the hooks import it before pytest could rewrite them.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterator
from typing import NoReturn

import pytest

from edgeai_repro.claims.paper_info import ImplicationSpec
from edgeai_repro.claims.schema import Claim, ClaimCase, ImplicationCase
from edgeai_repro.edge.contenders import Contender
from edgeai_repro.edge.deployed_models import DeployedModels
from edgeai_repro.errors import MissingRequirement, TooNoisyError, UserError
from edgeai_repro.judge.verdict import Verdict
from edgeai_repro.measure.latency.interleaved import Timing
from edgeai_repro.plugin import benchmark_replay
from edgeai_repro.report import text
from edgeai_repro.report.document import ClaimEntry, ImplicationEntry
from edgeai_repro.report.plain import printable, printable_line
from edgeai_repro.report.results import Result
from edgeai_repro.session import Session

SESSION = pytest.StashKey[Session | None]()
RESULTS = pytest.StashKey[list[Result]]()  # of a test, until its next report takes them
NEED_CLAIMS = (
    *("verdict", "claim", "claim_case", "implication_result", "implication", "implication_case"),
    *("latency", "contender", "report_outcome"),
)
CASE, IMPLICATION = "claim_case", "implication_case"  # the fixtures that are parametrized


@pytest.fixture
def claim_case(request: pytest.FixtureRequest) -> ClaimCase:
    """A claim of the claims folder, with its paper; tests that take it run once for each claim."""
    _session(request)
    case: ClaimCase = request.param
    return case


@pytest.fixture
def claim(claim_case: ClaimCase) -> Claim:
    """A claim of the claims folder; tests that take it run once for each claim."""
    return claim_case.claim


@pytest.fixture
def implication_case(request: pytest.FixtureRequest) -> ImplicationCase:
    """An implication of the claims folder, with its paper; tests that take it run once for each."""
    _session(request)
    case: ImplicationCase = request.param
    return case


@pytest.fixture
def implication(implication_case: ImplicationCase) -> ImplicationSpec:
    """An implication of the claims folder; tests that take it run once for each."""
    return implication_case.spec


@pytest.fixture
def verdict(request: pytest.FixtureRequest, claim_case: ClaimCase) -> Verdict:
    """Measure and judge a claim, once per run; the verdict also goes into the table and the file."""
    session = _session(request)
    with _in_one_line():
        verdict = session.judge(claim_case)
    keep(request.node, session.result(claim_case, verdict))
    return verdict


def keep(item: pytest.Item, result: Result) -> None:
    """Keep a result for the next report of a test; JUnit files show that of a claim as properties of the test."""
    item.stash.setdefault(RESULTS, []).append(result)
    if isinstance(result.entry, ClaimEntry):
        item.user_properties += text.properties(result.case.partition("/")[0], result.entry).items()


@pytest.fixture
def contender(request: pytest.FixtureRequest) -> Contender:
    """A model of the bundle in a runtime; tests that take it run once for each contender."""
    _session(request)
    contender: Contender = request.param
    return contender


@pytest.fixture
def latency(request: pytest.FixtureRequest, contender: Contender) -> Timing:
    """The times of a contender, from the run that the verdicts rest on; pytest-benchmark gets them, too."""
    session = _session(request)
    models = session.deployed
    if not isinstance(models, DeployedModels):
        raise LookupError("contenders come from a bundle")
    with _in_one_line(), session.alone():
        timing = models.timings[contender]
    benchmark_replay.replay_into(request, models, session.cases, contender, timing)
    return timing


@contextlib.contextmanager
def _in_one_line() -> Iterator[None]:
    """Show errors that users can fix in one line, without a traceback; skip if a requirement is missing."""
    __tracebackhide__ = True
    failure = skip = None
    try:
        yield
    except (UserError, TooNoisyError) as error:
        failure = str(error)
    except MissingRequirement as missing:
        skip = missing.remedy
    if failure is not None:  # after the handler, or pytest would also show the error that it handled
        pytest.fail(printable(failure), pytrace=False)
    if skip is not None:
        pytest.skip(printable_line(skip))


@pytest.fixture
def implication_result(request: pytest.FixtureRequest, implication_case: ImplicationCase) -> ImplicationEntry:
    """Check an implication by arithmetic; the result also goes into the table and the file."""
    session = _session(request)
    entry = session.check_implication(implication_case)
    keep(request.node, session.result(implication_case, entry))
    return entry


@pytest.fixture
def report_outcome(request: pytest.FixtureRequest) -> Callable[[Verdict], None]:
    """Return the function that turns a verdict into pytest's outcome: passed, xfailed, skipped or failed."""
    session = _session(request)

    def report(verdict: Verdict) -> None:
        __tracebackhide__ = True
        failure = session.failure_reason(verdict)
        if failure:
            pytest.fail(printable(failure), pytrace=False)
        if verdict.verdict in ("artefact", "contradicted"):
            pytest.xfail(printable_line(f"{verdict.verdict}: {verdict.claim.expect.reason}"))
        if verdict.verdict in ("inconclusive", "not_testable"):
            pytest.skip(printable_line(f"{verdict.verdict}: {verdict.reason}"))

    return report


@pytest.fixture
def settle() -> NoReturn:
    """Refuse the former name of `report_outcome`."""
    pytest.fail("the fixture 'settle' is now called 'report_outcome'; rename it", pytrace=False)


@pytest.fixture
def finding() -> NoReturn:
    """Refuse the former name of `implication_result`."""
    pytest.fail("the fixture 'finding' is now called 'implication_result'; rename it", pytrace=False)


def _session(request: pytest.FixtureRequest) -> Session:
    session = request.config.stash[SESSION]
    if session is None:
        message = (
            f"the test takes {_taken(request)!r}, but the claims folder is missing; name one with "
            "--claims-dir=DIR, or as claims_dir in pytest's configuration"
        )
        pytest.fail(message, pytrace=False)
    return session


def _taken(request: pytest.FixtureRequest) -> str | None:
    """Return the fixture that the test names among those that need claims."""
    function = request.node.function if isinstance(request.node, pytest.Function) else None
    named = inspect.signature(function).parameters if function else {}
    return next((name for name in NEED_CLAIMS if name in named), request.fixturename)
