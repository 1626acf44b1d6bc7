"""What a training run leaves, what it starts from, and which recipes are refused."""

from __future__ import annotations

import builtins
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from edgeai_repro.checksums import sha256
from edgeai_repro.errors import UserError
from edgeai_repro.evidence.training_record import Evaluation, load_record
from edgeai_repro.measure.accuracy import evaluate
from edgeai_repro.networks import convnext, variants
from edgeai_repro.training import recipe, trainer
from edgeai_repro.training.initial_weights import read_weights
from edgeai_repro.training.recipe import learning_rate
from edgeai_repro.training.train import train
from edgeai_repro.training.trainer import Trainer
from tests.support.training_runs import BASE, RECIPES, same

pytestmark = pytest.mark.usefixtures("one_thread", "noise")


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
