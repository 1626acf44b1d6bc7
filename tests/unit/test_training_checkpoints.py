"""Training resumes to the same result, and a bad checkpoint is refused in one line."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from edgeai_repro.errors import Interrupted, UserError
from edgeai_repro.interruption import interruptible
from edgeai_repro.networks import convnext
from edgeai_repro.training import checkpoint, trainer
from edgeai_repro.training.recipe import Recipe
from edgeai_repro.training.trainer import Trainer
from tests.support.training_runs import BASE, RECIPES, same, state

pytestmark = pytest.mark.usefixtures("one_thread", "noise")


@pytest.mark.parametrize("name", RECIPES)
def test_a_killed_run_resumes_bit_for_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Weights, learning curve and widths are the unbroken run's; killed in an epoch, at its end, and once more."""
    unbroken = Trainer(RECIPES[name], tmp_path, tmp_path / "unbroken")
    unbroken.run()
    monkeypatch.setattr(trainer, "CHECKPOINT_SECONDS", 0)  # a checkpoint after each step

    for killed_at in (1, 4, 7):
        killed = Trainer(RECIPES[name], tmp_path, tmp_path / "killed")
        monkeypatch.setattr(killed, "step", dying(killed, killed_at))
        with pytest.raises(KeyboardInterrupt):
            killed.run()
        torch.manual_seed(killed_at)  # another process has other global generators
    resumed = Trainer(RECIPES[name], tmp_path, tmp_path / "killed")
    assert resumed.done == 7
    resumed.run()

    assert same(state(resumed), state(unbroken))
    assert resumed.curve == unbroken.curve
    assert convnext.hidden_widths(resumed.result()) == convnext.hidden_widths(unbroken.result())


def test_an_interrupted_run_ends_its_step_and_resumes_bit_for_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C in the middle of a step leaves a checkpoint of its end; the message says where the run continues."""
    unbroken = Trainer(BASE, tmp_path, tmp_path / "unbroken")
    unbroken.run()
    interrupted = Trainer(BASE, tmp_path, tmp_path / "interrupted")
    step = interrupted.step

    def pressed() -> float:
        if interrupted.done == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return step()

    monkeypatch.setattr(interrupted, "step", pressed)
    with interruptible(), pytest.raises(Interrupted, match="the same command continues at step 3 of 8"):
        interrupted.run()
    resumed = Trainer(BASE, tmp_path, tmp_path / "interrupted")
    assert resumed.done == 3
    resumed.run()

    assert same(state(resumed), state(unbroken))


def dying(run: Trainer, killed_at: int) -> Callable[[], float]:
    """The run's step, which kills the run once that many steps are done."""
    step = run.step

    def dies() -> float:
        if run.done == killed_at:
            raise KeyboardInterrupt
        return step()

    return dies


def test_another_seed_is_another_run(tmp_path: Path) -> None:
    """The control of the test above: runs that should differ do."""
    first, second = (Trainer(replace(BASE, seed=seed), tmp_path, tmp_path / str(seed)) for seed in (0, 1))
    first.run()
    second.run()

    assert not same(state(first), state(second))


def test_a_write_that_fails_leaves_the_checkpoint_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is replaced whole or not at all, and no rest is left beside it."""
    run = Trainer(BASE, tmp_path, tmp_path / "run")
    run.step()
    run.save()
    before = run.checkpoint.read_bytes()
    run.step()

    def torn(content: object, file: Any) -> None:
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint.torch, "save", torn)
    with pytest.raises(UserError, match=r"must be writable \(got No space left on device\); free space"):
        run.save()

    assert run.checkpoint.read_bytes() == before
    assert [path.name for path in run.out.iterdir()] == [run.checkpoint.name]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MB, which a checkpoint doesn't fit on."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("mounting a tmpfs needs root")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_is_one_line(small_disk: Path) -> None:
    """A real disk that is full: the line names the file, and the disk is as free as before."""
    run = Trainer(BASE, small_disk, small_disk)
    run.step()

    with pytest.raises(UserError, match=r"checkpoint\.pt: must be writable") as caught:
        run.save()

    assert "\n" not in str(caught.value)
    assert not list(small_disk.iterdir())


def test_a_truncated_checkpoint_is_one_line(tmp_path: Path) -> None:
    """Half a checkpoint is refused, not overwritten."""
    run = Trainer(BASE, tmp_path, tmp_path)
    run.save()
    whole = run.checkpoint.read_bytes()
    run.checkpoint.write_bytes(whole[: len(whole) // 2])

    with pytest.raises(UserError, match=r"checkpoint\.pt' must be a whole checkpoint") as caught:
        Trainer(BASE, tmp_path, tmp_path)

    assert "\n" not in str(caught.value)
    assert len(run.checkpoint.read_bytes()) == len(whole) // 2


@pytest.mark.parametrize(
    ("other", "named"),
    [
        (replace(BASE, lr=2e-3), "lr 0.002 (got 0.001)"),
        (replace(BASE, model="convnext_tiny"), "model 'convnext_tiny' (got 'convnext_atto')"),
        (replace(BASE, structured=0.5), "structured 0.5 (got None)"),
        (replace(BASE, precision="bf16"), "precision 'bf16' (got 'fp32')"),
    ],
)
def test_the_checkpoint_of_another_run_is_refused(tmp_path: Path, other: Recipe, named: str) -> None:
    """A checkpoint is of one recipe; the line says what differs, and the file stays."""
    run = Trainer(BASE, tmp_path, tmp_path)
    run.save()

    with pytest.raises(UserError) as caught:
        checkpoint.load_checkpoint(run.checkpoint, run.identity | other.as_dict())

    assert f"must be a checkpoint of {named}" in str(caught.value)
    assert run.checkpoint.exists()


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path: Path) -> None:
    """The step is named, and the last checkpoint is of finite weights."""
    run = Trainer(replace(BASE, lr=1e30, warmup=0.5), tmp_path, tmp_path)
    run.save()
    good = state(run)

    with pytest.raises(UserError, match=r"must stay finite \(.* at step [1-3]\); the last good checkpoint is"):
        run.run()

    assert same(torch.load(run.checkpoint, weights_only=True)["model"], good)


def test_weights_that_are_not_finite_are_not_saved(tmp_path: Path) -> None:
    """A last update may break weights before a loss shows it: such a checkpoint would be no good one."""
    run = Trainer(BASE, tmp_path, tmp_path)
    next(run.model.parameters()).data.fill_(float("nan"))

    with pytest.raises(UserError, match="the weights must stay finite"):
        run.save()

    assert not run.checkpoint.exists()
