"""Workflows only call scripts of `ci/`, linters accept both, and each script runs on this machine.

`test_edge_install.py` runs the scripts for edge devices (`edge-install.sh`, `edge.sh`, `compare-benchmarks.sh`).
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
import yaml

from edgeai_repro.claims.shards import Shard
from edgeai_repro.files import sha256
from edgeai_repro.report import document

ROOT = Path(__file__).parents[2]
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


def script(name: str, *arguments: object, given: str = "", **variables: object) -> subprocess.CompletedProcess[str]:
    """Run a script of `ci/` with these arguments, standard input and environment variables."""
    dropped = ("EDGEAI_", "GITHUB_", "WEIGHTS", "MAKE", "MFLAGS")  # make, too, may run these tests
    bare = {key: value for key, value in os.environ.items() if not key.startswith(dropped)}
    return subprocess.run(
        [ROOT / "ci" / name, *map(str, arguments)],
        env={**bare, **{key: str(value) for key, value in variables.items()}},
        input=given,
        check=False,
        capture_output=True,
        text=True,
    )


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


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Variables that let make use the environment of these tests instead of creating one, and mypy its cache."""
    folder = tmp_path_factory.mktemp("environment")
    (folder / ".ready").touch()
    return {"MAKEFLAGS": f"VENV={folder} BIN={sys.prefix}/bin"}


