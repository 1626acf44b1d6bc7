"""The commands about data, on a small data set, and the help of each command."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from edgeai_repro.checksums import sha256
from edgeai_repro.data import cifar, packing
from edgeai_repro.evidence.training_record import WEIGHTS
from tests.support.commands import Command

pytestmark = pytest.mark.usefixtures("one_thread", "here")

TRAIN = ("train", "convnext_atto", "--epochs", "1", "--batch-size", "100", "--precision", "fp32")


@pytest.fixture(scope="module")
def packed(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same images, packed."""
    return packing.pack(images, tmp_path_factory.mktemp("packed")).parent


class TestData:
    """`edgeai-repro data` packs, verifies and downloads CIFAR-10."""

    def test_packed_data_pass_verification(self, command: Command, images: Path) -> None:
        """`verify` prints one line per split, with the form in which it is stored."""
        assert command("data", "pack", str(images), "packed") == (0, "packed/cifar10\n", "")

        assert command("data", "verify", "packed") == (
            0,
            "cifar10 train: 500 images, 10 classes, packed, all right\n"
            "cifar10 test: 100 images, 10 classes, packed, all right\n",
            "",
        )
        assert "torchvision, all right" in command("data", "verify", str(images))[1]

    def test_training_on_packed_data_gives_the_same_weights(
        self, command: Command, monkeypatch: pytest.MonkeyPatch, packed: Path
    ) -> None:
        """They are equal to the last bit."""
        command(*TRAIN, "--out", "first")
        monkeypatch.setenv("EDGEAI_DATA", str(packed))
        command(*TRAIN, "--out", "second")

        assert sha256(Path("first") / WEIGHTS) == sha256(Path("second") / WEIGHTS)

    def test_damaged_file_fails_verification(self, command: Command, packed: Path) -> None:
        """The error is one line with the file's name."""
        shutil.copytree(packed, "damaged")
        mosaic = Path("damaged/cifar10/test.webp")
        mosaic.write_bytes(mosaic.read_bytes()[:-1])

        status, _, err = command("data", "verify", "damaged")

        assert (status, err.count("\n")) == (2, 1)
        assert "test.webp: must have" in err

    @pytest.mark.parametrize("arguments", [["verify", "."], ["pack", ".", "packed"]])
    def test_folder_without_data_has_status_3(self, command: Command, arguments: list[str]) -> None:
        """Nothing is written."""
        status, _, err = command("data", *arguments)

        assert (status, err.count("\n")) == (3, 1)
        assert not Path("packed").exists()

    def test_get_does_not_download_existing_data_again(self, command: Command, images: Path) -> None:
        """It prints the folder."""
        assert command("data", "get", str(images)) == (0, f"{images / cifar.BATCHES_FOLDER}\n", "")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ([], "Exit status: 0 as expected, 1 drift, 2 usage, 3 a requirement is missing."),
        (["train"], "--structured"),
        (["evaluate"], "Evaluate a saved model"),
        (["data"], "verify"),
        (["data", "get"], "Download CIFAR-10"),
        (["data", "pack"], "TARGET"),
        (["data", "verify"], "checksums, shapes, classes"),
        (["evidence"], "add"),
        (["evidence", "add"], "--name"),
        (["rejudge"], "without torch and data"),
        (["report"], "--output"),
        (["claims"], "schema"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_help_describes_each_command(command: Command, arguments: list[str], text: str) -> None:
    """The exit status is 0, and nothing is an error."""
    status, out, err = command(*arguments, "--help")

    assert (status, err) == (0, "")
    assert text in " ".join(out.split())
