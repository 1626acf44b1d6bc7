"""HESSO zeroes the same channels as the library's own, and continues from a checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torchvision.models.convnext import ConvNeXt

from edgeai_repro.compress import otov3_compat
from edgeai_repro.compress.hesso import Hesso
from edgeai_repro.compress.structured import StructuredPruner
from edgeai_repro.errors import UserError
from edgeai_repro.networks import convnext
from tests.support.helpers import assert_same_tensors, small_convnext, snapshot, zero_channels
from tests.support.pruned_convnexts import IMAGES, train, zero_rows

pytestmark = pytest.mark.usefixtures("one_thread")


# --- the library's own HESSO as the reference ---


@pytest.fixture
def cuda_returns_the_tensor(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the library's calls of `.cuda()` return the tensor itself."""
    monkeypatch.setattr(Tensor, "cuda", lambda tensor: tensor)


def library_hesso(model: ConvNeXt, *, duplicates: bool = False, **settings: Any) -> Any:
    """Return the library's own HESSO over the hidden channels; with `duplicates`, as it registers LayerNorms:
    twice."""
    oto = otov3_compat.trace_graph(model, IMAGES[:1])
    oto.mark_unprunable_by_param_names([name for name, _ in model.named_parameters() if "layer_scale" in name])
    groups = list(oto._graph.get_param_groups())
    for group in groups if not duplicates else []:
        first = [
            index for index, p in enumerate(group["params"]) if all(p is not q for q in group["params"][:index])
        ]
        for key in ("params", "p_names", "p_transform", "op_names"):
            group[key] = [group[key][index] for index in first]
    with otov3_compat.patched_torch():
        return otov3_compat.HESSO(params=groups, variant="adamw", **settings)


# target, start step, pruning steps, periods, and the share of channels that are zero before training
SCHEDULES = {
    "one step, the first": (0.6, 0, 1, 1, 0.0),
    "one step after warm-up": (0.6, 3, 1, 1, 0.0),
    "one period of steps": (0.8, 2, 5, 1, 0.0),
    "three periods": (0.7, 2, 9, 3, 0.0),
    "uneven periods": (0.5, 1, 7, 2, 0.0),
    "three periods of one step": (0.8, 2, 3, 3, 0.0),
    "down to single channels": (0.97, 2, 6, 2, 0.0),
    "dead channels": (0.5, 0, 3, 3, 0.85),
}


@pytest.mark.filterwarnings("ignore:optimizer contains a parameter group with duplicate parameters")
@pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES.keys())
@pytest.mark.usefixtures("cuda_returns_the_tensor")
def test_hesso_equals_that_of_the_library(schedule: tuple[float, int, int, int, float]) -> None:
    """After every step, during the schedule and after it, the same channels are zero and the weights agree."""
    target, start, steps, periods, dead = schedule
    theirs, ours = small_convnext(widths=(8, 12, 16, 20)), small_convnext(widths=(8, 12, 16, 20))
    zero_channels(theirs, dead)
    zero_channels(ours, dead)
    reference = library_hesso(
        theirs,
        lr=1e-3,
        weight_decay=0.01,
        target_group_sparsity=target,
        start_pruning_step=start,
        pruning_steps=steps,
        pruning_periods=periods,
    )
    optimizer = StructuredPruner(ours).optimizer(
        target, lr=1e-3, weight_decay=0.01, start_step=start, pruning_steps=steps, pruning_periods=periods
    )

    for step in range(1, start + steps + 4):
        train(reference, theirs, step, step)
        train(optimizer, ours, step, step)
        assert zero_rows(ours) == zero_rows(theirs), f"zero channels after step {step}"
        assert_same_tensors(snapshot(ours), snapshot(theirs), tolerance=2e-5)
    assert any(zero_rows(ours)), "the schedule prunes something"


@pytest.mark.filterwarnings("ignore:optimizer contains a parameter group with duplicate parameters")
def test_each_parameter_is_updated_once_per_step() -> None:
    """A step changes a block's LayerNorm by one update of AdamW; the library's own changes it by two."""
    start, theirs, ours = small_convnext(), small_convnext(), small_convnext()
    settings = {"lr": 1e-3, "weight_decay": 0.0}
    train(library_hesso(theirs, duplicates=True, **settings, start_pruning_step=99, pruning_steps=1), theirs, 1, 1)
    train(StructuredPruner(ours).optimizer(0.5, **settings, start_step=99), ours, 1, 1)

    def change(model: ConvNeXt) -> Tensor:
        return convnext.blocks(model)[0].block[2].bias.detach() - convnext.blocks(start)[0].block[2].bias.detach()

    torch.testing.assert_close(change(theirs), 2 * change(ours), rtol=1e-3, atol=1e-7)


