"""The plugin with pytest-xdist: how tests are divided, which options are refused, and runs without it."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from edgeai_repro.plugin import xdist
from tests.support.repository import PLUGINS, Repository, planted


def test_one_process_needs_no_xdist(repository: Repository) -> None:
    """The import of every module of it fails, and its mark is unknown."""
    without = repository.pytester.makepyfile(
        without="""
        import sys

        class Missing:
            def find_spec(self, name, path=None, target=None):
                if name.partition(".")[0] in ("xdist", "execnet"):
                    raise ModuleNotFoundError(name)

        sys.meta_path.insert(0, Missing())
        """
    )
    repository.write(planted(10))

    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
        patched.setenv("PYTHONPATH", f"{without.parent}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
        result = repository.pytester.runpytest_subprocess(
            *PLUGINS, "-p", "without", "-p", "edgeai_repro.plugin.hooks", "--strict-markers", "-m", "claims"
        )

    result.assert_outcomes(passed=1)


def test_worker_is_alone_when_the_tests_of_the_others_have_ended(tmp_path: Path) -> None:
    """It waits as long as another one runs tests."""
    timing, other = (xdist.Worker({"folder": tmp_path, "threads": 1}) for _ in range(2))
    alone = threading.Event()

    def time() -> None:
        with timing.alone():
            alone.set()

    thread = threading.Thread(target=time)
    thread.start()

    assert not alone.wait(0.1)
    other.pytest_sessionfinish()
    assert alone.wait(10)
    thread.join()
    timing.pytest_sessionfinish()


@pytest.mark.parametrize(
    ("nodeid", "name"),
    [
        ("test_paper.py::test_claim[paper/one]@alexnet+vgg16", "test_paper.py::test_claim[paper/one]"),
        ("test_paper.py::test_claim[a@b]", "test_paper.py::test_claim[a@b]"),
        ("home@here/test_paper.py::test_other", "home@here/test_paper.py::test_other"),
    ],
)
def test_name_of_a_test_is_reported_without_its_group(nodeid: str, name: str) -> None:
    """pytest-xdist adds the group to the name with pytest before 9.2."""
    assert xdist.without_group(nodeid) == name


def test_way_of_dividing_that_the_user_chose_is_kept(repository: Repository) -> None:
    """Without a choice, the tests are divided by group."""
    repository.write(planted(10))

    def chosen(*arguments: str) -> str:
        return str(repository.pytester.parseconfig("-n2", *arguments).option.dist)

    assert [chosen(), chosen("--dist=worksteal")] == ["loadgroup", "worksteal"]


@pytest.mark.parametrize(
    "option", ["--benchmark-save=one", "--benchmark-autosave", "--benchmark-compare", "--benchmark-json=b.json"]
)
def test_stored_times_are_refused_with_workers(repository: Repository, option: str) -> None:
    """The error is one line."""
    result = repository.judge(planted(10), arguments=("-n2", option))

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    name = option.partition("=")[0]
    assert result.errlines[0] == f"ERROR: {name} must be given without -n: other workers would run; leave -n out"


def test_claim_without_a_claims_folder_fails_with_workers(pytester: pytest.Pytester) -> None:
    """The message is that of one process, which it ends."""
    pytester.makepyfile("def test_claim(verdict): pass")

    result = pytester.runpytest_subprocess(*PLUGINS, "-n1")

    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*the claims folder is missing; name one with --claims-dir=DIR*"])
