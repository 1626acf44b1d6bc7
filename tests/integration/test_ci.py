"""CI: workflows call scripts of `ci/` and nothing else, linters pass them, and each script runs here.

Those that run on an edge device (`ci/edge-install.sh`, `edge.sh`, `compare-benchmarks.sh`) run in
`test_edge_install.py`.
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

from edgeai_repro.files import sha256
from edgeai_repro.report import document

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted((ROOT / "ci").glob("*.sh"))
WORKFLOWS = sorted((ROOT / ".github" / "workflows").iterdir())
BY_HAND = {"ci/setup-arm-runner.sh", "ci/arm64-emulated.sh"}
CALL = re.compile(r"(ci/[a-z-]+\.sh)( [a-z]+)*")
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
    """Return what the steps of a workflow run."""
    jobs = yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"].values()
    return [step["run"] for job in jobs for step in job["steps"] if "run" in step]


def script(name: str, *arguments: object, given: str = "", **variables: object) -> subprocess.CompletedProcess[str]:
    """Run a script of `ci/` as a workflow does, with some environment variables."""
    bare = {
        key: value for key, value in os.environ.items() if not key.startswith(("EDGEAI_", "GITHUB_", "WEIGHTS"))
    }
    return subprocess.run(
        [ROOT / "ci" / name, *map(str, arguments)],
        env={**bare, **{key: str(value) for key, value in variables.items()}},
        input=given,
        check=False,
        capture_output=True,
        text=True,
    )


def lint(linter: str, *paths: Path) -> subprocess.CompletedProcess[str]:
    """Run a linter of this environment, or of the machine's."""
    program = shutil.which(linter, path=f"{sys.prefix}/bin{os.pathsep}{os.environ['PATH']}")
    if program is None and linter == "actionlint":
        pytest.skip("actionlint, which is on no package index as a program, isn't installed")
    assert program is not None, f"{linter} must be installed; pip install -e '.[test]'"
    return subprocess.run([program, *LINTERS[linter], *paths], check=False, capture_output=True, text=True)


