"""Fixtures of this repository's own tests, and which folders of tests/ a run with -m reads."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from importlib import import_module
from pathlib import Path

import pytest

from edgeai_repro.claims.registry import METRICS, TECHNIQUES
from edgeai_repro.cli import main as cli
from tests.support.commands import Command

pytest_plugins = ["pytester"]

with suppress(ImportError):  # an edge device has no hypothesis
    settings = import_module("hypothesis").settings
    settings.register_profile("untimed", deadline=None)  # a time is no assertion
    settings.load_profile("untimed")

# The folders of tests/ without a test for these marks.
CODE_TESTS = ("unit", "properties", "planted", "integration", "fuzz")
FOLDERS_WITHOUT = {
    "edge": CODE_TESTS,
    "claims": (*CODE_TESTS, "benchmarks"),
    "claims and edge": (*CODE_TESTS, "benchmarks"),
    "claims and not edge": (*CODE_TESTS, "benchmarks"),
}


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Skip folders without a test for the marks that -m selects.

    Importing all that the other tests need takes longer than a small run, and fails on a device without torch.
    """
    in_tests = collection_path.parent == config.rootpath / "tests"
    without = FOLDERS_WITHOUT.get(config.option.markexpr, ())
    return True if in_tests and collection_path.name in without else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Let one of pytest-xdist's workers run all tests of a file: they share fixtures. Claims have other groups."""
    for item in items if config.pluginmanager.hasplugin("xdist") else ():
        if item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group(item.nodeid.partition("::")[0]))


@pytest.fixture(scope="session", autouse=True)
def no_worker_to_others() -> Iterator[None]:
    """Hide from the pytest that a test starts that it is started in one of pytest-xdist's workers.

    In a worker, pytest-benchmark times nothing.
    """
    with pytest.MonkeyPatch.context() as patched:
        for name in [name for name in os.environ if name.startswith("PYTEST_XDIST_")]:
            patched.delenv(name)
        yield


@pytest.fixture(autouse=True)
def torch_before_pytester(request: pytest.FixtureRequest) -> None:
    """Import torch and onnx before a test that uses pytester.

    pytester forgets the modules that a run in this process imports, and these can't be imported twice.
    """
    if "pytester" in request.fixturenames:
        for name in ("torch", "onnx"):
            with suppress(ModuleNotFoundError):
                import_module(name)


@pytest.fixture(scope="session")
def atto_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of convnext_atto with random weights. It is built once, so tests must not change it."""
    from edgeai_repro.edge import build

    folder = tmp_path_factory.mktemp("atto") / "bundle"
    with pytest.MonkeyPatch.context() as patched:
        patched.delenv("EDGEAI_DATA", raising=False)
        return build.build(build.read_source("convnext_atto"), folder, target=0.8, test_split=False).folder


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """One thread for torch: small models gain nothing from more, and lose much if other processes run."""
    import torch  # not at the top, for tests that run without torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def registry_restored() -> Iterator[None]:
    """Remove what a test registers: a claims folder may have a `conftest.py` with metrics and techniques."""
    before = [(known, set(known)) for known in (METRICS, TECHNIQUES)]
    yield
    for known, names in before:
        for name in set(known) - names:
            del known[name]


@pytest.fixture
def command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], registry_restored: None
) -> Command:
    """A function that runs the command line and returns its exit status, standard output and standard error."""

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["edgeai-repro", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        code = ended.value.code
        return code if isinstance(code, int) else 0, *capsys.readouterr()

    return run
