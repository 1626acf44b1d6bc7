"""EDGEAI_DEVICE names this machine, and a fingerprint tells machines apart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edgeai_repro.devices.fingerprint import Fingerprint, named_device
from edgeai_repro.devices.spec import load_devices
from edgeai_repro.errors import UserError

DEVICES = load_devices(Path(__file__).parents[2] / "claims")
PI5 = DEVICES["raspberry-pi-5"]
PI5_FINGERPRINT = Fingerprint(cpu="Cortex-A76", architecture="aarch64", cores=4, threads=4)


class TestNamedDevice:
    """The device that EDGEAI_DEVICE names."""

    def test_unset_variable_names_no_device(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Then absolute latency is not judged."""
        monkeypatch.delenv("EDGEAI_DEVICE", raising=False)

        assert named_device(DEVICES) is None

    def test_known_device_is_returned(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Its architecture must be this machine's; arm64 is another name of aarch64."""
        monkeypatch.setenv("EDGEAI_DEVICE", PI5.key)
        monkeypatch.setattr("platform.machine", lambda: "arm64")

        assert named_device(DEVICES) == PI5

    def test_unknown_device_is_refused_with_the_closest_name(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A misspelled name must not switch off the verdict on latency."""
        monkeypatch.setenv("EDGEAI_DEVICE", "raspberry-pi-55")

        with pytest.raises(UserError, match=r"\(got 'raspberry-pi-55'\); did you mean 'raspberry-pi-5'\?"):
            named_device(DEVICES)

    def test_device_without_a_file_of_devices_is_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The message says that the file is missing."""
        monkeypatch.setenv("EDGEAI_DEVICE", "pi")

        with pytest.raises(UserError, match=r"no devices\.yaml"):
            named_device({})

    def test_device_of_another_architecture_is_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The message has both architectures."""
        monkeypatch.setenv("EDGEAI_DEVICE", PI5.key)
        monkeypatch.setattr("platform.machine", lambda: "x86_64")

        with pytest.raises(UserError, match=r"architecture, x86_64 \(got 'raspberry-pi-5', aarch64\)"):
            named_device(DEVICES)


class TestFingerprint:
    """The key of a fingerprint names a folder of benchmark results."""

    def test_each_property_changes_the_key(self) -> None:
        """Two names of CPUs that read alike in the readable part have different keys, too."""
        changes: list[dict[str, Any]] = [
            {},
            {"cpu": "Cortex A76"},
            {"architecture": "armv7l"},
            {"cores": 8},
            {"threads": 2},
            {"emulated": True},
        ]

        keys = {PI5_FINGERPRINT.model_copy(update=change).key for change in changes}

        assert len(keys) == len(changes)

    def test_key_is_readable_and_stable(self) -> None:
        """Results that were stored before emulation was detected must still be found."""
        assert PI5_FINGERPRINT.key == "aarch64-cortex-a76-4c-4t-d85032c1"

    def test_text_has_all_properties(self) -> None:
        """Emulation is only mentioned if there is any."""
        assert str(PI5_FINGERPRINT) == "Cortex-A76, aarch64, 4 cores, 4 threads"
        assert str(PI5_FINGERPRINT.model_copy(update={"emulated": True})).endswith("4 threads, emulated")