class TestWorkflows:
    """The workflows are what a person can run, too, and safe."""

    @pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
    def test_scripts(self, path: Path) -> None:
        """Each step that runs something is one call of a script of `ci/`, which is there and executable."""
        for run in runs(path):
            called = CALL.fullmatch(run)

            assert called, f"run={run!r}, but should be a call of a script in ci/"
            assert os.access(ROOT / called[1], os.X_OK), f"{called[1]} must be there and executable"

    def test_no_script_unused(self) -> None:
        """Each script of `ci/` is called by a workflow, or is for a person alone."""
        called = {run.split()[0] for path in WORKFLOWS for run in runs(path)}

        assert {f"ci/{path.name}" for path in SCRIPTS} - called <= BY_HAND

    @pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
    def test_pinned(self, path: Path) -> None:
        """Each action is pinned by a commit, with the version that it is."""
        for line in path.read_text(encoding="utf-8").splitlines():
            if "uses:" in line:
                assert PINNED.fullmatch(line.strip(" -")), f"{line.strip()} must be NAME@COMMIT # vX.Y.Z"

    def test_edge_is_never_for_a_pull_request(self) -> None:
        """What runs on a device is started by the clock or by hand alone, and one run at a time."""
        edge = yaml.safe_load((ROOT / ".github" / "workflows" / "edge.yml").read_text(encoding="utf-8"))

        assert set(edge[True]) == {"schedule", "workflow_dispatch"}, "yaml reads the key `on` as true"
        assert edge["concurrency"] == {"group": "edge-device", "cancel-in-progress": False}
        assert edge["jobs"]["edge"]["runs-on"] == ["self-hosted", "Linux", "ARM64"]

    @pytest.mark.parametrize("linter", LINTERS)
    def test_lint(self, linter: str) -> None:
        """The linters have nothing to say."""
        found = lint(linter, *(SCRIPTS if linter == "shellcheck" else WORKFLOWS))

        assert found.returncode == 0, found.stdout + found.stderr

    @pytest.mark.parametrize(("linter", "text", "complaint"), BAD)
    def test_lint_finds(self, tmp_path: Path, linter: str, text: str, complaint: str) -> None:
        """And they do have something to say of what is wrong."""
        workflow = tmp_path / ".github" / "workflows" / "bad.yml"
        workflow.parent.mkdir(parents=True)
        workflow.write_text(text, encoding="utf-8")
        found = lint(linter, workflow)

        assert found.returncode != 0, f"{linter} must find {complaint}"
        assert complaint in found.stdout + found.stderr


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Variables with which make takes the environment that these tests run in, instead of making one."""
    folder = tmp_path_factory.mktemp("environment")
    for name in ("bin", "include", "lib", "pyvenv.cfg"):
        (folder / name).symlink_to(Path(sys.prefix) / name)
    (folder / ".ready").touch()
    return {"MAKEFLAGS": f"VENV={folder}"}


class TestScripts:
    """Each script does what its workflow wants of it."""

    def test_test(self, environment: dict[str, str]) -> None:
        """`ci/test.sh` runs linters, types and tests, and hands its arguments on, those with spaces too."""
        chosen = ["-q", "--collect-only", "-k", "test_nearest or no_such", "tests/unit/test_errors.py"]
        found = script("test.sh", *chosen, **environment)

        assert found.returncode == 0, found.stdout + found.stderr
        for told in ("All checks passed!", "Success: no issues found", "test_errors.py::test_nearest"):
            assert told in found.stdout

    def test_judge(self, environment: dict[str, str], atto_bundle: Path, tmp_path: Path) -> None:
        """`ci/judge.sh` writes verdicts and report, and `ci/summary.sh` appends it to the job's summary."""
        summary = tmp_path / "summary.md"
        summary.write_text("before\n", encoding="utf-8")
        judged = script(
            "judge.sh", atto_bundle, tmp_path / "results", "-k", "alexnet-imbalance or edge-accuracy", **environment
        )
        shown = script("summary.sh", tmp_path / "results", GITHUB_STEP_SUMMARY=summary)

        assert judged.returncode == 0, judged.stdout + judged.stderr
        found = document.read(tmp_path / "results" / "verdicts.json")
        reasons = {entry.id: entry.reason for entry in found.papers[0].claims}
        assert "the bundle is of convnext_atto" in reasons["edge-accuracy"], (
            "the bundle that is given must be judged"
        )
        assert shown.returncode == 0, shown.stderr
        assert summary.read_text(encoding="utf-8").startswith("before\n")
        assert re.search(r"^\| .*alexnet-imbalance.*reproduced", summary.read_text(encoding="utf-8"), re.MULTILINE)

    def test_summary_without_verdicts(self, tmp_path: Path) -> None:
        """Where a run broke before any verdict, the summary says so, and shows the benchmarks all the same."""
        (tmp_path / "benchmarks.txt").write_text("the table\n", encoding="utf-8")
        found = script("summary.sh", tmp_path)

        assert found.returncode == 0
        assert found.stdout.startswith("No verdict")
        assert "```text\nthe table\n```" in found.stdout

    def test_bundle(self, environment: dict[str, str], tmp_path: Path) -> None:
        """`ci/fetch-weights.sh` fetches and checks an archive, and `ci/build-bundle.sh` bundles what is in it."""
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
        found = load(tmp_path / "bundle").manifest
        assert found.model == name
        assert all(model.origin.sha256 for model in found.models.values()), "no weights must be random"
        assert found.models["pruned-int8"].hidden_widths == tuple(widths)

    def test_weights_altered(self, tmp_path: Path) -> None:
        """An archive that isn't the one that was named is refused in one line, and nothing is unpacked."""
        path = tmp_path / "weights.tar"
        path.write_bytes(b"altered")
        found = script("fetch-weights.sh", tmp_path / "weights", WEIGHTS_URL=path.as_uri(), WEIGHTS_SHA256="0" * 64)

        assert found.returncode == 1
        assert re.fullmatch(
            r"WEIGHTS_URL must name a file of sha256 0{64} \(got [0-9a-f]{64}\); .*\n", found.stderr
        )
        assert not (tmp_path / "weights").exists()

    def test_no_weights(self, tmp_path: Path) -> None:
        """Where no weights are named, none are fetched, and it is said what that means."""
        found = script("fetch-weights.sh", tmp_path / "weights", WEIGHTS_URL="")

        assert found.returncode == 0
        assert "no accuracy can be judged" in found.stdout
        assert not (tmp_path / "weights").exists()


