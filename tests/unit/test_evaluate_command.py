"""The command that evaluates a saved network, on a small data set."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from edgeai_repro.compress import saved_models
from edgeai_repro.networks import convnext
from tests.support import small_cifar
from tests.support.commands import Command
from tests.support.helpers import awaken

pytestmark = pytest.mark.usefixtures("one_thread", "here")


class TestEvaluate:
    """`edgeai-repro evaluate` runs a saved model on the test images."""

    def test_evaluate_prints_top1_interval_and_number_of_images(self, command: Command) -> None:
        """They are printed in one line, after the folder's name."""
        folder = saved_models.save(
            awaken(convnext.build("convnext_atto")), "convnext_atto", "none", root=Path("saved")
        )

        status, out, _ = command("evaluate", str(folder))

        assert status == 0
        assert out.startswith(f"{folder.name}: ")
        assert out.endswith(f"] of {small_cifar.IMAGES}\n")

    def test_terminal_shows_a_bar_with_the_batches(self, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
        """It is on standard error, and leaves standard output as it is; in a log there is none."""
        folder = saved_models.save(convnext.build("convnext_atto"), "convnext_atto", "none", root=Path("saved"))
        _, out, err = command("evaluate", str(folder))
        assert err == ""

        monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
        status, out_with_bar, bar = command("evaluate", str(folder))

        assert (status, out_with_bar) == (0, out)
        assert "convnext_atto" in bar
        assert "1/1" in bar  # 100 images are one batch
        assert "0:00:00" in bar

    def test_folder_without_a_model_is_refused(self, command: Command) -> None:
        """The error is one line, and the exit status is 2."""
        status, _, err = command("evaluate", "nowhere")

        assert (status, err.count("\n")) == (2, 1)
        assert "nowhere: must be the folder of a saved model (model.json is missing)" in err

    def test_changed_weights_are_refused(self, command: Command) -> None:
        """Their sha256 isn't the one in the manifest."""
        folder = saved_models.save(convnext.build("convnext_atto"), "convnext_atto", "none", root=Path("saved"))
        with (folder / saved_models.WEIGHTS).open("ab") as weights:
            weights.write(b"x")

        status, _, err = command("evaluate", str(folder))

        assert (status, err.count("\n")) == (2, 1)
        assert "must have the sha256" in err

    def test_evaluation_without_data_has_status_3(self, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
        """EDGEAI_DATA is unset."""
        monkeypatch.delenv("EDGEAI_DATA")
        folder = saved_models.save(convnext.build("convnext_atto"), "convnext_atto", "none", root=Path("saved"))

        assert command("evaluate", str(folder))[0] == 3