class TestScripts:
    """Each script does its part of a workflow."""

    def test_test_script_runs_linters_types_import_rules_and_tests(self, environment: dict[str, str]) -> None:
        """`ci/test.sh` passes its arguments to pytest, also those with spaces."""
        selected = ["-q", "--collect-only", "-k", "test_errors or no_such", "tests/unit/test_errors.py"]
        done = script("test.sh", *selected, **environment)

        assert done.returncode == 0, done.stdout + done.stderr
        for line in ("All checks passed!", "Success: no issues found", "0 broken", "test_errors.py::"):
            assert line in done.stdout

    def test_judge_script_writes_what_the_summary_script_shows(
        self, environment: dict[str, str], atto_bundle: Path, tmp_path: Path
    ) -> None:
        """`ci/judge.sh` writes verdicts and report; `ci/summary.sh` appends the report to the job's summary."""
        summary = tmp_path / "summary.md"
        summary.write_text("before\n", encoding="utf-8")
        judged = script(
            *("judge.sh", atto_bundle, tmp_path / "results", "-k", "alexnet-imbalance or edge-accuracy"),
            SHARD="1/1",
            **environment,
        )
        shown = script("summary.sh", tmp_path / "results", GITHUB_STEP_SUMMARY=summary)

        assert judged.returncode == 0, judged.stdout + judged.stderr
        results = document.read(tmp_path / "results" / "verdicts.json")
        assert results.shards == ["1/1"]
        reasons = {entry.id: entry.reason for entry in results.papers[0].claims}
        assert "convnext_atto" in reasons["edge-accuracy"], "the given bundle must be judged"
        assert shown.returncode == 0, shown.stderr
        assert summary.read_text(encoding="utf-8").startswith("before\n")
        assert re.search(r"^\| .*alexnet-imbalance.*reproduced", summary.read_text(encoding="utf-8"), re.MULTILINE)

    def test_summary_without_verdicts_still_shows_benchmarks(self, tmp_path: Path) -> None:
        """If a run ended before any verdict, the summary states that."""
        (tmp_path / "benchmarks.txt").write_text("the table\n", encoding="utf-8")
        done = script("summary.sh", tmp_path)

        assert done.returncode == 0
        assert done.stdout.startswith("No verdict")
        assert "```text\nthe table\n```" in done.stdout

    def test_bundle_script_uses_the_downloaded_weights(self, environment: dict[str, str], tmp_path: Path) -> None:
        """`ci/fetch-weights.sh` downloads and checks an archive; `ci/build-bundle.sh` bundles its models."""
        from edgeai_repro.compress import saved_models
        from edgeai_repro.edge.bundle import load
        from edgeai_repro.networks import convnext

        name, widths = "convnext_atto", [16] * 12
        pruned = convnext.build(name, hidden_widths=widths)
        saved = {
            "pruned": saved_models.save(pruned, name, "structured_pruning", {"target": 0.9}, root=tmp_path),
            "dense": saved_models.save(convnext.build(name), name, "none", root=tmp_path),
        }
        with tarfile.open(tmp_path / "weights.tar.gz", "w:gz") as archive:
            for folder, source in saved.items():
                archive.add(source, folder)
        path = tmp_path / "weights.tar.gz"
        fetched = script(
            "fetch-weights.sh", tmp_path / "weights", WEIGHTS_URL=path.as_uri(), WEIGHTS_SHA256=sha256(path)
        )
        built = script("build-bundle.sh", tmp_path / "bundle", tmp_path / "weights", **environment)

        assert fetched.returncode == 0, fetched.stderr
        assert built.returncode == 0, built.stdout + built.stderr
        *lines, path = built.stdout.splitlines()[-5:]
        assert path == str(tmp_path / "bundle")
        assert [line.partition(":")[0] for line in lines] == [
            f"{variant}.onnx + {variant}.weights" for variant in ("fp32", "int8", "pruned", "pruned-int8")
        ]
        manifest = load(tmp_path / "bundle").manifest
        assert manifest.model == name
        assert all(model.origin.sha256 for model in manifest.models.values()), "no weights must be random"
        assert manifest.models["pruned-int8"].hidden_widths == tuple(widths)

    def test_nightly_script_needs_the_index_of_the_nightly_builds(self, tmp_path: Path) -> None:
        """Without it nothing is installed; the error is one line."""
        done = script("nightly.sh", tmp_path / "results", TORCH_NIGHTLY_INDEX="")

        assert done.returncode == 1
        assert re.search("TORCH_NIGHTLY_INDEX is missing; set it to the index .*\n$", done.stderr)
        assert not (tmp_path / "results").exists()

    def test_archive_with_another_checksum_is_refused_and_not_unpacked(self, tmp_path: Path) -> None:
        """The error is one line with both checksums."""
        path = tmp_path / "weights.tar"
        path.write_bytes(b"altered")
        done = script("fetch-weights.sh", tmp_path / "weights", WEIGHTS_URL=path.as_uri(), WEIGHTS_SHA256="0" * 64)

        assert done.returncode == 1
        assert re.fullmatch(r"WEIGHTS_URL must .* sha256 0{64} \(got [0-9a-f]{64}\); .*\n", done.stderr)
        assert not (tmp_path / "weights").exists()

    def test_without_a_url_nothing_is_downloaded(self, tmp_path: Path) -> None:
        """A message states the consequence: no accuracy on the device."""
        done = script("fetch-weights.sh", tmp_path / "weights", WEIGHTS_URL="")

        assert done.returncode == 0
        assert "accuracy can't be judged" in done.stdout
        assert not (tmp_path / "weights").exists()


