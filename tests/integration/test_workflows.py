"""Workflows only call scripts of `ci/`, and linters accept both."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from edgeai_repro.claims.shards import Shard
from tests.support.ci_scripts import ROOT

SCRIPTS = sorted((ROOT / "ci").glob("*.sh"))
WORKFLOWS = sorted((ROOT / ".github" / "workflows").iterdir())
BY_HAND = {"ci/setup-arm-runner.sh", "ci/arm64-emulated.sh"}
CALL = re.compile(r"(ci/[a-z-]+\.sh)( [a-z]+| \d+| \"\$[A-Z]+\")*")
ACTION = ROOT / "action.yml"
PINNED = re.compile(r"uses: [\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+")
JOB = """
name: x
on: push
permissions: {{}}
jobs:
  x:
    name: x
    runs-on: ubuntu-24.04
    steps:
      - {}
"""
LINTERS = {
    "zizmor": ["--quiet", "--offline", "--persona=pedantic"],
    "check-jsonschema": ["--builtin-schema", "vendor.github-workflows"],
    "actionlint": [],
    "shellcheck": [],
}
BAD = [
    ("zizmor", JOB.format("uses: actions/checkout@v4"), "unpinned-uses"),
    ("zizmor", JOB.format("run: echo ${{ github.head_ref }}"), "template-injection"),
    ("check-jsonschema", JOB.format("use: actions/checkout@v4"), "'uses' is a required property"),
    ("actionlint", JOB.format("run: echo ${{ githup.ref }}"), 'undefined variable "githup"'),
    ("shellcheck", "#!/bin/bash\nrm -rf $1/*\n", "Double quote to prevent globbing"),
]


def runs(path: Path) -> list[str]:
    """Return the commands of all steps of a workflow."""
    jobs = yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"].values()
    return [step["run"] for job in jobs for step in job["steps"] if "run" in step]


def lint(linter: str, *paths: Path) -> subprocess.CompletedProcess[str]:
    """Run a linter that is installed in this environment or on the machine."""
    program = shutil.which(linter, path=f"{sys.prefix}/bin{os.pathsep}{os.environ['PATH']}")
    if program is None and linter == "actionlint":
        pytest.skip("actionlint isn't installed; no package index has it")
    assert program is not None, f"{linter} must be installed; pip install -e '.[test]'"
    return subprocess.run([program, *LINTERS[linter], *paths], check=False, capture_output=True, text=True)


class TestWorkflows:
    """Workflows are safe, and contain only commands that a person can run, too."""

    @pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
    def test_each_command_is_a_script_of_ci(self, path: Path) -> None:
        """The script exists and is executable."""
        for run in runs(path):
            called = CALL.fullmatch(run)

            assert called, f"run={run!r}, but should be a call of a script in ci/"
            assert os.access(ROOT / called[1], os.X_OK), f"{called[1]} must be an executable file"

    def test_each_script_is_called_by_a_workflow_or_by_hand(self) -> None:
        """No script of `ci/` is left over."""
        called = {run.split()[0] for path in WORKFLOWS for run in runs(path)}
        called |= set(re.findall(r"ci/[a-z-]+\.sh", ACTION.read_text(encoding="utf-8")))

        assert {f"ci/{path.name}" for path in SCRIPTS} - called <= BY_HAND

    @pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
    def test_each_action_is_pinned_by_commit(self, path: Path) -> None:
        """Its version stands in a comment."""
        for line in path.read_text(encoding="utf-8").splitlines():
            if "uses:" in line:
                assert PINNED.fullmatch(line.strip(" -")), f"{line.strip()} must be NAME@COMMIT # vX.Y.Z"

    def test_edge_workflow_never_runs_for_a_pull_request(self) -> None:
        """It starts only by schedule or by hand, one run at a time."""
        edge = yaml.safe_load((ROOT / ".github" / "workflows" / "edge.yml").read_text(encoding="utf-8"))

        assert set(edge[True]) == {"schedule", "workflow_dispatch"}, "yaml reads the key `on` as true"
        assert edge["concurrency"] == {"group": "edge-device", "cancel-in-progress": False}
        assert edge["jobs"]["edge"]["runs-on"] == ["self-hosted", "Linux", "ARM64"]

    @pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
    def test_pull_request_gets_no_secret_and_no_machine_of_ours(self, path: Path) -> None:
        """Its jobs run on GitHub's machines and may only read; jobs that may more are left out for it."""
        text = path.read_text(encoding="utf-8")
        workflow = yaml.safe_load(text)
        assert "pull_request_target" not in text
        assert "workflow_run" not in text
        if "pull_request" not in workflow[True]:
            return

        assert "secrets." not in text
        assert workflow["permissions"] == {}
        for job in workflow["jobs"].values():
            assert "self-hosted" not in str(job["runs-on"])
            assert job["permissions"] == {"contents": "read"} or job["if"] == "github.event_name == 'push'"

    def test_job_that_signs_runs_no_code_of_the_repository(self) -> None:
        """It only uses actions that are pinned, so that a script can't have its token."""
        evidence = yaml.safe_load((ROOT / ".github" / "workflows" / "evidence.yml").read_text(encoding="utf-8"))

        assert [step["uses"].partition("@")[0] for step in evidence["jobs"]["sign"]["steps"]] == [
            "actions/download-artifact",
            "actions/attest",
        ]

    def test_shards_of_the_edge_workflow_are_all_claims(self) -> None:
        """Its matrix has each part of the claims once, and the merging job runs even if one of them fails."""
        edge = yaml.safe_load((ROOT / ".github" / "workflows" / "edge.yml").read_text(encoding="utf-8"))
        parts = [Shard.parse(shard) for shard in edge["jobs"]["shards"]["strategy"]["matrix"]["shard"]]

        assert parts == [Shard(len(parts), number) for number in range(1, len(parts) + 1)]
        assert edge["jobs"]["shards"]["strategy"]["fail-fast"] is False
        assert edge["jobs"]["cloud"]["needs"] == "shards"
        assert "cancelled()" in edge["jobs"]["cloud"]["if"]

    def test_nightly_torch_may_fail_and_fails_no_other_job(self) -> None:
        """Its job stands alone, starts by schedule or by hand, and its failure doesn't count."""
        nightly = yaml.safe_load((ROOT / ".github" / "workflows" / "nightly.yml").read_text(encoding="utf-8"))

        assert set(nightly[True]) == {"schedule", "workflow_dispatch"}, "yaml reads the key `on` as true"
        assert [job["continue-on-error"] for job in nightly["jobs"].values()] == [True]

    @pytest.mark.parametrize("linter", LINTERS)
    def test_linter_accepts_workflows_and_scripts(self, linter: str) -> None:
        """Each linter passes without a finding."""
        done = lint(linter, *(SCRIPTS if linter == "shellcheck" else WORKFLOWS))

        assert done.returncode == 0, done.stdout + done.stderr

    @pytest.mark.parametrize(("linter", "text", "complaint"), BAD)
    def test_linter_rejects_a_bad_file(self, tmp_path: Path, linter: str, text: str, complaint: str) -> None:
        """A planted mistake is found by its linter."""
        workflow = tmp_path / ".github" / "workflows" / "bad.yml"
        workflow.parent.mkdir(parents=True)
        workflow.write_text(text, encoding="utf-8")
        done = lint(linter, workflow)

        assert done.returncode != 0, f"{linter} must find {complaint}"
        assert complaint in done.stdout + done.stderr
