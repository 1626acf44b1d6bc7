"""The pytest plugin: options, marks, fixtures, and the verdicts at the end.

A test that takes the fixture `verdict` (or `claim`) runs once for each claim of the claims folder, in any
repository. Claims are measured in fixtures, so a failed measurement is pytest's *error*, never a verdict.

PYTEST_DONT_REWRITE: it has no assertions, and the entry imports it before pytest could rewrite it.
"""

from __future__ import annotations

import contextlib
import shlex
import sys
from collections.abc import Generator
from importlib import import_module
from pathlib import Path

import pytest

from edgeai_repro import __version__
from edgeai_repro.claims.registry import is_timed
from edgeai_repro.claims.schema import ClaimCase
from edgeai_repro.devices.fingerprint import fingerprint
from edgeai_repro.errors import UserError, did_you_mean
from edgeai_repro.evidence import environment
from edgeai_repro.interruption import LINE
from edgeai_repro.measure.latency.threads import usable_cores
from edgeai_repro.options import Options
from edgeai_repro.plugin import quick_exit, xdist
from edgeai_repro.plugin.fixtures import CASE, IMPLICATION, SESSION
from edgeai_repro.plugin.results import Collector
from edgeai_repro.plugin.shown_timer import ShownTimer
from edgeai_repro.session import Session

CLAIMS_OPTIONS = ("models", "papers", "shard", "json", "report", "require")
OURS = [f"--claims-{name}" for name in (*CLAIMS_OPTIONS, "dir", "quick")]
pytest_plugins = ["edgeai_repro.plugin.fixtures", "edgeai_repro.plugin.results"]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    group = parser.getgroup("claims", "claims of a paper")
    group.addoption(
        "--claims-dir", type=Path, metavar="DIR", help="folder of claims files (default: ini option claims_dir)"
    )
    group.addoption("--claims-models", metavar="NAMES", help="restrict the run to these models, comma-separated")
    group.addoption("--claims-papers", metavar="NAMES", help="restrict the run to these papers, comma-separated")
    group.addoption(
        "--claims-shard", metavar="N/OF", help="judge only this part of the claims; other machines judge the others"
    )
    group.addoption("--claims-json", type=Path, metavar="FILE", help="write the verdicts and all rows as JSON")
    group.addoption(
        "--claims-quick", action="store_true", help="judge only what counts decide; nothing is timed, under 30 s"
    )
    group.addoption(
        "--claims-require", metavar="NEEDS", help="fail instead of skip if one of data,weights,edge is missing"
    )
    group.addoption(
        "--claims-report", type=Path, metavar="DIR", help="write report.html and report.md into a folder"
    )
    group.addoption(
        "--bundle", type=Path, metavar="DIR", help="the deployed models: a folder written by `edgeai-repro bundle`"
    )
    group.addoption(
        "--edge-threads", type=int, metavar="N", help="threads used for timing (default: one per usable core)"
    )
    parser.addini("claims_dir", "folder of claims files, relative to the root folder", default="")


@pytest.hookimpl(wrapper=True)
def pytest_load_initial_conftests(early_config: pytest.Config, args: list[str]) -> Generator[None, None, None]:
    """Refuse an unknown option of ours, and choose how tests are divided between workers in a run of claims.

    A conftest.py imports libraries for seconds, in which Ctrl-C would end in Python's traceback.
    """
    for name in (argument.partition("=")[0] for argument in args):
        if name.startswith("--claims-") and name not in OURS:
            raise pytest.UsageError(f"{name} must be a known option; {did_you_mean(name, OURS)}")
    given = early_config.known_args_namespace
    has_claims = given.claims_dir or early_config.getini("claims_dir")
    if has_claims:
        xdist.divide_by_group(given, args)
    try:
        yield
    except KeyboardInterrupt:
        if not has_claims:
            raise
        print(f"\n{LINE}", file=sys.stderr)
        raise SystemExit(pytest.ExitCode.INTERRUPTED) from None


def pytest_configure(config: pytest.Config) -> None:
    """Read the claims before anything else runs; bad input ends the run with one line per mistake."""
    config.addinivalue_line("markers", "claims: judges what a paper says")
    config.addinivalue_line("markers", "edge: needs an edge device or a deployed model")
    quick_exit.configured(config)
    folder = _claims_folder(config)
    if folder is None:
        _refuse_options_without_claims(config)
        config.stash[SESSION] = None
    elif hasattr(config, "workerinput"):
        worker = xdist.Worker(config.workerinput[xdist.KEY])
        config.pluginmanager.register(worker, "edgeai-worker")
        config.stash[SESSION] = Session(folder, _options(config), shared=worker.folder, alone=worker.alone)
    else:
        try:
            with quick_exit.in_one_line():
                config.stash[SESSION] = Session(folder, _options(config), timer=ShownTimer(config))
        except UserError as error:
            raise pytest.UsageError(*str(error).splitlines()) from None
        config.pluginmanager.register(Collector(config), "edgeai-collector")
        if xdist.number_of_workers(config):
            config.pluginmanager.register(xdist.Controller(), "edgeai-controller")
        _store_benchmarks(config)


def _claims_folder(config: pytest.Config) -> Path | None:
    ini = config.getini("claims_dir")
    return config.option.claims_dir or (config.rootpath / ini if ini else None)