class TestRunner:
    """A rehearsal of `ci/setup-arm-runner.sh` writes under a folder, and shows the commands that it would run."""

    @pytest.fixture
    def options(self, tmp_path: Path) -> dict[str, object]:
        """Valid options of a rehearsal: a made-up runner, its checksum, a device, data."""
        (tmp_path / "config.sh").write_text("#!/bin/sh\n", encoding="utf-8")
        with tarfile.open(tmp_path / "runner.tar.gz", "w:gz") as archive:
            archive.add(tmp_path / "config.sh", "./config.sh")
        return {
            "repository": "https://github.com/owner/name",
            "device": "raspberry-pi-5",
            "runner": tmp_path / "runner.tar.gz",
            "sha256": sha256(tmp_path / "runner.tar.gz"),
            "data": tmp_path,
            "name": "board",
            "root": tmp_path / "root",
        }

    @staticmethod
    def rehearse(options: dict[str, object], token: str = "t0ken\n") -> subprocess.CompletedProcess[str]:
        """Run the script with these options and this token."""
        words = [word for name, value in options.items() for word in (f"--{name}", value)]
        return script("setup-arm-runner.sh", *words, given=token)

    def test_it_writes_variables_governor_and_service(self, options: dict[str, object], tmp_path: Path) -> None:
        """The service runs as an unprivileged user."""
        done = self.rehearse(options)
        root = tmp_path / "root"
        service = (root / "etc/systemd/system/edgeai-runner.service").read_text(encoding="utf-8")

        assert done.returncode == 0, done.stderr
        assert (root / "var/lib/edgeai-runner/config.sh").exists()
        variables = (root / "var/lib/edgeai-runner/.env").read_text(encoding="utf-8")
        assert variables == f"EDGEAI_DEVICE=raspberry-pi-5\nEDGEAI_DATA={tmp_path}\n"
        pinned = (root / "etc/tmpfiles.d/edgeai-governor.conf").read_text(encoding="utf-8")
        assert "\nw /sys/devices/system/cpu/cpufreq/policy*/scaling_governor - - - - performance\n" in pinned
        for line in ("User=edgeai-runner", "NoNewPrivileges=yes", "ExecStart=/var/lib/edgeai-runner/run.sh"):
            assert f"\n{line}\n" in service
        assert re.search("^ExecStartPre=.*edgeai-governor.conf$", service, re.MULTILINE)

    def test_it_creates_the_user_then_registers_then_starts(self, options: dict[str, object]) -> None:
        """The runner's label is the device."""
        commands = [line for line in self.rehearse(options).stdout.splitlines() if line.startswith("would run: ")]

        assert [line.split()[2] for line in commands] == ["useradd", "chown", "runuser", *3 * ["systemctl"]]
        assert "--url https://github.com/owner/name --name board --labels raspberry-pi-5" in commands[2]

    def test_token_appears_in_no_command_output_or_file(self, options: dict[str, object], tmp_path: Path) -> None:
        """Without a token the registration is refused."""
        done = self.rehearse(options)
        without = self.rehearse(options, token="")

        assert "t0ken" not in done.stdout + done.stderr
        files = [path for path in (tmp_path / "root").rglob("*") if path.is_file()]
        assert files
        assert not any(b"t0ken" in path.read_bytes() for path in files)
        assert without.returncode == 2
        assert "token is missing" in without.stderr

    def test_second_run_changes_only_what_its_options_change(
        self, options: dict[str, object], tmp_path: Path
    ) -> None:
        """A registered runner needs no token."""
        first = self.rehearse(options)
        (tmp_path / "root/var/lib/edgeai-runner/.runner").touch()
        second = self.rehearse(options, token="")
        third = self.rehearse({**options, "device": "raspberry-pi-4"}, token="")

        assert [run.stdout.count("written: ") for run in (first, second, third)] == [3, 0, 1]
        assert (first.stdout.count("unpacked: "), second.stdout.count("unpacked: ")) == (1, 0)
        assert "config.sh" not in second.stdout

    @pytest.mark.parametrize(
        ("change", "complaint"),
        [
            ({"sha256": "0" * 64}, "--runner must have the sha256 0{64} .got [0-9a-f]{64}.; download it again"),
            (
                {"sha256": "short"},
                "--sha256 must be 64 hexadecimal digits .got 'short'.; the release's page has it",
            ),
            ({"device": "toaster"}, "--device must be a key of claims/devices.yaml .got 'toaster'.; .*"),
            ({"repository": "owner/name"}, "--repository must be https://github.com/OWNER/REPO .got 'owner/name'."),
            ({"runner": "/nowhere"}, "--runner must be a file or an https address .got '/nowhere'."),
            ({"data": "/nowhere"}, "--data must be a folder with CIFAR-10 .got '/nowhere'.; copy it here first"),
            ({"data": ""}, "the value of --data is missing; see the head of this file"),
            ({"token": "x"}, "options must be known .got --token.; see the head of this file"),
        ],
    )
    def test_wrong_option_is_an_error_of_one_line(
        self, options: dict[str, object], change: dict[str, object], complaint: str
    ) -> None:
        """It names the option, the value and the next step."""
        done = self.rehearse({**options, **change})

        assert done.returncode == 2
        assert re.fullmatch(f"setup-arm-runner.sh: {complaint}\n", done.stderr), done.stderr
