"""Fixtures of this repository's own tests; the plugin comes by its entry point."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edgeai_repro import cli

pytest_plugins = ["pytester"]
WITHOUT_CLAIMS = ("unit", "properties", "meta", "benchmarks")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave the other tests out of `-m claims`: importing all that they test takes longer than a small run."""
    if config.option.markexpr != "claims" or collection_path.parent != config.rootpath / "tests":
        return None
    return True if collection_path.name in WITHOUT_CLAIMS else None


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