def _options(config: pytest.Config) -> Options:
    return Options.parse(
        models=config.option.claims_models,
        papers=config.option.claims_papers,
        shard=config.option.claims_shard,
        quick=config.option.claims_quick,
        required=config.option.claims_require,
        json_path=config.option.claims_json,
        report_folder=config.option.claims_report,
        bundle=config.option.bundle,
        threads=config.option.edge_threads,
        command=shlex.join(["pytest", *map(str, config.invocation_params.args)]),
    )


def _store_benchmarks(config: pytest.Config) -> None:
    if config.pluginmanager.hasplugin("benchmark"):
        from edgeai_repro.plugin.benchmark_storage import DeviceBenchmarkStorage
        from edgeai_repro.plugin.noise import NoisyBenchmarks
        from edgeai_repro.plugin.untimed import UntimedRun

        threads = config.option.edge_threads or usable_cores()
        storage = DeviceBenchmarkStorage(config, fingerprint(threads))
        config.pluginmanager.register(storage, "edgeai-benchmark-store")
        config.pluginmanager.register(NoisyBenchmarks(config, storage.noisy), "edgeai-benchmark-noise")
        config.pluginmanager.register(UntimedRun(config), "edgeai-benchmark-untimed")


def _refuse_options_without_claims(config: pytest.Config) -> None:
    options = {f"--claims-{name}": f"claims_{name}" for name in CLAIMS_OPTIONS}
    options |= {"--bundle": "bundle", "--edge-threads": "edge_threads"}
    for option, name in options.items():
        if config.getoption(name) is not None:
            raise pytest.UsageError(
                f"{option} needs a claims folder, which is missing; add --claims-dir=DIR, and write {option}=… "
                "with an equals sign: otherwise pytest may take its value for a path of tests"
            )


def pytest_report_header(config: pytest.Config) -> list[str]:
    """Report the claims, the versions and the machine; a variable that nobody reads is flagged."""
    session = config.stash[SESSION]
    lines = []
    if session is not None:
        claims = ", ".join(f"{len(paper.claims)} claims of {paper.paper.id}" for paper in session.papers)
        models = "all models" if session.options.models is None else ", ".join(session.options.models)
        lines.append(f"edgeai-repro {__version__}: {claims}; {models}")
        if (shard := session.options.shard) is not None:
            lines.append(f"shard {shard}: {len(session.selected)} of {len(session.cases)} claims")
        if "claims" in config.option.markexpr:
            lines += _machine(xdist.number_of_workers(config))
    for name, (value, known) in environment.variables().items():
        hint = "" if known else f" is unknown: {did_you_mean(name, environment.VARIABLES)}"
        lines.append(f"{name}={value}{hint}")
    return lines


def _machine(workers: int) -> list[str]:
    if not workers:
        with contextlib.suppress(ModuleNotFoundError):
            import_module("torch")  # the run needs it anyway, and reports its threads and engine once it is loaded
    current = environment.describe()
    versions = ", ".join(
        f"{name} {version}" for name, version in current.versions.items() if name != "edgeai-repro"
    )
    if workers:
        engine = f"{workers} workers, threads of each: {xdist.threads_of_each(workers)}"
    else:
        engine = f"{current.threads} threads, engine {current.engine}" if current.engine else "without torch"
    emulated = f", emulating {current.machine}: nothing is timed" if current.emulated else ""
    return [versions, f"{current.cpu}, {current.cores} cores{emulated}; {engine}", environment.requirements()]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each test that takes a claim, an implication or a contender once for each of them."""
    session = metafunc.config.stash[SESSION]
    if session is None:
        return
    distributed = metafunc.config.pluginmanager.hasplugin("xdist")
    if CASE in metafunc.fixturenames:
        claims = [pytest.param(case, id=case.id, marks=_marks(case, distributed)) for case in session.selected]
        metafunc.parametrize(CASE, claims, indirect=True)
    if IMPLICATION in metafunc.fixturenames:
        implications = [pytest.param(case, id=case.id) for case in session.implication_cases]
        metafunc.parametrize(IMPLICATION, implications, indirect=True)
    if "contender" in metafunc.fixturenames:
        models = session.deployed
        contenders = [] if models is None else [(models.model, contender) for contender in models.contenders]
        marks = [pytest.mark.xdist_group(xdist.TIMED)] if distributed else []
        named = [pytest.param(contender, id=f"{model}-{contender}", marks=marks) for model, contender in contenders]
        metafunc.parametrize("contender", named, indirect=True)


def _marks(case: ClaimCase, distributed: bool) -> list[pytest.MarkDecorator]:
    """Return the marks of a claim; pytest-xdist's only if it is installed, because it defines it."""
    edge = [pytest.mark.edge] if is_timed(case.claim) else []
    return [*edge, pytest.mark.xdist_group(xdist.group_of(case.claim))] if distributed else edge


def pytest_collection_finish(session: pytest.Session) -> None:
    """Announce the selected claims, so that each network is built only once."""
    claims_session = session.config.stash[SESSION]
    if claims_session is not None:
        cases = [_judged_case(item) for item in session.items]
        claims_session.plan([case for case in cases if case is not None])


def _judged_case(item: pytest.Item) -> ClaimCase | None:
    """Return the claim that a test judges, None if it judges none."""
    if isinstance(item, pytest.Function) and "verdict" in item.fixturenames and hasattr(item, "callspec"):
        case = item.callspec.params.get(CASE)
        return case if isinstance(case, ClaimCase) else None
    return None