class TestRunner:
    """`ci/setup-arm-runner.sh`, rehearsed: it writes under a folder, and shows what would change the system."""

    @pytest.fixture
    def given(self, tmp_path: Path) -> dict[str, object]:
        """Options with which a rehearsal passes: a made-up runner, its sum, a device, data."""
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
    def rehearse(given: dict[str, object], token: str = "t0ken\n") -> subprocess.CompletedProcess[str]:
        """Run it."""
        options = [word for name, value in given.items() for word in (f"--{name}", value)]
        return script("setup-arm-runner.sh", *options, given=token)

    def test_files(self, given: dict[str, object], tmp_path: Path) -> None:
        """It writes what jobs know of the device, the pinned governor, and a service of an unprivileged user."""
        found = self.rehearse(given)
        root = tmp_path / "root"
        service = (root / "etc/systemd/system/edgeai-runner.service").read_text(encoding="utf-8")

        assert found.returncode == 0, found.stderr
        assert (root / "var/lib/edgeai-runner/config.sh").exists()
        variables = (root / "var/lib/edgeai-runner/.env").read_text(encoding="utf-8")
        assert variables == f"EDGEAI_DEVICE=raspberry-pi-5\nEDGEAI_DATA={tmp_path}\n"
        pinned = (root / "etc/tmpfiles.d/edgeai-governor.conf").read_text(encoding="utf-8")
        assert "\nw /sys/devices/system/cpu/cpufreq/policy*/scaling_governor - - - - performance\n" in pinned
        for line in ("User=edgeai-runner", "NoNewPrivileges=yes", "ExecStart=/var/lib/edgeai-runner/run.sh"):
            assert f"\n{line}\n" in service
        assert re.search("^ExecStartPre=.*edgeai-governor.conf$", service, re.MULTILINE)

    def test_commands(self, given: dict[str, object]) -> None:
        """It makes the user, registers the runner with the device as a label, and starts it, in that order."""
        told = [line for line in self.rehearse(given).stdout.splitlines() if line.startswith("would run: ")]

        assert [line.split()[2] for line in told] == ["useradd", "chown", "runuser", *3 * ["systemctl"]]
        assert "--url https://github.com/owner/name --name board --labels raspberry-pi-5" in told[2]

    def test_token(self, given: dict[str, object], tmp_path: Path) -> None:
        """The token is in no command, output or file; without one a runner isn't registered."""
        found = self.rehearse(given)
        without = self.rehearse(given, token="")

        assert "t0ken" not in found.stdout + found.stderr
        files = [path for path in (tmp_path / "root").rglob("*") if path.is_file()]
        assert files
        assert not any(b"t0ken" in path.read_bytes() for path in files)
        assert without.returncode == 2
        assert "token must come in on standard input" in without.stderr

    def test_again(self, given: dict[str, object], tmp_path: Path) -> None:
        """Run again it changes nothing, but what is asked otherwise; a registered runner needs no token."""
        first = self.rehearse(given)
        (tmp_path / "root/var/lib/edgeai-runner/.runner").touch()
        second = self.rehearse(given, token="")
        third = self.rehearse({**given, "device": "raspberry-pi-4"}, token="")

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
            ({"data": ""}, "--data must have a value .got none.; see the head of this file"),
            ({"token": "x"}, "options must be known .got --token.; see the head of this file"),
        ],
    )
    def test_refused(self, given: dict[str, object], change: dict[str, object], complaint: str) -> None:
        """What is wrong is told in one line."""
        found = self.rehearse({**given, **change})

        assert found.returncode == 2
        assert re.fullmatch(f"setup-arm-runner.sh: {complaint}\n", found.stderr), found.stderr
