"""The commands that train, evaluate and keep: end to end on a small data set, and in one line where they can't."""

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
    """A folder with 500 and 100 images in torchvision's form."""
    with pytest.MonkeyPatch.context() as patch:
        yield small_cifar.write(tmp_path_factory.mktemp("data"), patch)


@pytest.fixture(scope="module")
def packed(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same data in the packed form."""
    return packing.pack(images, tmp_path_factory.mktemp("packed")).parent


@pytest.fixture(autouse=True)
def here(images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory: empty, with models in it, and the data elsewhere."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EDGEAI_DATA", str(images))
    monkeypatch.setenv("EDGEAI_MODELS", "models")
    return tmp_path


class TestTrain:
    """Training, from the command line to what it leaves."""

    def test_leaves_weights_record_and_checkpoint(self, command: Command) -> None:
        """A run says what it reached and where it is; its record tells command, recipe, data, curve and weights."""
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
        assert [found.technique for found in record.evaluations] == ["none", "dynamic_quantization"]

    def test_goes_on(self, command: Command, images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The same command after a run was killed goes on where it was, and ends as an unbroken one does."""
        command(*TRAIN, "--out", "unbroken")
        step, taken = trainer.Trainer.step, []

        def dies(self: trainer.Trainer) -> float:
            if self.done == 3:
                raise KeyboardInterrupt
            taken.append(self.done)
            return step(self)

        with monkeypatch.context() as patch:
            patch.setattr(trainer, "CHECKPOINT_SECONDS", 0)
            patch.setattr(trainer.Trainer, "step", dies)
            patch.setattr(sys, "argv", ["edgeai-repro", *TRAIN, "--out", "killed"])
            with pytest.raises(SystemExit) as ended:
                cli.main()
        assert ended.value.code not in (0, None)
        assert not (Path("killed") / RESULT).exists()
        killed_after = list(taken)
        monkeypatch.setattr(trainer.Trainer, "step", lambda self: taken.append(self.done) or step(self))

        status, _, _ = command(*TRAIN, "--out", "killed")

        assert status == 0
        assert (killed_after, taken) == ([0, 1, 2], [0, 1, 2, 3, 4])
        assert sha256(Path("killed") / WEIGHTS) == sha256(Path("unbroken") / WEIGHTS)

    def test_prunes(self, command: Command) -> None:
        """--structured leaves a narrower model, evaluated as it is and in int8, in a folder named by its recipe."""
        status, out, _ = command(*TRAIN, "--epochs", "3", "--batch-size", "50", "--structured", "0.5")

        folder = Path(out.splitlines()[-1])
        record = load_record(folder / RESULT)
        assert status == 0
        assert folder.parent == Path("models")
        assert folder.name.startswith("convnext_atto--structured_pruning--")
        assert [found.technique for found in record.evaluations] == ["structured_pruning", "combined"]
        full = convnext.hidden_widths(convnext.build("convnext_atto"))
        assert 2 * sum(record.hidden_widths) == sum(full)

    def test_sweeps(self, command: Command) -> None:
        """--sweep evaluates nine unstructured sparsities too."""
        command(*TRAIN, "--out", "run", "--sweep")

        evaluations = load_record(Path("run") / RESULT).evaluations
        swept = [found.settings["sparsity"] for found in evaluations if found.technique == "unstructured_pruning"]
        assert swept == [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]

    def test_fine_tunes(self, command: Command) -> None:
        """--unstructured trains on from a run's weights, whose hash is noted."""
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
            (["resnet18"], "'model' must be a known one (got 'resnet18'); known are convnext_atto, "),
            (["convnext_atto", "--structured", "80"], "'structured' must be a share in (0, 1) (got 80.0); "),
            (["convnext_atto", "--structured", "0"], "'structured' must be a share in (0, 1) (got 0.0); "),
            (["convnext_atto", "--unstructured", "0.5"], "'init' must be trained weights where 'unstructured' is "),
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
    def test_usage(self, command: Command, arguments: list[str], complaint: str) -> None:
        """An unknown model, or a value out of its range, is one line and status 2; nothing is left."""
        status, out, err = command("train", *arguments)

        assert (status, out, err.count("\n")) == (2, "", 1), err
        assert err.startswith("edgeai-repro: ")
        assert complaint in err
        assert not Path("models").exists()

    def test_another_run_in_the_folder(self, command: Command) -> None:
        """A folder that holds another recipe's run is left as it is: one line names what differs."""
        command(*TRAIN, "--out", "run")
        before = sha256(Path("run") / trainer.CHECKPOINT)

        status, _, err = command(*TRAIN, "--out", "run", "--lr", "0.1")

        assert (status, err.count("\n")) == (2, 1)
        assert "must be a checkpoint of lr 0.1 (got 0.002)" in err
        assert sha256(Path("run") / trainer.CHECKPOINT) == before

    @pytest.mark.parametrize("where", [None, "nowhere", "."])
    def test_no_data(self, command: Command, monkeypatch: pytest.MonkeyPatch, where: str | None) -> None:
        """Missing data are a missing condition, status 3, and the line says how to get them."""
        if where is None:
            monkeypatch.delenv("EDGEAI_DATA")
        else:
            monkeypatch.setenv("EDGEAI_DATA", where)

        status, out, err = command(*TRAIN)

        assert (status, out, err.count("\n")) == (3, "", 1)
        assert "EDGEAI_DATA" in err
        assert "`edgeai-repro data get FOLDER`" in err


class TestEvaluate:
    """A saved model on the test images."""

    def test_evaluate(self, command: Command) -> None:
        """Tells top-1 with its interval and the number of images."""
        folder = saved_models.save(
            awaken(convnext.build("convnext_atto")), "convnext_atto", "none", root=Path("saved")
        )

        status, out, _ = command("evaluate", str(folder))

        assert status == 0
        assert out.startswith(f"{folder.name}: ")
        assert out.endswith(f"] of {small_cifar.IMAGES}\n")

    def test_no_saved_model(self, command: Command) -> None:
        """A folder without a model is one line and status 2."""
        status, _, err = command("evaluate", "nowhere")

        assert (status, err.count("\n")) == (2, 1)
        assert "nowhere: must be the folder of a saved model (model.json is missing)" in err

    def test_altered(self, command: Command) -> None:
        """Weights that aren't those of the manifest's hash are one line and status 2."""
        folder = saved_models.save(convnext.build("convnext_atto"), "convnext_atto", "none", root=Path("saved"))
        with (folder / saved_models.WEIGHTS).open("ab") as weights:
            weights.write(b"x")

        status, _, err = command("evaluate", str(folder))

        assert (status, err.count("\n")) == (2, 1)
        assert "must have the sha256" in err

    def test_no_data(self, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
        """Missing data are status 3."""
        monkeypatch.delenv("EDGEAI_DATA")
        folder = saved_models.save(convnext.build("convnext_atto"), "convnext_atto", "none", root=Path("saved"))

        assert command("evaluate", str(folder))[0] == 3


class TestData:
    """Packing and verifying."""

    def test_pack_and_verify(self, command: Command, images: Path) -> None:
        """What was packed is found to be whole, part by part; the form of the source is told too."""
        assert command("data", "pack", str(images), "packed") == (0, "packed/cifar10\n", "")

        assert command("data", "verify", "packed") == (
            0,
            "cifar10 train: 500 images, 10 classes, packed, all right\n"
            "cifar10 test: 100 images, 10 classes, packed, all right\n",
            "",
        )
        assert "torchvision, all right" in command("data", "verify", str(images))[1]

    def test_packed_is_enough(self, command: Command, monkeypatch: pytest.MonkeyPatch, packed: Path) -> None:
        """A run on the packed form is the run on torchvision's."""
        command(*TRAIN, "--out", "first")
        monkeypatch.setenv("EDGEAI_DATA", str(packed))
        command(*TRAIN, "--out", "second")

        assert sha256(Path("first") / WEIGHTS) == sha256(Path("second") / WEIGHTS)

    def test_damaged(self, command: Command, packed: Path) -> None:
        """A damaged file is one line that names it, and status 2."""
        shutil.copytree(packed, "damaged")
        mosaic = Path("damaged/cifar10/test.webp")
        mosaic.write_bytes(mosaic.read_bytes()[:-1])

        status, _, err = command("data", "verify", "damaged")

        assert (status, err.count("\n")) == (2, 1)
        assert "test.webp: must have" in err

    @pytest.mark.parametrize("arguments", [["verify", "."], ["pack", ".", "packed"]])
    def test_nothing_there(self, command: Command, arguments: list[str]) -> None:
        """A folder without data is a missing condition, status 3; nothing is written."""
        status, _, err = command("data", *arguments)

        assert (status, err.count("\n")) == (3, 1)
        assert not Path("packed").exists()

    def test_get(self, command: Command, images: Path) -> None:
        """Data that are there already aren't fetched again."""
        assert command("data", "get", str(images)) == (0, f"{images / cifar.BATCHES_FOLDER}\n", "")


class TestEvidence:
    """Keeping records, judging them again, and showing what was found."""

    @pytest.fixture
    def claims(self, here: Path) -> Path:
        """A claims folder whose one claim is told by trained models."""
        (here / "claims").mkdir()
        text = paper_yaml(CLAIM, full_scale=FULL_SCALE.model_dump())
        (here / "claims" / "paper.yaml").write_text(text, encoding="utf-8")
        return here / "claims"

    def test_add(self, command: Command) -> None:
        """The record of a finished run is kept by its folder's name, or another, from the folder or the file."""
        command(*TRAIN, "--out", "run")

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
    def test_add_nothing(self, command: Command, run: str) -> None:
        """A folder without a record is one line and status 2."""
        status, _, err = command("evidence", "add", run)

        assert (status, err.count("\n")) == (2, 1)
        assert not Path("evidence").exists()

    @pytest.mark.parametrize(
        ("compressed", "recipe", "status", "said"),
        [
            (895, FULL, 0, "reproduced"),
            (870, FULL, 1, "contradicted (expected reproduced)"),
            (870, {}, 0, "not testable"),
        ],
        ids=["as expected", "drift", "reduced scale"],
    )
    def test_rejudge(
        self,
        command: Command,
        claims: Path,
        compressed: int,
        recipe: dict[str, object],
        status: int,
        said: str,
    ) -> None:
        """The status is 0 where recorded evidence gives what is expected or decides nothing, and 1 on drift."""
        keep(Path("evidence").absolute(), a=dense(900, **recipe), b=pruned(compressed, **recipe))

        ended, out, err = command("rejudge", "--json", "out.json")

        (entry,) = document.read(Path("out.json")).papers[0].claims
        assert (ended, entry.id) == (status, "kept")
        assert said in out
        assert err.startswith("edgeai-repro: 'kept' must be reproduced (got contradicted: ") == (status == 1)
        assert entry.rows[0].source == "recorded"

    def test_rejudge_without_data(self, command: Command, claims: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """What was recorded is judged without data; without evidence nothing is decided, and that is no drift."""
        monkeypatch.delenv("EDGEAI_DATA")

        status, out, _ = command("rejudge")

        assert status == 0
        assert "no convnext_small trained at full scale is here" in out

    def test_rejudge_altered(self, command: Command, claims: Path) -> None:
        """Evidence that was altered is one line and status 2."""
        keep(Path("evidence").absolute(), a=dense(900))
        with Path("evidence/a.json").open("a") as kept:
            kept.write(" ")

        status, out, err = command("rejudge")

        assert (status, out, err.count("\n")) == (2, "", 1)
        assert "a.json: must have the sha256" in err

    def test_rejudge_no_claims(self, command: Command) -> None:
        """A folder without claims is status 2."""
        assert command("rejudge", "--claims-dir", "nowhere")[0] == 2

    def test_report(self, command: Command) -> None:
        """Writes the report's files from a run's JSON."""
        document.write(reports.run(), Path("verdicts.json"))

        status, out, _ = command("report", "verdicts.json", "-o", "shown")

        assert (status, out) == (0, "shown/report.html\nshown/report.md\n")
        assert all(Path(path).stat().st_size > 1000 for path in out.split())

    def test_report_of_rejudged(self, command: Command, claims: Path) -> None:
        """What was judged again can be shown as any run."""
        keep(Path("evidence").absolute(), a=dense(900), b=pruned(870))
        command("rejudge", "--json", "out.json")

        assert command("report", "out.json", "-o", "shown")[0] == 0
        assert "at reduced scale -3 points" in Path("shown/report.md").read_text(encoding="utf-8")

    @pytest.mark.parametrize("text", ["{}", "nonsense"])
    def test_report_of_something_else(self, command: Command, text: str) -> None:
        """A file that isn't a run's JSON is refused with its name, without a traceback, and status 2."""
        Path("verdicts.json").write_text(text, encoding="utf-8")

        status, _, err = command("report", "verdicts.json")

        assert status == 2
        assert all("verdicts.json: " in line for line in err.splitlines())
        assert not Path("claims-report").exists()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "Exit status: 0 as expected, 1 drift, 2 usage, 3 a condition is missing."),
        (["train"], "--structured"),
        (["evaluate"], "Evaluate a saved model"),
        (["data"], "verify"),
        (["data", "get"], "Download CIFAR-10"),
        (["data", "pack"], "TARGET"),
        (["data", "verify"], "class counts"),
        (["evidence"], "add"),
        (["evidence", "add"], "--name"),
        (["rejudge"], "no torch, no data, no training"),
        (["report"], "--output"),
        (["claims"], "schema"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_help(command: Command, arguments: list[str], told: str) -> None:
    """--help of each command tells what it does, and is no error."""
    status, out, err = command(*arguments, "--help")

    assert (status, err) == (0, "")
    assert told in " ".join(out.split())
