"""CIFAR networks train by recipes as data, resume bit for bit after kill -9, and leave a record of each stage."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from edgeai_repro.claims.recipe_files import read_plan, read_recipe
from edgeai_repro.data.cifar import Split
from edgeai_repro.errors import UserError
from edgeai_repro.networks import cifar
from edgeai_repro.training import trainer
from edgeai_repro.training.recipe import Recipe, format_rates, learning_rate, parse_rates
from edgeai_repro.training.train import train
from edgeai_repro.training.trainer import Trainer

pytestmark = pytest.mark.usefixtures("one_thread")

FOLDER = Path(__file__).parents[2] / "claims" / "training"
PAPER = read_recipe("li2017-retrain", FOLDER)
SMALL: dict[str, Any] = {**PAPER, "epochs": 2, "batch_size": 8, "precision": "fp32"}
RATES = "2:0.5 8:0.25"


def noise() -> Split:
    """Return 20 images of noise in the place of CIFAR-10: 2 steps of 8 in an epoch, and a rest."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (20, 3, 32, 32), dtype=torch.uint8, generator=generator)
    return Split(images, torch.randint(10, (20,), generator=generator), 10, "noise")


@pytest.fixture(autouse=True)
def small_data(monkeypatch: pytest.MonkeyPatch) -> None:
    """Train on noise."""
    split = noise()
    monkeypatch.setattr(trainer, "load_split", lambda folder, part, dataset: split)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """Return the file of a ResNet-20, without BatchNorm's counters, as third parties publish them."""
    state = {k: v for k, v in cifar.build("resnet20", seed=3).state_dict().items() if "num_batches" not in k}
    save_file(state, tmp_path / "resnet20.safetensors")
    return tmp_path / "resnet20.safetensors"


def test_the_recipe_of_the_paper_is_the_printed_one() -> None:
    """0.1, a tenth from half of the run on, a hundredth from three quarters on."""
    recipe = Recipe("resnet56", **read_recipe("li2017-train", FOLDER))

    rates = [learning_rate(recipe, step, 64_000) for step in (0, 31_999, 32_000, 47_999, 48_000, 63_999)]
    assert rates == pytest.approx([0.1, 0.1, 0.01, 0.01, 0.001, 0.001])
    assert (recipe.epochs, recipe.batch_size, recipe.momentum, recipe.weight_decay) == (160, 128, 0.9, 1e-4)


def test_a_constant_rate_stays() -> None:
    """The retraining's rate is 0.001 throughout."""
    assert {learning_rate(Recipe("resnet56", **PAPER), step, 100) for step in range(100)} == {0.001}


def test_a_step_is_that_of_plain_sgd(tmp_path: Path) -> None:
    """Two steps move the weights as a loop in plain torch does."""
    run = Trainer(Recipe("resnet20", **{**SMALL, "lr": 0.1}), tmp_path, tmp_path)
    expected = cifar.build("resnet20", seed=0).train().to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(expected.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4)
    seen: list[tuple[torch.Tensor, torch.Tensor]] = []
    run.model.register_forward_pre_hook(lambda _, inputs: seen.append((inputs[0].clone(), torch.empty(0))))
    split = noise()
    for step in range(2):
        run.step()
        labels = split.labels[run._order(0)[8 * step : 8 * step + 8]]
        torch.nn.functional.cross_entropy(expected(seen[step][0]), labels).backward()
        optimizer.step()
        optimizer.zero_grad()

    theirs = dict(expected.named_parameters())
    assert all(torch.allclose(value, theirs[name], atol=1e-6) for name, value in run.model.named_parameters())


def test_filters_are_cut_from_the_weights_and_each_stage_is_recorded(tmp_path: Path, checkpoint: Path) -> None:
    """The record has the unpruned network, the cut one, the retrained one and its int8 form, on the same images."""
    recipe = Recipe("resnet20", init=str(checkpoint), filters=RATES, plan="a-plan", **SMALL)

    record = train(recipe, tmp_path, tmp_path / "out", command="edgeai-repro train")

    assert record.hidden_widths == (8, 16, 16, 24, 32, 32, 64, 64, 64)
    cut = {"plan": "a-plan", "ranking": "l1"}
    assert [(e.technique, e.settings) for e in record.evaluations] == [
        ("none", {}),
        ("filter_pruning", {**cut, "retraining": "none"}),
        ("filter_pruning", {**cut, "retraining": "finetuned"}),
        ("filter_pruning_int8", {**cut, "retraining": "finetuned"}),
    ]
    weights = load_file(tmp_path / "out" / "weights.safetensors")
    cifar.build("resnet20", widths=record.hidden_widths, seed=None).load_state_dict(weights)
    assert record.curve[-1].test_top1 == pytest.approx(record.evaluations[2].top1)


