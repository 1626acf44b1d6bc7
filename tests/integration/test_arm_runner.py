"""A rehearsal of `ci/setup-arm-runner.sh`, which makes a board a runner of GitHub Actions."""

from __future__ import annotations

import re
import subprocess
import tarfile
from pathlib import Path

import pytest

from edgeai_repro.checksums import sha256
from tests.support.ci_scripts import script


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