def test_scores_are_computed_once_per_period(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 20 steps with three periods, only three measure the groups."""
    model, calls = small_convnext(), []
    optimizer = StructuredPruner(model).optimizer(0.5, start_step=2, pruning_steps=9, pruning_periods=3)
    measure = otov3_compat.HESSO.compute_group_sparsity_param_norm
    monkeypatch.setattr(
        otov3_compat.HESSO, "compute_group_sparsity_param_norm", lambda planner: calls.append(1) or measure(planner)
    )

    train(optimizer, model, 1, 20)

    assert len(calls) == 3


def test_group_sparsity_reaches_the_target() -> None:
    """The share of zero channels is 0 before the schedule, and the target to within a channel after it."""
    model = small_convnext()
    pruner = StructuredPruner(model)
    optimizer = pruner.optimizer(0.6, start_step=1, pruning_steps=4, pruning_periods=2)

    train(optimizer, model, 1, 1)
    assert sum(map(len, zero_rows(model))) == 0
    train(optimizer, model, 2, 6)
    assert sum(map(len, zero_rows(model))) == int(0.6 * sum(pruner.group_sizes))


def test_step_without_gradients_is_refused() -> None:
    """If a period starts without gradients, the error names the missing call of backward()."""
    optimizer = StructuredPruner(small_convnext()).optimizer(0.5)

    with pytest.raises(RuntimeError, match=r"call backward\(\) before step\(\)"):
        optimizer.step()


def test_closure_is_called_with_gradients() -> None:
    """The step returns the loss of the closure."""
    model = small_convnext()
    optimizer = StructuredPruner(model).optimizer(0.5)

    def closure() -> Tensor:
        loss = model(IMAGES).square().mean()
        loss.backward()
        return loss

    assert optimizer.step(closure).item() > 0.0


# --- resuming ---


def resumable(seed: int = 0, target: float = 0.6) -> tuple[ConvNeXt, Hesso]:
    """Return a network and its HESSO, which prunes in two periods at steps 2 to 8."""
    model = small_convnext(seed=seed)
    return model, StructuredPruner(model).optimizer(target, start_step=2, pruning_steps=6, pruning_periods=2)


@pytest.mark.parametrize("interrupted_after", [1, 3, 4, 6, 8, 9])
def test_resumed_run_equals_an_uninterrupted_one(interrupted_after: int, tmp_path: Path) -> None:
    """A run can be saved after any step. It is loaded with weights_only; the weights agree bit for bit."""
    uninterrupted, optimizer = resumable()
    train(optimizer, uninterrupted, 1, 10)
    first, optimizer = resumable()
    train(optimizer, first, 1, interrupted_after)
    torch.save({"model": first.state_dict(), "optimizer": optimizer.state_dict()}, tmp_path / "checkpoint.pt")

    saved = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    second, optimizer = resumable(seed=1)
    second.load_state_dict(saved["model"])
    optimizer.load_state_dict(saved["optimizer"])
    train(optimizer, second, interrupted_after + 1, 10)

    assert_same_tensors(snapshot(second), snapshot(uninterrupted))


def test_checkpoint_of_another_plan_is_refused() -> None:
    """A state_dict of another target is refused, and none of it is loaded."""
    model, optimizer = resumable(target=0.5)
    train(optimizer, model, 1, 4)
    _, other = resumable(target=0.6)

    with pytest.raises(UserError, match=r"'state_dict' must be of the same model and pruning plan \(got 92 of 184"):
        other.load_state_dict(optimizer.state_dict())
    assert not other.state


def test_checkpoint_without_a_plan_is_refused() -> None:
    """The state_dict of a plain AdamW is refused, because it lacks the pruned groups."""
    model, optimizer = resumable()
    plain = torch.optim.AdamW(model.parameters())

    with pytest.raises(UserError, match=r"got no pruning plan, not 110 of 184 groups over 6 steps from 2"):
        optimizer.load_state_dict(plain.state_dict())


@pytest.mark.parametrize(
    ("settings", "rule"),
    [
        ({"pruning_steps": 2, "pruning_periods": 3}, "'pruning_periods' must be 1 to 'pruning_steps', here 2"),
        ({"pruning_steps": 0}, "'pruning_periods' must be 1 to 'pruning_steps', here 0"),
        ({"start_step": -1}, "'start_step' must be 0 or more"),
    ],
)
def test_impossible_schedule_is_refused(settings: dict[str, int], rule: str) -> None:
    """The error states the rule for more periods than steps, for no step and for a negative start."""
    with pytest.raises(UserError, match=rule):
        StructuredPruner(small_convnext()).optimizer(0.5, **settings)