def test_from_scratch_the_smaller_network_is_drawn_anew(tmp_path: Path) -> None:
    """The control of Liu et al. 2019: the cut network without the weights."""
    record = train(Recipe("resnet20", filters=RATES, **SMALL), tmp_path, tmp_path / "out", command="")

    assert record.hidden_widths[0] == 8
    assert [(e.technique, e.settings["retraining"]) for e in record.evaluations] == [
        ("filter_pruning", "scratch"),
        ("filter_pruning_int8", "scratch"),
    ]


def test_widths_give_a_network(tmp_path: Path) -> None:
    """A channel list trains as the network of that list."""
    run = Trainer(Recipe("vgg16_cifar", widths="8,8,8,8,8,8,8,8,8,8,8,8,4", **SMALL), tmp_path, tmp_path)
    run.step()

    assert cifar.widths(run.model)[-1] == 4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": "resnet57"}, "did you mean 'resnet56'"),
        ({"optimizer": "sgdd"}, "did you mean 'sgd'"),
        ({"milestones": "0.5,x"}, "'milestones' must be numbers with commas"),
        ({"milestones": "0.5,0.2"}, "'milestones' must be shares in ascending order"),
        ({"widths": "a"}, "'widths' must be numbers with commas"),
        ({"filters": "2"}, "'filters' must be rates by layer"),
        ({"structured": 0.5}, "'structured' must be unset for a CIFAR network"),
        ({"resolution": 64}, "'resolution' must be 32 for a CIFAR network"),
        ({"model": "convnext_atto", "structured": 0.5}, "'optimizer' must be adamw if 'structured' is set"),
        ({"init": "imagenet"}, "'init' must be scratch or a safetensors file for a CIFAR network"),
    ],
)
def test_a_wrong_value_is_one_line(change: dict[str, Any], message: str) -> None:
    """Each rule names the value that broke it."""
    with pytest.raises(UserError, match=message) as caught:
        replace(Recipe("resnet20", **SMALL), **change)

    assert "\n" not in str(caught.value)


def test_a_checkpoint_of_another_network_is_refused(tmp_path: Path, checkpoint: Path) -> None:
    """ResNet-20's weights are no start for ResNet-56."""
    with pytest.raises(UserError, match="'init' must be the weights of an unpruned resnet56"):
        Trainer(Recipe("resnet56", init=str(checkpoint), **SMALL), tmp_path, tmp_path)


def test_a_loss_that_diverges_is_one_line(tmp_path: Path) -> None:
    """A rate that is far too high stops the run."""
    with pytest.raises(UserError, match="must stay finite"):
        Trainer(Recipe("resnet20", **{**SMALL, "lr": 1e30}), tmp_path, tmp_path).run()


def test_rates_survive_as_text() -> None:
    """A recipe holds the rates themselves, not only the plan's name."""
    rates = read_plan("li2017-resnet56-b", FOLDER).layer_rates()

    assert parse_rates(format_rates(rates)) == rates


KILLED = """
    import sys
    from pathlib import Path
    import torch
    from edgeai_repro.training import trainer
    from edgeai_repro.training.recipe import Recipe
    from tests.unit.test_cifar_training import SMALL, noise
    torch.set_num_threads(1)
    trainer.load_split = lambda folder, part, dataset: noise()
    trainer.CHECKPOINT_SECONDS = 0
    out = Path(sys.argv[1])
    run = trainer.Trainer(Recipe("resnet20", **{**SMALL, "epochs": 500}), out, out)
    run.run()
"""


@pytest.mark.slow
def test_a_run_killed_by_sigkill_resumes_bit_for_bit(tmp_path: Path) -> None:
    """The process is killed as `kill -9` does; the weights at a later step are the unbroken run's."""
    recipe = Recipe("resnet20", **{**SMALL, "epochs": 500})
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(KILLED), str(tmp_path / "killed")],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    path = tmp_path / "killed" / "checkpoint.pt"
    deadline = time.monotonic() + 120
    while not path.exists() and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.05)
    time.sleep(0.5)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL

    resumed = Trainer(recipe, tmp_path, tmp_path / "killed")
    killed_at = resumed.done
    resumed.step()
    unbroken = Trainer(recipe, tmp_path, tmp_path / "unbroken")
    while unbroken.done <= killed_at:
        unbroken.step()
        if unbroken.done % unbroken.epoch_steps == 0:
            unbroken._end_epoch()

    assert killed_at > 0
    theirs = unbroken.model.state_dict()
    assert all(torch.equal(value, theirs[name]) for name, value in resumed.model.state_dict().items())
