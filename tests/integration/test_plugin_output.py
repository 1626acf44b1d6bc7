"""What the plugin shows in the terminal and writes to a file."""

from __future__ import annotations

import re
import sys
from types import SimpleNamespace

import pytest

from edgeai_repro.report import document
from tests.support.repository import CONFTEST, HEADING, Repository, planted


class TestFile:
    """--claims-json writes the verdicts to a file, whole or not at all."""

    def test_file_contains_the_verdicts_and_all_rows(self, repository: Repository) -> None:
        """The end of the output names the file."""
        claim = planted(10, models=["convnext_tiny", "alexnet"], quantifier="every")

        result = repository.judge(claim, arguments=(f"--claims-json={repository.json}",))

        result.stdout.fnmatch_lines(["verdicts and rows: *out.json"])
        (paper,) = document.read(repository.json).papers
        (entry,) = paper.claims
        assert (entry.id, entry.verdict) == ("a-claim", "reproduced")
        details = {"resolution": 32, "classes": 10, "reported": 10, "planted": True}
        assert [row.details for row in entry.rows] == [details, details]
        assert [row.model for row in entry.rows] == ["convnext_tiny", "alexnet"]

    def test_failed_run_replaces_the_file(self, repository: Repository) -> None:
        """An older file is overwritten, although a test failed."""
        repository.json.write_text("old", encoding="utf-8")

        result = repository.judge(planted(20), arguments=(f"--claims-json={repository.json}",))

        result.assert_outcomes(failed=1)
        assert repository.verdicts() == {"a-claim": "contradicted"}

    def test_interrupted_run_writes_the_verdicts_so_far(self, repository: Repository) -> None:
        """The file is complete, and no temporary file is left."""
        result = repository.judge(
            planted(10, id="first"),
            planted("interrupted", id="second"),
            planted(10, id="third"),
            arguments=(f"--claims-json={repository.json}",),
        )

        assert result.ret == pytest.ExitCode.INTERRUPTED
        assert repository.verdicts() == {"first": "reproduced"}
        assert document.read(repository.json).partial
        result.stdout.fnmatch_lines(["Partial: the run was interrupted*"])
        assert not list(repository.pytester.path.glob(".out.json*"))

    def test_collect_only_keeps_the_file(self, repository: Repository) -> None:
        """`--collect-only` judges nothing, so an older file stays unchanged."""
        repository.json.write_text("old", encoding="utf-8")

        repository.judge(planted(10), arguments=("--collect-only", f"--claims-json={repository.json}"))

        assert repository.json.read_text(encoding="utf-8") == "old"

    @pytest.mark.parametrize("exception", [OSError(28, "No space left on device"), KeyboardInterrupt()])
    def test_failed_write_keeps_the_older_file(
        self, repository: Repository, monkeypatch: pytest.MonkeyPatch, exception: BaseException
    ) -> None:
        """A full disk or Ctrl-C leaves the older file unchanged, and no temporary file."""
        repository.json.write_text("old", encoding="utf-8")

        def stopped(_: int) -> None:
            raise exception

        monkeypatch.setattr("edgeai_repro.files.os.fsync", stopped)
        result = repository.judge(planted(10), arguments=(f"--claims-json={repository.json}",))

        if isinstance(exception, KeyboardInterrupt):
            assert result.ret == pytest.ExitCode.INTERRUPTED
            result.stdout.fnmatch_lines(["edgeai-repro: interrupted"])
        else:
            assert result.ret == pytest.ExitCode.USAGE_ERROR
            result.stdout.fnmatch_lines(["*ERROR: *out.json: must be writable (got No space left on device); *"])
        assert repository.json.read_text(encoding="utf-8") == "old"
        assert not list(repository.pytester.path.glob(".out.json*"))


class TestShown:
    """The header shows what is tested on which machine; the table shows the verdicts."""

    def test_table_appears_once_and_uncoloured_in_a_pipe(self, repository: Repository) -> None:
        """An unexpected verdict is shown with the expected one."""
        result = repository.judge(planted(10, id="one"), planted(20, id="two"), arguments=("-v",))

        text = result.stdout.str()
        assert text.count(HEADING) == 1
        assert "\x1b" not in text
        assert re.search(r"^ two .* contradicted \(expected reproduced\) ", text, re.MULTILINE)

    def test_table_is_coloured_on_request(self, repository: Repository) -> None:
        """`--color=yes` colours it, also in a pipe."""
        result = repository.judge(planted(10), arguments=("--color=yes",))

        assert re.search(r"\x1b\[32mreproduced *\x1b\[0m", result.stdout.str())

    def test_run_without_claims_shows_no_table(self, repository: Repository) -> None:
        """Another test of the repository runs as usual."""
        repository.write(planted(10))
        repository.pytester.makepyfile(test_other="def test_other(): pass")

        result = repository.run("-k", "test_other")

        result.assert_outcomes(passed=1, deselected=1)
        assert HEADING not in result.stdout.str()

    def test_header_shows_claims_versions_machine_and_requirements(
        self, repository: Repository, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It also shows torch's threads and engine, and which of data and edge device are available."""
        backends = SimpleNamespace(quantized=SimpleNamespace(engine="an-engine"))
        torch = SimpleNamespace(get_num_threads=lambda: 7, backends=backends)
        monkeypatch.setitem(sys.modules, "torch", torch)

        result = repository.judge(
            planted(10, id="one"),
            planted(10, id="two"),
            arguments=("-m", "claims", "--claims-models", "convnext_tiny,alexnet"),
        )

        result.stdout.fnmatch_lines(
            [
                "edgeai-repro *: 2 claims of paper; convnext_tiny, alexnet",
                "*torch *numpy *",
                "* cores; 7 threads, engine an-engine",
                "data: not found, set EDGEAI_DATA*edge device: not one, EDGEAI_DEVICE is unset*",
            ]
        )

    def test_without_torch_the_header_notes_it_and_claims_are_judged(
        self, repository: Repository, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A claim that needs no torch passes."""
        monkeypatch.setitem(sys.modules, "torch", None)

        result = repository.judge(planted(10), arguments=("-m", "claims"))

        result.stdout.fnmatch_lines(["* cores; without torch"])
        result.assert_outcomes(passed=1)

    def test_header_shows_variables_and_flags_unknown_ones(
        self, repository: Repository, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """For an unknown EDGEAI_* variable it suggests the closest known one."""
        monkeypatch.setenv("EDGEAI_DATA", "/somewhere")
        monkeypatch.setenv("EDGEAI_DEVICES", "pi5")

        result = repository.judge(planted(10))

        result.stdout.fnmatch_lines(
            ["EDGEAI_DATA=/somewhere", "EDGEAI_DEVICES=pi5 is unknown: did you mean 'EDGEAI_DEVICE'?"]
        )


def test_claims_are_judged_without_importing_torch_or_scipy(repository: Repository) -> None:
    """A new process loads the installed plugin; the claim needs neither of the two."""
    repository.write(planted(10))
    loaded = """
def pytest_unconfigure():
    import sys
    print("loaded:", *{"torch", "torchvision", "scipy"} & sys.modules.keys())
"""
    repository.pytester.makeconftest(CONFTEST + loaded)

    result = repository.pytester.runpytest_subprocess("-v")

    result.stdout.fnmatch_lines(["*test_claim[[]paper/a-claim[]] PASSED*", f"*{HEADING}*", "loaded:"])
    assert result.ret == 0
