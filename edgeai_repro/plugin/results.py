"""Results travel on the reports of tests; the process that reports the run collects them and writes the files.

pytest-xdist carries the reports from its workers to its controller. Without it, there is only one process, and the
way is the same. So a worker that crashes loses only what it had not reported yet.

PYTEST_DONT_REWRITE: it has no assertions, and the hooks import it before pytest could rewrite them.
"""

from __future__ import annotations

import os
import time
from collections.abc import Generator, Iterator, Mapping
from functools import cached_property
from pathlib import Path

import pytest

from edgeai_repro.claims.schema import ClaimCase
from edgeai_repro.errors import UserError, one_line
from edgeai_repro.interruption import LINE, watched
from edgeai_repro.judge.formatting import duration
from edgeai_repro.judge.verdict import error_verdict
from edgeai_repro.plugin import quick_exit
from edgeai_repro.plugin.fixtures import CASE, RESULTS, SESSION, keep
from edgeai_repro.report import front_page, github, terminal, text
from edgeai_repro.report.document import ClaimEntry, Document
from edgeai_repro.report.results import Result, Results
from edgeai_repro.report.time_left import TimeLeft

StatusOfReport = tuple[str, str, str | tuple[str, Mapping[str, bool]]]  # category, letter, word
SLOW = 10.0  # seconds of a claim that is announced
ATTRIBUTE = "claims_results"  # of a test's report: a list of results, each as JSON


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Put the results of a test on its report; a claim whose measurement failed is one, too."""
    _keep_error(item, call)
    report = yield
    results = item.stash.get(RESULTS, [])
    vars(report)[ATTRIBUTE] = [result.model_dump_json() for result in results]
    results.clear()
    return report


def _keep_error(item: pytest.Item, call: pytest.CallInfo[None]) -> None:
    """Keep an error in the setup of a test as the result of its claim; pytest shows it as an error."""
    session = item.config.stash.get(SESSION, None)
    error = call.excinfo.value if call.excinfo and call.when == "setup" else None
    if session is None or not isinstance(item, pytest.Function) or not hasattr(item, "callspec"):
        return
    case = item.callspec.params.get(CASE)
    if isinstance(case, ClaimCase) and isinstance(error, Exception | pytest.fail.Exception):
        reason = str(error) if isinstance(error, pytest.fail.Exception) else one_line(error)
        keep(item, session.result(case, error_verdict(case.claim, reason)))


class Collector:
    """The plugin of the process that reports the run. It collects the results, and shows and writes them."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._results = Results()
        self._shown: set[str] = set()  # the tests whose verdicts a terminal has shown
        self._started = time.monotonic()
        self._written = False

    @property
    def _terminal(self) -> pytest.TerminalReporter | None:
        """pytest's reporter, None unless it writes to a terminal and shows less than one line per test."""
        reporter: pytest.TerminalReporter | None = self._config.pluginmanager.getplugin("terminalreporter")
        brief = self._config.get_verbosity(pytest.Config.VERBOSITY_TEST_CASES) <= 0
        return reporter if reporter is not None and reporter.isatty and brief else None

    @pytest.hookimpl(wrapper=True)
    def pytest_sessionstart(self) -> Generator[None, None, None]:
        """Leave out the path of each test in a run of only claims on a terminal, because verdicts are shown."""
        if self._terminal is not None and "claims" in self._config.option.markexpr:
            self._terminal.showfspath = False
        with quick_exit.in_one_line():  # the header imports torch, for seconds
            yield

    @pytest.hookimpl(wrapper=True)
    def pytest_collection(self) -> Generator[None, object, object]:
        """End the collection of tests with our line at Ctrl-C."""
        with quick_exit.in_one_line():
            return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_report_teststatus(
        self, report: pytest.TestReport | pytest.CollectReport
    ) -> Generator[None, StatusOfReport, StatusOfReport]:
        """Leave out pytest's letter for a test whose verdict is shown, unless it failed."""
        category, letter, word = yield
        shown = report.nodeid in self._shown and not report.failed
        return (category, "", "") if shown else (category, letter, word)

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """Say on a terminal how long a slow claim will take before it starts."""
        case = nodeid.partition("[")[2].removesuffix("]")
        if self._terminal is not None and (seconds := self._time_left.of(case)) >= SLOW:
            self._terminal.ensure_newline()
            self._terminal.write_line(f"{case} took {duration(seconds)} in the kept run")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Collect the results that a report carries."""
        for encoded in getattr(report, ATTRIBUTE, []):
            result = Result.model_validate_json(encoded)
            self._results.add(result)
            if isinstance(result.entry, ClaimEntry):
                self._results.claim_seconds[result.case] = round(report.duration, 2)
                if self._terminal is not None:
                    self._shown.add(report.nodeid)
                    self._show(self._terminal, result.case, result.entry)

    def _show(self, terminal: pytest.TerminalReporter, case: str, entry: ClaimEntry) -> None:
        """Show a verdict as soon as it falls, with the number of claims and the time left."""
        judged, planned = self._results.claims, len(self._planned)
        left = self._time_left.after(judged, time.monotonic() - self._started)
        about = f", about {duration(left)} left" if left is not None and len(judged) < planned else ""
        terminal.ensure_newline()
        terminal.write_line(f"{len(judged)} of {planned}{about}  {case}: {text.verdict_label(entry)}")

    @cached_property
    def _planned(self) -> list[str]:
        session = self._config.stash[SESSION]
        return [] if session is None else [case.id for case in session.planned]

    @cached_property
    def _time_left(self) -> TimeLeft:
        session = self._config.stash[SESSION]
        return TimeLeft(self._planned, {} if session is None else session.earlier_seconds)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtestloop(self, session: pytest.Session) -> Generator[None, object, object]:
        """At Ctrl-C, write the results so far before fixtures and plugins end, and end the run as a stopped one.

        For an interrupted one, pytest parses the source of each frame, for half a second. If a library computes and
        doesn't return to Python, the process ends without it.
        """
        with watched(lambda: self._end(session), only_blocked=True):
            try:
                return (yield)
            except KeyboardInterrupt as interruption:
                self._results.partial = True
                self._write(session)
                quick_exit.leave_soon(self._config)
                if type(interruption) is not KeyboardInterrupt or self._config.option.fulltrace:
                    raise
        session.shouldstop = LINE
        return True

    def _end(self, session: pytest.Session) -> None:
        self._results.partial = True
        if (capture := self._config.pluginmanager.getplugin("capturemanager")) is not None:
            capture.suspend_global_capture()  # or the line would be lost with what the test printed
        self._write(session)
        self._config.get_terminal_writer().line(f"\n{LINE}")
        self._config.get_terminal_writer().flush()
        os._exit(pytest.ExitCode.INTERRUPTED)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None, object, object]:
        """Write the files, even if tests failed or the run was interrupted; report mistakes in claims files.

        They are written before any other plugin ends the run, which may raise.
        """
        if self._results.partial:
            session.exitstatus = pytest.ExitCode.INTERRUPTED
        try:
            self._write(session)
        except KeyboardInterrupt:  # all claims are judged; a file that was not yet written is the earlier one
            session.exitstatus = pytest.ExitCode.INTERRUPTED
            quick_exit.leave_soon(self._config)
            self._config.get_terminal_writer().line(f"\n{LINE}")
        return (yield)

    def _write(self, session: pytest.Session) -> None:
        """Write the files, once."""
        claims_session = self._config.stash[SESSION]
        if claims_session is None or self._written:
            return
        problems = list(claims_session.problems)
        try:
            if not self._config.option.collectonly:
                claims_session.write(self._results)
        except UserError as error:
            problems += str(error).splitlines()
        self._written = True
        if problems:
            session.exitstatus = pytest.ExitCode.USAGE_ERROR
        for problem in problems:
            self._config.get_terminal_writer().line(f"ERROR: {problem}", red=True)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Show the table of verdicts, and where the files are."""
        session = self._config.stash[SESSION]
        if session is None or self._results.is_empty:
            return
        terminalreporter.section("claims")
        screen = terminalreporter._tw
        width = screen.fullwidth if terminalreporter.isatty else None
        document = session.document(self._results)
        terminalreporter.write(terminal.render(document, colour=screen.hasmarkup, width=width))
        for line in _left_out(document):
            terminalreporter.write_line(line)
        if os.environ.get(github.VARIABLE):
            files = {paper.paper.id: paper.file for paper in session.papers if paper.file is not None}
            root = Path(os.environ.get("GITHUB_WORKSPACE") or self._config.rootpath)
            for command in github.commands(document, files, root):
                terminalreporter.write_line(command)
        for label, path in [
            ("verdicts and rows", session.options.json_path),
            ("report", session.options.report_folder),
        ]:
            if path is not None:
                terminalreporter.write_line(f"{label}: {path}")


def _left_out(document: Document) -> Iterator[str]:
    """Yield how many claims a quick run left out, and how they are judged."""
    claims = front_page.all_claims(document)
    if late := [claim for claim in claims if claim.requirement == "time"]:
        yield (
            f"{len(late)} of {len(claims)} claims were left out, because --claims-quick takes no more time; "
            "judge all without it, or those of some papers with --claims-papers=NAMES"
        )
