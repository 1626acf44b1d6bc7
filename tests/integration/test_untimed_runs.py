"""A run of claims loses no file, even if it timed nothing, or if another file can't be written."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from edgeai_repro.files import write_text
from edgeai_repro.report import document, files, html
from tests.support.repository import Repository, planted

MODELS = "--claims-models=convnext_tiny"


def test_both_files_are_written_if_nothing_was_timed(repository: Repository) -> None:
    """pytest-benchmark alone would warn, which is an error here, and write nothing."""
    result = repository.judge(planted(10), arguments=("--benchmark-json=b.json", "--claims-json=out.json"))

    assert result.ret == 0
    stored = json.loads((repository.pytester.path / "b.json").read_text())
    assert stored["benchmarks"] == []
    assert stored["machine_info"]["edgeai"]["fingerprint"]
    assert repository.verdicts() == {"a-claim": "reproduced"}
    result.stdout.fnmatch_lines(["benchmarks: --benchmark-json: no test timed anything, so its list is empty"])


@pytest.mark.parametrize("option", ["--benchmark-autosave", "--benchmark-save=one"])
def test_nothing_is_stored_if_nothing_was_timed(repository: Repository, option: str) -> None:
    """A stored file without benchmarks would be compared with later."""
    result = repository.judge(planted(10), arguments=(option, "--claims-json=out.json"))

    assert result.ret == 0
    assert repository.verdicts() == {"a-claim": "reproduced"}
    assert not list(repository.pytester.path.glob(".benchmarks/**/*.json"))
    result.stdout.fnmatch_lines([f"benchmarks: {option.partition('=')[0]}: no test timed anything, so nothing *"])


def test_unwritable_file_of_benchmarks_is_refused_before_the_run(repository: Repository) -> None:
    """The error is one line."""
    result = repository.judge(planted(10), arguments=("--benchmark-json=claims/paper.yaml/b.json",))

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "b.json: must be writable" in result.errlines[0]


def test_json_is_written_if_the_report_cannot_be(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder became read-only during the run; root could still write it, so its file becomes a folder."""
    report = repository.pytester.path / "report"
    monkeypatch.setattr(html, "render", lambda run: (report / files.HTML).mkdir(parents=True) or "<html>")
    arguments = ("--claims-json=out.json", "--claims-report=report")

    result = repository.judge(planted(10), arguments=arguments)

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert repository.verdicts() == {"a-claim": "reproduced"}
    assert "report.html: must be writable (got Is a directory)" in result.stdout.str()


def test_report_is_written_if_the_json_cannot_be(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    """One file never takes another with it."""

    def written_to_a_folder(run: document.Document, path: Path) -> None:
        path.mkdir()
        write_text(path, run.model_dump_json())

    monkeypatch.setattr(document, "write", written_to_a_folder)
    result = repository.judge(planted(10), arguments=("--claims-json=out.json", "--claims-report=report"))

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert repository.json.is_dir()
    assert (repository.pytester.path / "report" / files.HTML).read_text()[:9] == "<!doctype"


def test_folder_without_write_permission_is_refused_before_the_run(repository: Repository) -> None:
    """No claim is measured for a report that can't be written."""
    folder = repository.pytester.mkdir("closed")
    folder.chmod(0o500)
    if os.access(folder, os.W_OK):
        pytest.skip("this user may write everywhere")

    result = repository.judge(planted(10), arguments=("--claims-report=closed/report",))

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "must be writable (got Permission denied)" in result.errlines[0]


def test_json_and_reports_carry_date_commit_command_and_options(repository: Repository) -> None:
    """A result that is found later can be traced and repeated."""
    arguments = ("--claims-json=out.json", "--claims-report=report", MODELS)
    repository.judge(planted(10), arguments=arguments)

    run = document.read(repository.json).run
    assert run is not None
    assert run.date.endswith("+00:00")
    assert run.commit == "unknown"  # the test's folder is no repository
    assert run.command.startswith("pytest ")
    assert run.command.endswith(" ".join(arguments))
    assert run.options == dict(argument.split("=") for argument in arguments)
    for name in (files.HTML, files.MARKDOWN):
        text = (repository.pytester.path / "report" / name).read_text()
        assert run.date in text
        assert "--claims-models=convnext" in text
