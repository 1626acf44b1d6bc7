"""A repository with benchmarks and a claims folder, and its stored results."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgeai_repro.devices.fingerprint import fingerprint
from tests.support.factories import paper_yaml

PLUGINS = ("-p", "no:cacheprovider", "-p", "no:hypothesispytest", "-p", "no:anyio", "-W", "error")
TEST = """
import pytest


@pytest.mark.parametrize("model", ["dense", "pruned"])
def test_model(benchmark, model):
    benchmark.pedantic(lambda: None, rounds=3)
"""
COMPARE = ("--edge-threads=2", "--benchmark-compare")
SAVE = ("--edge-threads=2", "--benchmark-save=run")
Edit = Callable[[dict[str, Any]], object]


class Device:
    """A repository with two benchmarks and a claims folder, and its stored results."""

    def __init__(self, pytester: pytest.Pytester) -> None:
        self.pytester = pytester
        (pytester.path / "claims").mkdir()
        (pytester.path / "claims" / "paper.yaml").write_text(paper_yaml(), encoding="utf-8")
        pytester.makeini("[pytest]\nclaims_dir = claims\n")
        pytester.makepyfile(test_speed=TEST)

    @property
    def folder(self) -> Path:
        """The folder of this device's results, with two threads."""
        return self.pytester.path / ".benchmarks" / fingerprint(2).key

    def run(self, *arguments: str) -> pytest.RunResult:
        """Run pytest in this repository."""
        return self.pytester.runpytest_inprocess(*PLUGINS, *arguments)

    def save(self, edit: Edit = lambda _: None, *, device: str = "", within: str | None = None) -> Path:
        """Store the results of a run, edited, and return the file; `device` and `within` choose another folder."""
        assert self.run(*SAVE).ret == 0
        (path,) = self.folder.glob("*/*_run.json")
        document = json.loads(path.read_text())
        edit(document)
        path.unlink()
        folder = path.parent.name if within is None else within
        target = self.folder.with_name(device or self.folder.name) / folder / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(json.dumps(document))
        return target


def a_million_times_faster(document: dict[str, Any]) -> None:
    """Divide all stored times by a million."""
    for benchmark in document["benchmarks"]:
        benchmark["stats"] = {
            name: value / 1e6 if isinstance(value, float) else value for name, value in benchmark["stats"].items()
        }
