"""Training resumes to the same result, and stops in one line where it can't go on."""

from __future__ import annotations

import builtins
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from edgeai_repro.data.cifar import Split
from edgeai_repro.errors import Interrupted, UserError
from edgeai_repro.evidence.training_record import Evaluation, load_record
from edgeai_repro.files import sha256
from edgeai_repro.interruption import interruptible
from edgeai_repro.measure.accuracy import evaluate
from edgeai_repro.networks import convnext, variants
from edgeai_repro.training import checkpoint, recipe, trainer
from edgeai_repro.training.initial_weights import read_weights
from edgeai_repro.training.recipe import Recipe, learning_rate
from edgeai_repro.training.train import train
from edgeai_repro.training.trainer import Trainer

pytestmark = pytest.mark.usefixtures("one_thread")

BASE = Recipe("convnext_atto", epochs=2, batch_size=8, structured=None, precision="fp32", lr=1e-3)
RECIPES = {
    "dense": BASE,
    "bf16": replace(BASE, precision="bf16"),
    "pruned": replace(BASE, structured=0.5, prune_from=0.25, prune_until=0.75, prune_periods=2),
}


@pytest.fixture(autouse=True)
def noise(monkeypatch: pytest.MonkeyPatch) -> None:
    """36 images of noise stand in for CIFAR-10: 4 steps of 8 an epoch, and a rest. Blocks are dropped at random."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (36, 3, 32, 32), dtype=torch.uint8, generator=generator)
    split = Split(images, torch.randint(10, (36,), generator=generator), 10, "noise")
    monkeypatch.setattr(trainer, "load_split", lambda folder, part, dataset: split)
    dropped = replace(variants.CONVNEXT_VARIANTS["convnext_atto"], drop_path_rate=0.5)
    monkeypatch.setitem(variants.CONVNEXT_VARIANTS, "convnext_atto", dropped)


def state(run: Trainer) -> dict[str, torch.Tensor]:
    """A copy of the weights."""
    return {name: value.clone() for name, value in run.model.state_dict().items()}


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    """Whether two state_dicts are equal bit for bit."""
    return first.keys() == second.keys() and all(torch.equal(value, second[name]) for name, value in first.items())


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


def test_a_run_leaves_weights_and_a_record(tmp_path: Path) -> None:
    """What was recorded can be had again from the weights: image by image."""
    record = train(RECIPES["pruned"], tmp_path, tmp_path / "out", command="edgeai-repro train")

    assert load_record(tmp_path / "out" / "result.json") == record
    model = convnext.build("convnext_atto", hidden_widths=record.hidden_widths, seed=0)
    model.load_state_dict(load_file(tmp_path / "out" / "weights.safetensors"))
    expected = record.evaluation("structured_pruning", target=0.5).bits()
    split = trainer.load_split(tmp_path, "test", None)  # type: ignore[arg-type]
    assert (evaluate(model, split).correct == expected).all()
    assert [found.technique for found in record.evaluations] == ["structured_pruning", "combined"]
    assert sum(record.hidden_widths) == sum(variants.CONVNEXT_VARIANTS["convnext_atto"].hidden_widths) // 2
    assert record.curve[-1].test_top1 == pytest.approx(100 * expected.mean())


def test_zeros_stay_zero_while_fine_tuning(tmp_path: Path) -> None:
    """With `unstructured` the smallest weights are zero from the start, and still after the last step."""
    train(BASE, tmp_path, tmp_path / "dense", command="", sparsities=[0.9])
    tuned = replace(BASE, unstructured=0.75, init=str(tmp_path / "dense" / "weights.safetensors"))

    train(tuned, tmp_path, tmp_path / "tuned", command="")

    before, after = (load_file(tmp_path / out / "weights.safetensors") for out in ("dense", "tuned"))
    weights = [name for name, value in after.items() if value.ndim > 1 and "layer_scale" not in name]
    zeros, count = (sum(int(of(after[name])) for name in weights) for of in (lambda w: (w == 0).sum(), torch.numel))
    assert zeros / count == pytest.approx(0.75, abs=1e-4)
    assert not same(before, after)
    with_sweep = load_record(tmp_path / "dense" / "result.json")
    assert with_sweep.evaluation("unstructured_pruning", sparsity=0.9).n == 36


def test_weights_of_other_classes_start_without_their_head(tmp_path: Path) -> None:
    """A model that was trained on 100 classes gives all but its classifier."""
    pretrained = convnext.build("convnext_atto", num_classes=100, seed=5)
    save_file(pretrained.state_dict(), tmp_path / "pool.safetensors")

    run = Trainer(replace(BASE, init=str(tmp_path / "pool.safetensors")), tmp_path, tmp_path)

    got, theirs = run.model.state_dict(), pretrained.state_dict()
    assert all(torch.equal(got[name], theirs[name]) for name in got if not name.startswith("classifier.2"))
    assert got["classifier.2.weight"].shape == (10, 320)


def test_weights_are_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is hashed is what is loaded: the file is opened once."""
    save_file({"a": torch.ones(2)}, path := tmp_path / "pool.safetensors")
    expected = sha256(path)
    opened: list[Path] = []
    plain = open

    def noting(file: Path, *given: Any, **named: Any) -> Any:
        opened.append(file)
        return plain(file, *given, **named)

    monkeypatch.setattr(builtins, "open", noting)

    state, digest = read_weights(path)

    monkeypatch.undo()

    assert opened == [path]
    assert digest == expected
    assert torch.equal(state["a"], torch.ones(2))


