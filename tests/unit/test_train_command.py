"""The command that trains networks, on a small data set. Errors are one line each."""

from __future__ import annotations

import sys
from pathlib import Path
from urllib.error import URLError

import pytest
import torch
from torchvision.models import get_model_weights

from edgeai_repro.checksums import sha256
from edgeai_repro.cli import main as cli
from edgeai_repro.evidence.training_record import RESULT, WEIGHTS, load_record
from edgeai_repro.networks import convnext
from edgeai_repro.training import trainer
from tests.support import small_cifar
from tests.support.commands import Command

pytestmark = pytest.mark.usefixtures("one_thread", "here")

TRAIN = ("train", "convnext_atto", "--epochs", "1", "--batch-size", "100", "--precision", "fp32")


class TestTrain:
    """`edgeai-repro train` writes weights, a record and a checkpoint, and can be continued."""

    def test_run_writes_weights_record_and_checkpoint(self, command: Command) -> None:
        """It prints accuracy and folder. The record has the command, recipe, data, curve and weights."""
        status, out, _ = command(*TRAIN, "--out", "run", "--seed", "3")

        record = load_record(Path("run") / RESULT)
        assert status == 0
        assert out.splitlines()[0] == f"none : {record.evaluation('none').top1:.2f} % of {small_cifar.IMAGES}"
        assert out.splitlines()[-1] == "run"
        assert {path.name for path in Path("run").iterdir()} == {WEIGHTS, RESULT, trainer.CHECKPOINT}
        assert record.command == f"edgeai-repro {' '.join(TRAIN)} --out run --seed 3"
        assert (record.recipe["model"], record.recipe["seed"], record.precision) == ("convnext_atto", 3, "fp32")
        assert record.weights_sha256 == sha256(Path("run") / WEIGHTS)
        assert set(record.data_sha256) == {"train", "test"}
        assert len(record.curve) == 1
        assert [evaluation.technique for evaluation in record.evaluations] == ["none", "dynamic_quantization"]

    def test_interrupted_run_continues_and_ends_like_an_unbroken_one(
        self, command: Command, images: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The same command repeats no step, and the weights are equal to the last bit."""
        command(*TRAIN, "--out", "unbroken")
        step, steps = trainer.Trainer.step, []

        def step_or_die(self: trainer.Trainer) -> float:
            if self.done == 3:
                raise KeyboardInterrupt
            steps.append(self.done)
            return step(self)

        with monkeypatch.context() as patch:
            patch.setattr(trainer, "CHECKPOINT_SECONDS", 0)
            patch.setattr(trainer.Trainer, "step", step_or_die)
            patch.setattr(sys, "argv", ["edgeai-repro", *TRAIN, "--out", "killed"])
            with pytest.raises(SystemExit) as ended:
                cli.main()
        assert ended.value.code not in (0, None)
        assert not (Path("killed") / RESULT).exists()
        killed_after = list(steps)
        monkeypatch.setattr(trainer.Trainer, "step", lambda self: steps.append(self.done) or step(self))

        status, _, _ = command(*TRAIN, "--out", "killed")

        assert status == 0
        assert (killed_after, steps) == ([0, 1, 2], [0, 1, 2, 3, 4])
        assert sha256(Path("killed") / WEIGHTS) == sha256(Path("unbroken") / WEIGHTS)

    def test_structured_option_prunes_the_model(self, command: Command) -> None:
        """The pruned model is evaluated in fp32 and int8, in a folder that is named by its recipe."""
        status, out, _ = command(*TRAIN, "--epochs", "3", "--batch-size", "50", "--structured", "0.5")

        folder = Path(out.splitlines()[-1])
        record = load_record(folder / RESULT)
        assert status == 0
        assert folder.parent == Path("models")
        assert folder.name.startswith("convnext_atto--structured_pruning--")
        assert [evaluation.technique for evaluation in record.evaluations] == ["structured_pruning", "combined"]
        full = convnext.hidden_widths(convnext.build("convnext_atto"))
        assert 2 * sum(record.hidden_widths) == sum(full)

    def test_sweep_option_evaluates_nine_sparsities(self, command: Command) -> None:
        """They are 10 to 90 % of the weights, set to zero without training."""
        command(*TRAIN, "--out", "run", "--sweep")

        evaluations = load_record(Path("run") / RESULT).evaluations
        unstructured = [evaluation for evaluation in evaluations if evaluation.technique == "unstructured_pruning"]
        assert [evaluation.settings["sparsity"] for evaluation in unstructured] == [
            0.1,
            0.2,
            0.3,
            0.4,
            0.5,
            0.6,
            0.7,
            0.8,
            0.9,
        ]

    def test_unstructured_option_fine_tunes_given_weights(self, command: Command) -> None:
        """The record contains the sha256 of the weights that it started from."""
        command(*TRAIN, "--out", "run")

        status, out, _ = command(*TRAIN, "--out", "tuned", "--init", f"run/{WEIGHTS}", "--unstructured", "0.5")

        record = load_record(Path("tuned") / RESULT)
        assert status == 0
        assert out.startswith("unstructured_pruning {'sparsity': 0.5}: ")
        assert record.init_sha256 == sha256(Path("run") / WEIGHTS)

    @pytest.mark.parametrize(
        ("arguments", "complaint"),
        [
            (["tiny"], "'model' must be a known one (got 'tiny'); did you mean 'convnext_tiny'?"),
            (["alexnet"], "'model' must be a known one (got 'alexnet'); known are "),
            (["convnext_atto", "--structured", "80"], "'structured' must be a share in (0, 1) (got 80.0); "),
            (["convnext_atto", "--structured", "0"], "'structured' must be a share in (0, 1) (got 0.0); "),
            (["convnext_atto", "--unstructured", "0.5"], "'init' must be trained weights if 'unstructured' is "),
            (["convnext_atto", "--epochs", "0"], "'epochs' must be at least 1 (got 0); "),
            (
                ["convnext_atto", "--init", "nowhere"],
                "'init' must be scratch, imagenet or a safetensors file (got ",
            ),
            (["convnext_tiny", "--init", "imagent"], "(got 'imagent'); did you mean 'imagenet'?"),
            (["resnet21"], "'model' must be a known one (got 'resnet21'); did you mean 'resnet20'?"),
            (["convnext_atto", "--init", "imagenet"], "'init' must be other than imagenet for convnext_atto (got "),
            (["convnext_atto", "--precision", "fp16"], "'precision' must be a known one (got 'fp16'"),
            (["convnext_atto", "--dataset", "cifar"], "'dataset' must be a known one (got 'cifar'"),
            (["convnext_atto", "--batch-size", "501"], "'batch_size' must be at most 500 images (got 501)"),
        ],
        ids=lambda value: " ".join(value) if isinstance(value, list) else "",
    )
    def test_wrong_argument_is_an_error_of_one_line(
        self, command: Command, arguments: list[str], complaint: str
    ) -> None:
        """The exit status is 2, and nothing is written."""
        status, out, err = command("train", *arguments)

        assert (status, out, err.count("\n")) == (2, "", 1), err
        assert err.startswith("edgeai-repro: ")
        assert complaint in err
        assert not Path("models").exists()

    def test_weights_of_imagenet_that_cannot_be_downloaded_are_named_with_their_place(
        self, command: Command, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """One line says which file to put where, in whole even if the path is long."""

        def offline(request: object) -> None:
            raise URLError("Temporary failure in name resolution")

        cache = "/".join(["a-folder-with-a-long-name"] * 12)
        monkeypatch.setenv("TORCH_HOME", cache)
        monkeypatch.setattr(torch.hub, "urlopen", offline)
        weights = get_model_weights("convnext_tiny").DEFAULT

        status, _, err = command("train", "convnext_tiny", "--init=imagenet", "--batch-size=100", "--epochs=1")

        assert (status, err.count("\n")) == (2, 1), err
        place = f"{cache}/hub/checkpoints/{Path(weights.url).name}"
        assert f"put {weights.url} at {place}, or name a safetensors file with --init=FILE" in err

    def test_folder_with_a_run_of_another_recipe_is_refused(self, command: Command) -> None:
        """The message names the difference, and the folder stays unchanged."""
        command(*TRAIN, "--out", "run")
        before = sha256(Path("run") / trainer.CHECKPOINT)

        status, _, err = command(*TRAIN, "--out", "run", "--lr", "0.1")

        assert (status, err.count("\n")) == (2, 1)
        assert "must be a checkpoint of lr 0.1 (got 0.002)" in err
        assert sha256(Path("run") / trainer.CHECKPOINT) == before

    @pytest.mark.parametrize("folder", [None, "nowhere", "."])
    def test_training_without_data_has_status_3(
        self, command: Command, monkeypatch: pytest.MonkeyPatch, folder: str | None
    ) -> None:
        """EDGEAI_DATA is unset, or names no folder, or a folder without data; the message names the remedy."""
        if folder is None:
            monkeypatch.delenv("EDGEAI_DATA")
        else:
            monkeypatch.setenv("EDGEAI_DATA", folder)

        status, out, err = command(*TRAIN)

        assert (status, out, err.count("\n")) == (3, "", 1)
        assert "EDGEAI_DATA" in err
        assert "`edgeai-repro data get FOLDER`" in err
