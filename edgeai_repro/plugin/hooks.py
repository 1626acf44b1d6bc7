"""The pytest plugin: options, marks, fixtures, and the verdicts at the end.

A test that takes the fixture `verdict` (or `claim`) runs once for each claim of the claims folder, in anyone's
repository. Measuring happens in fixtures, so what breaks there is pytest's *error*, never a verdict.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest

from edgeai_repro import __version__
from edgeai_repro.devices.fingerprint import fingerprint
from edgeai_repro.errors import MissingRequirement, TooNoisyError, UserError, did_you_mean, one_line
from edgeai_repro.evidence import environment
from edgeai_repro.judge.verdict import Verdict
from edgeai_repro.report import terminal
from edgeai_repro.session import Session

if TYPE_CHECKING:
    from edgeai_repro.claims.schema import Claim, ImplicationSpec
    from edgeai_repro.edge.contenders import Contender
    from edgeai_repro.measure.compressed_models import CompressedModels
    from edgeai_repro.measure.latency.interleaved import Timing
    from edgeai_repro.report.document import ImplicationEntry

RUN = pytest.StashKey[Session | None]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options, all under --claims."""
    group = parser.getgroup("claims", "claims of a paper")
    group.addoption(
        "--claims-dir", type=Path, metavar="DIR", help="folder of claims files (default: ini, claims_dir)"
    )
    group.addoption("--claims-models", metavar="NAMES", help="restrict to these models, by names with commas")
    group.addoption("--claims-json", type=Path, metavar="FILE", help="write the verdicts and all rows as JSON")
    group.addoption(
        "--claims-require", metavar="NEEDS", help="fail, not skip, where one of data,weights,edge is missing"
    )
    group.addoption(
        "--claims-report", type=Path, metavar="DIR", help="write report.html and report.md into a folder"
    )
    group.addoption(
        "--bundle", type=Path, metavar="DIR", help="what is deployed: a folder that `edgeai-repro bundle` wrote"
    )
    group.addoption(
        "--edge-threads", type=int, metavar="N", help="threads to time it with (default: one a usable core)"
    )
    parser.addini("claims_dir", "folder of claims files, relative to the root folder", default="")


def pytest_configure(config: pytest.Config) -> None:
    """Read the claims before anything else runs; bad input ends the run with one line."""
    config.addinivalue_line("markers", "claims: judges what a paper says")
    config.addinivalue_line("markers", "edge: needs an edge device or what is deployed on one")
    folder = config.option.claims_dir or (config.rootpath / ini if (ini := config.getini("claims_dir")) else None)
    options = {f"--claims-{name}": f"claims_{name}" for name in ("models", "json", "report", "require")}
    options |= {"--bundle": "bundle", "--edge-threads": "edge_threads"}
    given = [option for option, name in options.items() if config.getoption(name) is not None]
    if given and folder is None:
        raise pytest.UsageError(
            f"{given[0]} must come with a claims folder (got none); add --claims-dir, or write "
            f"{given[0]}=… in one word: else pytest may take its value for the path of tests"
        )
    try:
        config.stash[RUN] = folder and Session.from_options(
            folder,
            models=config.option.claims_models,
            required=config.option.claims_require,
            json_path=config.option.claims_json,
            report_folder=config.option.claims_report,
            bundle=config.option.bundle,
            threads=config.option.edge_threads,
        )
    except UserError as error:
        raise pytest.UsageError(str(error)) from None
    run = config.stash[RUN]
    if run and config.pluginmanager.hasplugin("benchmark"):
        from edgeai_repro.plugin.benchmark_storage import DeviceBenchmarkStorage

        store = DeviceBenchmarkStorage(config, fingerprint(run.edge.threads))
        config.pluginmanager.register(store, "edgeai-benchmark-store")


def pytest_report_header(config: pytest.Config) -> list[str]:
    """Tell what is tested, with what, and what is here; a variable that nobody reads is flagged."""
    run = config.stash[RUN]
    lines = []
    if run is not None:
        claims = ", ".join(f"{len(paper.claims)} claims of {paper.paper.id}" for paper in run.papers)
        models = "all models" if run.models is None else ", ".join(run.models)
        lines.append(f"edgeai-repro {__version__}: {claims}; {models}")
        if "claims" in config.option.markexpr:
            lines += _conditions()
    for name, (value, known) in environment.variables().items():
        hint = "" if known else f" is unknown: {did_you_mean(name, environment.VARIABLES)}"
        lines.append(f"{name}={value}{hint}")
    return lines