def test_weights_of_another_model_are_refused(tmp_path: Path) -> None:
    """A pruned model's weights are no start for an unpruned one."""
    pruned = convnext.build("convnext_atto", hidden_widths=[8] * 12)
    save_file(pruned.state_dict(), tmp_path / "pruned.safetensors")

    with pytest.raises(UserError, match="'init' must be the weights of an unpruned convnext_atto"):
        Trainer(replace(BASE, init=str(tmp_path / "pruned.safetensors")), tmp_path, tmp_path)


def test_weights_that_belie_their_record_are_refused(tmp_path: Path) -> None:
    """The hash in `result.json` holds the weights beside it."""
    train(BASE, tmp_path, tmp_path, command="")
    weights = tmp_path / "weights.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)

    with pytest.raises(UserError, match="must have the sha256"):
        Trainer(replace(BASE, init=str(weights)), tmp_path, tmp_path / "next")


def test_a_record_with_a_changed_bitmap_is_refused(tmp_path: Path) -> None:
    """A count that isn't the bitmap's is noticed, in one line."""
    train(BASE, tmp_path, tmp_path, command="")
    path = tmp_path / "result.json"
    evaluation = load_record(path).evaluation("none")
    path.write_text(path.read_text().replace(f'"successes": {evaluation.successes}', '"successes": 36', 1))

    with pytest.raises(UserError, match=r"evaluations\[0\]: 'successes' must be the bitmap's ones"):
        load_record(path)


def test_a_bitmap_gives_each_image_back() -> None:
    """Packed and unpacked, in order; n need be no multiple of 8."""
    correct = torch.rand(37, generator=torch.Generator().manual_seed(0)).numpy() > 0.5

    assert (Evaluation.of("none", correct).bits() == correct).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": "convnext_smal"}, "did you mean 'convnext_small'"),
        ({"epochs": 0}, r"'epochs' must be at least 1 \(got 0\)"),
        ({"structured": 1.2}, r"'structured' must be a share in \(0, 1\) \(got 1.2\)"),
        ({"unstructured": 0.5}, "'init' must be trained weights if 'unstructured' is set"),
        ({"resolution": 33}, "'resolution' must be a multiple of 32"),
        ({"lr": float("nan")}, "'lr' must be a positive number"),
        ({"init": "nowhere.safetensors"}, "'init' must be scratch, imagenet or a safetensors file"),
        ({"init": "imagenet", "stem_stride": 2}, "'stem_stride' must be 4 with the weights of ImageNet"),
        ({"dataset": "cifar100_pol"}, "did you mean 'cifar100_pool'"),
    ],
)
def test_a_wrong_value_is_one_line(change: dict[str, Any], message: str) -> None:
    """Each rule of a recipe names the value that broke it and what to do."""
    with pytest.raises(UserError, match=message) as caught:
        replace(BASE, **change)

    assert "\n" not in str(caught.value)


def test_a_schedule_with_more_periods_than_steps_is_refused() -> None:
    """Each portion of the pruning needs a step."""
    with pytest.raises(UserError, match="'prune_periods' must be at most the 4 steps"):
        recipe.pruning_schedule(replace(BASE, structured=0.5), 10)


def test_the_rate_warms_up_and_falls_to_almost_nothing() -> None:
    """Linear to `lr` over the warm-up, then half a cosine."""
    rates = [learning_rate(replace(BASE, warmup=0.1), step, 100) for step in range(100)]

    assert rates[:10] == pytest.approx([1e-4 * step for step in range(1, 11)])
    assert rates[55] == pytest.approx(0.5e-3)
    assert rates[9:] == sorted(rates[9:], reverse=True)
    assert 0 < rates[-1] < 1e-6
