"""The commands that train, evaluate and keep results, on a small data set. Errors are one line each."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgeai_repro.cli import main as cli
from edgeai_repro.compress import saved_models
from edgeai_repro.data import cifar, packing
from edgeai_repro.evidence.store import SUMS
from edgeai_repro.evidence.training_record import RESULT, WEIGHTS, load_record
from edgeai_repro.files import sha256
from edgeai_repro.networks import convnext
from edgeai_repro.report import document
from edgeai_repro.training import trainer
from tests.support import reports, small_cifar
from tests.support.commands import Command
from tests.support.factories import claim_entry, paper_yaml
from tests.support.helpers import awaken
from tests.support.records import FULL, FULL_SCALE, dense, keep, pruned

pytestmark = pytest.mark.usefixtures("one_thread")

ROOT = Path(__file__).parents[2]
TRAIN = ("train", "convnext_atto", "--epochs", "1", "--batch-size", "100", "--precision", "fp32")
CLAIM = claim_entry(
    id="kept",
    metric="accuracy_change",
    technique="combined",
    models=["convnext_small"],
    value=0.0,
    band={"rounding": 0.0, "tolerance": 1.0, "side": "at_least", "derivation": "for the test"},
    settings={"target": [0.8]},
    needs=["data", "weights"],
)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with 500 training and 100 test images, as torchvision stores them."""
    with pytest.MonkeyPatch.context() as patch:
        yield small_cifar.write(tmp_path_factory.mktemp("data"), patch)


@pytest.fixture(scope="module")
def packed(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same images, packed."""
    return packing.pack(images, tmp_path_factory.mktemp("packed")).parent


@pytest.fixture(autouse=True)
def here(images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, which is empty. EDGEAI_DATA names the images, EDGEAI_MODELS the folder `models`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EDGEAI_DATA", str(images))
    monkeypatch.setenv("EDGEAI_MODELS", "models")
    return tmp_path


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


class TestEvidence:
    """The commands that keep records, judge them again, and write a report."""

    @pytest.fixture
    def claims(self, here: Path) -> Path:
        """A claims folder with one claim, about the accuracy of trained models."""
        (here / "claims").mkdir()
        text = paper_yaml(CLAIM, full_scale=FULL_SCALE.model_dump())
        (here / "claims" / "paper.yaml").write_text(text, encoding="utf-8")
        return here / "claims"

    def test_add_keeps_the_record_of_a_run(self, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
        """Its name is that of the run's folder, or the given one; the run may be named by folder or by file."""
        monkeypatch.setenv("EDGEAI_DATA", ".")  # without images: the record is of CIFAR-10's own test split
        Path("run").mkdir()
        shutil.copy(ROOT / "evidence" / "tiny-dense-s0.json", Path("run") / RESULT)

        assert command("evidence", "add", "run") == (0, "evidence/run.json\n", "")
        assert command("evidence", "add", f"run/{RESULT}", "--name", "again")[1] == "evidence/again.json\n"

        made, kept = load_record(Path("run") / RESULT), load_record(Path("evidence/run.json"))
        assert kept.model_dump(exclude={"evaluations"}) == made.model_dump(exclude={"evaluations"})
        assert [form.correct for form in kept.evaluations] == [form.correct for form in made.evaluations]
        assert [line.split("  ")[1] for line in Path("evidence", SUMS).read_text().splitlines()] == [
            "again.json",
            "run.json",
        ]

    @pytest.mark.parametrize("run", ["nowhere", "."])
    def test_add_refuses_a_folder_without_a_record(self, command: Command, run: str) -> None:
        """It creates no evidence folder."""
        status, _, err = command("evidence", "add", run)

        assert (status, err.count("\n")) == (2, 1)
        assert not Path("evidence").exists()

    @pytest.mark.parametrize(
        ("compressed", "recipe", "status", "verdict"),
        [
            (895, FULL, 0, "reproduced"),
            (870, FULL, 1, "contradicted (expected reproduced)"),
            (870, {}, 0, "not testable"),
        ],
        ids=["as expected", "drift", "reduced scale"],
    )
    def test_rejudge_has_status_1_only_on_drift(
        self,
        command: Command,
        claims: Path,
        compressed: int,
        recipe: dict[str, object],
        status: int,
        verdict: str,
    ) -> None:
        """The status is 0 if the verdict is expected, or if the recorded evidence doesn't decide the claim."""
        keep(Path("evidence").absolute(), a=dense(900, **recipe), b=pruned(compressed, **recipe))

        exit_status, out, err = command("rejudge", "--json", "out.json")

        (entry,) = document.read(Path("out.json")).papers[0].claims
        assert (exit_status, entry.id) == (status, "kept")
        assert verdict in out
        assert err.startswith("edgeai-repro: 'kept' must be reproduced (got contradicted: ") == (status == 1)
        assert entry.rows[0].source == "recorded"

    def test_rejudge_needs_no_data(self, command: Command, claims: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Without evidence the claim isn't decided, which is no drift."""
        monkeypatch.delenv("EDGEAI_DATA")

        status, out, _ = command("rejudge")

        assert status == 0
        assert "no convnext_small trained at full scale is here" in out

    def test_rejudge_refuses_changed_evidence(self, command: Command, claims: Path) -> None:
        """The error is one line with the file's name and its sha256."""
        keep(Path("evidence").absolute(), a=dense(900))
        with Path("evidence/a.json").open("a") as kept:
            kept.write(" ")

        status, out, err = command("rejudge")

        assert (status, out, err.count("\n")) == (2, "", 1)
        assert "a.json: must have the sha256" in err

    def test_rejudge_refuses_a_folder_without_claims(self, command: Command) -> None:
        """The exit status is 2."""
        assert command("rejudge", "--claims-dir", "nowhere")[0] == 2

    def test_report_is_written_from_the_json_of_a_run(self, command: Command) -> None:
        """It is an HTML file and a Markdown file."""
        document.write(reports.run(), Path("verdicts.json"))

        status, out, _ = command("report", "verdicts.json", "-o", "shown")

        assert (status, out) == (0, "shown/report.html\nshown/report.md\n")
        assert all(Path(path).stat().st_size > 1000 for path in out.split())

    def test_report_shows_the_json_of_rejudge(self, command: Command, claims: Path) -> None:
        """The rows are marked as those of reduced scale."""
        keep(Path("evidence").absolute(), a=dense(900), b=pruned(870))
        command("rejudge", "--json", "out.json")

        assert command("report", "out.json", "-o", "shown")[0] == 0
        assert "at reduced scale -3 points" in Path("shown/report.md").read_text(encoding="utf-8")

    @pytest.mark.parametrize("text", ["{}", "nonsense"])
    def test_report_refuses_another_file(self, command: Command, text: str) -> None:
        """Each line of the error begins with the file's name, and nothing is written."""
        Path("verdicts.json").write_text(text, encoding="utf-8")

        status, _, err = command("report", "verdicts.json")

        assert status == 2
        assert all("verdicts.json: " in line for line in err.splitlines())
        assert not Path("claims-report").exists()


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
