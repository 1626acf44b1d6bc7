"""Fixtures of this repository's own tests; the plugin comes by its entry point."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib import import_module
from pathlib import Path

import pytest

from edgeai_repro.cli import main as cli

pytest_plugins = ["pytester"]
OTHERS = ("unit", "properties", "planted", "integration")


@pytest.fixture(scope="session")
def atto_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of convnext_atto with random weights, made once; not to be changed."""
    from edgeai_repro.edge import build

    folder = tmp_path_factory.mktemp("atto") / "bundle"
    with pytest.MonkeyPatch.context() as patched:
        patched.delenv("EDGEAI_DATA", raising=False)
        return build.build(build.read_source("convnext_atto"), folder, target=0.8, test_split=False).folder


@pytest.fixture(autouse=True)
def torch_stays(request: pytest.FixtureRequest) -> None:
    """Import torch before pytester does: what a run in this process imports is forgotten after it, and torch,
    where it is installed, can be imported only once."""
    if "pytester" in request.fixturenames:
        with suppress(ModuleNotFoundError):
            import_module("torch")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave the other tests out of `-m claims`: importing all that they test takes longer than a small run.

    And out of `-m "claims and edge"` and `-m edge`, which run on devices that lack what those import.
    """
    marks = config.option.markexpr.split(" and ")
    if not {"claims", "edge", "not edge"}.issuperset(marks) or collection_path.parent != config.rootpath / "tests":
        return None
    left_out = OTHERS if "claims" not in marks else (*OTHERS, "benchmarks")
    return True if collection_path.name in left_out else None


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Models as small as in tests gain nothing by threads, and lose much where other processes run."""
    import torch  # here, for tests without it

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Return a function that runs the command line and returns its status, output and errors."""

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["edgeai-repro", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        code = ended.value.code
        return code if isinstance(code, int) else 0, *capsys.readouterr()

    return run