def _conditions() -> list[str]:
    with contextlib.suppress(ModuleNotFoundError):
        import_module("torch")  # the run needs it in any case, and loaded it tells its threads and engine
    here = environment.describe()
    versions = ", ".join(f"{name} {version}" for name, version in here.versions.items() if name != "edgeai-repro")
    engine = f"{here.threads} threads, engine {here.engine}" if here.engine else "without torch"
    emulated = f", emulating {here.machine}: nothing is timed" if here.emulated else ""
    return [versions, f"{here.cpu}, {here.cores} cores{emulated}; {engine}", environment.conditions()]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each test that takes `claim` or `implication` once for each, where there is a claims folder."""
    run = metafunc.config.stash[RUN]
    if run is not None:
        for name, entries in (("claim", run.claims), ("implication", run.implication_specs)):
            if name in metafunc.fixturenames:
                named = [pytest.param(entry, id=full_name, marks=_marks(entry)) for full_name, entry in entries]
                metafunc.parametrize(name, named, indirect=True)
        if "contender" in metafunc.fixturenames:
            contenders = [pytest.param(each, id=f"{run.edge.model}-{each}") for each in run.edge.contenders]
            metafunc.parametrize("contender", contenders, indirect=True)


def _marks(entry: Claim | ImplicationSpec) -> list[pytest.MarkDecorator]:
    return [pytest.mark.edge] if getattr(entry, "deployed", False) else []


@pytest.fixture
def claim(request: pytest.FixtureRequest) -> Claim:
    """A claim of the claims folder; tests that take it run once for each."""
    return cast("Claim", _parameter(request))


@pytest.fixture
def implication(request: pytest.FixtureRequest) -> ImplicationSpec:
    """An implication of the claims folder; tests that take it run once for each."""
    return cast("ImplicationSpec", _parameter(request))


@pytest.fixture(scope="session")
def lab(request: pytest.FixtureRequest) -> CompressedModels:
    """The lab, planned for the claims that were selected."""
    from edgeai_repro.measure.compressed_models import CompressedModels

    run = _run(request)
    items = [item for item in request.session.items if isinstance(item, pytest.Function)]
    selected = [item.callspec.params["claim"] for item in items if "lab" in item.fixturenames]
    planned = [claim for _, claim in run.claims if claim in selected and not claim.deployed]
    lab = CompressedModels(planned, models=run.models)
    run.seconds = lab.seconds
    return lab


@pytest.fixture
def verdict(request: pytest.FixtureRequest, claim: Claim, lab: CompressedModels) -> Verdict:
    """Measure and judge a claim, once a run; the verdict also goes into the table and the file."""
    run = _run(request)
    name = next(name for name, known in run.claims if known is claim)
    with _in_one_line():
        return run.verdicts.get(name) or run.judge(name, lab)


@pytest.fixture
def contender(request: pytest.FixtureRequest) -> Contender:
    """A model of the bundle in a runtime; tests that take it run once for each."""
    return cast("Contender", _parameter(request))


@pytest.fixture
def latency(request: pytest.FixtureRequest, contender: Contender) -> Timing:
    """A contender's times, from the one interleaved run that verdicts rest on; pytest-benchmark has them too."""
    from edgeai_repro.plugin import benchmark_replay

    run = _run(request)
    with _in_one_line():
        timing = run.edge.timings[contender]
    benchmark_replay.replay_into(request, run, contender, timing)
    return timing


@contextlib.contextmanager
def _in_one_line() -> Iterator[None]:
    """Show what a person can mend as pytest's error in one line, without a traceback; skip what can't be told."""
    __tracebackhide__ = True
    try:
        yield
    except (UserError, TooNoisyError) as error:
        pytest.fail(str(error), pytrace=False)
    except MissingRequirement as missing:
        pytest.skip(missing.remedy)


@pytest.fixture
def implication_result(request: pytest.FixtureRequest, implication: ImplicationSpec) -> ImplicationEntry:
    """Work out, by arithmetic alone, whether what claims imply of each other holds; it goes into the table too."""
    run = _run(request)
    name = next(name for name, known in run.implication_specs if known is implication)
    return run.check_implication(name, implication)


@pytest.fixture
def report_outcome(request: pytest.FixtureRequest) -> Callable[[Verdict], None]:
    """Return the function that turns a verdict into pytest's outcome: passed, xfailed, skipped or failed."""
    run = _run(request)

    def settle(verdict: Verdict) -> None:
        __tracebackhide__ = True
        failure = run.failure_reason(verdict)
        if failure:
            pytest.fail(failure, pytrace=False)
        if verdict.verdict in ("artefact", "contradicted"):
            pytest.xfail(f"{verdict.verdict}: {verdict.claim.expect.reason}")
        if verdict.verdict in ("inconclusive", "not_testable"):
            pytest.skip(f"{verdict.verdict}: {verdict.reason}")

    return settle


def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> None:
    """Note a claim that couldn't be measured, for the table and the file; pytest shows it as an error."""
    run = item.config.stash.get(RUN, None)
    error = call.excinfo.value if call.excinfo and call.when == "setup" else None
    if run is None or not hasattr(item, "callspec") or not isinstance(error, Exception | pytest.fail.Exception):
        return
    for name, claim in run.claims:
        if claim is item.callspec.params.get("claim"):
            run.record_error(name, str(error) if isinstance(error, pytest.fail.Exception) else one_line(error))


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write the files, also where tests failed or the run was interrupted."""
    run = session.config.stash.get(RUN, None)
    if run is None or session.config.option.collectonly:
        return
    try:
        run.write()
    except UserError as error:
        session.exitstatus = pytest.ExitCode.USAGE_ERROR
        session.config.get_terminal_writer().line(f"ERROR: {error}", red=True)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Show the table of verdicts."""
    run = config.stash[RUN]
    if run is None or not (run.verdicts or run.errors or run.implications):
        return
    terminalreporter.section("claims")
    screen = terminalreporter._tw
    width = screen.fullwidth if terminalreporter.isatty else None
    terminalreporter.write(terminal.render(run.document(), colour=screen.hasmarkup, width=width))
    for label, path in [("verdicts and rows", run.json_path), ("report", run.report_folder)]:
        if path is not None:
            terminalreporter.write_line(f"{label}: {path}")


def _run(request: pytest.FixtureRequest) -> Session:
    run = request.config.stash[RUN]
    if run is None:
        taken = f"a test takes {request.fixturename!r}"
        pytest.exit(
            f"{taken}, but there is no claims folder; name one with --claims-dir", pytest.ExitCode.USAGE_ERROR
        )
    return run


def _parameter(request: pytest.FixtureRequest) -> object:
    _run(request)
    return request.param
