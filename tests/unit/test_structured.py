"""Structured pruning: HESSO equals the library's own, and removing zero channels changes no output."""

from __future__ import annotations

import contextlib
import copy
import io
from pathlib import Path
from typing import Any

import pytest
import torch
import torch_pruning
import torchvision
from torch import Tensor, nn
from torchvision.models.convnext import ConvNeXt

from edgeai_repro.compress import otov3_compat
from edgeai_repro.compress.hesso import Hesso
from edgeai_repro.compress.structured import (
    PRUNING_STEPS,
    StructuredPruner,
    compressed,
    generated_batch,
    prune,
)
from edgeai_repro.errors import UserError
from edgeai_repro.networks import convnext
from edgeai_repro.networks.variants import CONVNEXT_VARIANTS
from tests.support.helpers import (
    assert_same_outputs,
    assert_same_tensors,
    awaken,
    difference,
    small_convnext,
    snapshot,
    zero_channels,
    zero_one_more,
)

PAPER_MODELS = ["convnext_tiny", "convnext_small", "convnext_base", "convnext_large"]
IMAGES = convnext.random_images(4)
CONTROL = 1e-4  # the least difference of a control, ten times the tolerance of the equality
pytestmark = pytest.mark.usefixtures("one_thread")


def train(optimizer: Any, model: ConvNeXt, first: int, last: int) -> None:
    """Take the steps `first` to `last`; the number of a step is the seed of its batch."""
    for step in range(first, last + 1):
        images, labels = generated_batch(model, 4, 32, seed=step)
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(images), labels).backward()
        optimizer.step()


def zero_rows(model: ConvNeXt) -> list[list[int]]:
    """Return the zero hidden channels of each block."""
    layers = [convnext.mlp(block)[0] for block in convnext.blocks(model)]
    return [((layer.weight == 0).all(1) & (layer.bias == 0)).nonzero().flatten().tolist() for layer in layers]


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


# --- exactness ---


@pytest.mark.parametrize("name", PAPER_MODELS)
def test_compressed_output_is_exact(name: str) -> None:
    """For every size, outputs of the compressed and the sparse model agree to 1e-5; both controls differ."""
    model = awaken(convnext.build(name))
    dense = model(IMAGES).detach()
    zero_channels(model, 0.8)

    small = compressed(model)

    assert convnext.hidden_widths(small) == tuple(w - int(0.8 * w) for w in CONVNEXT_VARIANTS[name].hidden_widths)
    assert_same_outputs(small, model, IMAGES)
    assert float((model(IMAGES) - dense).detach().abs().max()) > CONTROL, "control: sparse against unpruned"
    zero_one_more(model)
    assert difference(small, model, IMAGES) > CONTROL, "control: one more channel is zero"


def test_compressing_does_not_change_the_model() -> None:
    """The compressed model shares no memory with it."""
    model = small_convnext().train()
    zero_channels(model, 0.5)
    before = snapshot(model)

    small = compressed(model)
    for parameter in small.parameters():
        parameter.detach().zero_()

    assert model.training
    assert not small.training
    assert_same_tensors(snapshot(model), before)


@pytest.mark.parametrize("stem_stride", [2, 4])
def test_compressed_weights_load_into_a_model_of_its_widths(stem_stride: int) -> None:
    """`build` with the hidden widths makes a model for the compressed state_dict, with the same outputs."""
    model = awaken(convnext.build("convnext_atto", stem_stride=stem_stride))
    zero_channels(model, 0.7)
    small = compressed(model)

    again = convnext.build(
        "convnext_atto", stem_stride=stem_stride, hidden_widths=convnext.hidden_widths(small), seed=None
    )
    again.load_state_dict(small.state_dict())

    assert_same_outputs(again, small, IMAGES, tolerance=0.0)


def test_compressed_equals_construct_subnet(tmp_path: Path) -> None:
    """The library's own construct_subnet gives the same widths, weights and outputs for the same sparse model."""
    model = small_convnext()
    pruner = StructuredPruner(model)
    train(pruner.optimizer(0.7, start_step=2, pruning_steps=4), model, 1, 6)
    sparse, ours = copy.deepcopy(model), pruner.compressed()

    with contextlib.redirect_stdout(io.StringIO()):
        pruner._oto.construct_subnet(out_dir=str(tmp_path))

    assert_same_tensors(snapshot(ours), snapshot(model))
    assert_same_outputs(ours, sparse, IMAGES)


def test_compressed_equals_torch_pruning() -> None:
    """Torch-Pruning gives the same widths, parameters and outputs if it removes the same channels."""
    model = small_convnext()
    zero_channels(model, 0.6)
    ours, theirs = compressed(model), copy.deepcopy(model)
    graph = torch_pruning.DependencyGraph().build_dependency(theirs, IMAGES[:1], verbose=False)

    for block, rows in zip(convnext.blocks(theirs), zero_rows(model), strict=True):
        graph.get_pruning_group(convnext.mlp(block)[0], torch_pruning.prune_linear_out_channels, idxs=rows).prune()

    assert convnext.hidden_widths(ours) == convnext.hidden_widths(theirs)
    count = torch_pruning.utils.count_ops_and_params
    assert count(ours, IMAGES[:1]) == count(theirs, IMAGES[:1])
    assert_same_outputs(ours, theirs, IMAGES)


# --- pruning without training ---


def test_prune_equals_hesso_for_each_target() -> None:
    """Although the targets share the steps, each result equals that of HESSO pruning at the last step."""
    model = convnext.build("convnext_atto")
    targets = [0.8, 0.5]

    for target, small in prune(model, targets, seed=3):
        live = copy.deepcopy(model)
        pruner = StructuredPruner(live)
        optimizer = pruner.optimizer(
            target, lr=PRUNING_STEPS.lr, weight_decay=PRUNING_STEPS.weight_decay, start_step=PRUNING_STEPS.steps
        )
        for batch_seed in convnext.draw_seeds(3, PRUNING_STEPS.steps):
            images, labels = generated_batch(live, PRUNING_STEPS.batch_size, 32, batch_seed)
            optimizer.zero_grad()
            nn.functional.cross_entropy(live(images), labels).backward()
            optimizer.step()
        assert_same_tensors(snapshot(small), snapshot(pruner.compressed()))


def test_prune_removes_the_target_share_of_channels() -> None:
    """The targets are yielded in their order; each result lacks this share of the hidden channels."""
    model = convnext.build("convnext_atto")
    total = sum(convnext.hidden_widths(model))

    shares = [
        (target, 1 - sum(convnext.hidden_widths(small)) / total) for target, small in prune(model, [0.8, 0.5])
    ]

    assert shares == [(0.8, pytest.approx(0.8, abs=1e-3)), (0.5, pytest.approx(0.5, abs=1e-3))]


def test_prune_does_not_change_the_model() -> None:
    """Its weights, gradients and mode stay the same."""
    model = small_convnext().train()
    before = snapshot(model)

    list(prune(model, [0.5]))

    assert model.training
    assert all(parameter.grad is None for parameter in model.parameters())
    assert_same_tensors(snapshot(model), before)


def test_prune_to_no_target_does_nothing() -> None:
    """Without targets nothing runs and nothing is yielded."""
    assert list(prune(small_convnext(), [])) == []


def test_prune_depends_on_the_seed_only() -> None:
    """The same seed gives the same weights; another seed gives other widths."""
    model = convnext.build("convnext_atto")

    (_, first), (_, again), (_, other) = (next(iter(prune(model, [0.6], seed=seed))) for seed in (0, 0, 1))

    assert_same_tensors(snapshot(first), snapshot(again))
    assert convnext.hidden_widths(first) != convnext.hidden_widths(other)


def test_small_saves_the_bytes_that_the_library_saves() -> None:
    """ConvNeXt-Small at targets of 0.7 and 0.8, compared with 14 steps of the library itself."""
    model = convnext.build("convnext_small")
    dense = sum(parameter.numel() for parameter in model.parameters())

    saved = {
        target: 100 * (1 - sum(parameter.numel() for parameter in small.parameters()) / dense)
        for target, small in prune(model, [0.7, 0.8])
    }

    assert 64.0 <= saved[0.7] <= 65.0
    assert 73.3 <= saved[0.8] <= 74.2


# --- the graph ---


@pytest.mark.parametrize("name", ["convnext_atto", *PAPER_MODELS])
def test_groups_are_the_hidden_channels(name: str) -> None:
    """The prunable groups are all hidden channels of all MLPs, and nothing else."""
    model = convnext.build(name, seed=None)

    assert sum(StructuredPruner(model).group_sizes) == sum(CONVNEXT_VARIANTS[name].hidden_widths)


def test_small_has_54144_groups() -> None:
    """3 × 384 + 3 × 768 + 27 × 1536 + 3 × 3072 = 54,144."""
    assert sum(CONVNEXT_VARIANTS["convnext_small"].hidden_widths) == 54_144


def test_frozen_mlps_are_not_pruned() -> None:
    """Blocks with a frozen MLP keep their channels; the others lose some."""
    model = small_convnext()
    convnext.blocks(model)[0].requires_grad_(False)

    (_, small), *_ = prune(model, [0.5])

    assert convnext.hidden_widths(small)[0] == convnext.hidden_widths(model)[0]
    assert sum(convnext.hidden_widths(small)[1:]) < sum(convnext.hidden_widths(model)[1:])


# --- bad input ---


@pytest.mark.parametrize("target", [0.0, 1.0, -0.5, 1.5, float("nan")])
def test_target_outside_0_to_1_is_refused(target: float) -> None:
    """It is refused before any work, not when the first result is needed."""
    with pytest.raises(UserError, match=r"'target' must be between 0 and 1, ends excluded \(got"):
        prune(small_convnext(), [0.5, target])


@pytest.mark.parametrize("target", [0.001, 0.98, 0.9999])
def test_target_that_empties_a_layer_is_refused(target: float) -> None:
    """With 184 channels in 5 layers, a target must remove at least one and leave at least five."""
    pruner = StructuredPruner(small_convnext())

    with pytest.raises(UserError, match=r"take one of the 184 groups at least and leave one in each of 5 layers"):
        pruner.optimizer(target)


def test_empty_layer_is_refused() -> None:
    """A layer whose channels are all zero would be left without channels."""
    model = small_convnext()
    layer, _ = convnext.mlp(convnext.blocks(model)[2])
    layer.weight.detach().zero_()
    layer.bias.detach().zero_()

    with pytest.raises(
        UserError, match=r"'model' must keep a hidden channel in every layer \(got none in block 2\)"
    ):
        compressed(model)


def test_a_network_that_is_no_convnext_is_refused() -> None:
    """The error names its type."""
    with pytest.raises(UserError, match=r"'model' must be torchvision's ConvNeXt \(got AlexNet\); build it with"):
        StructuredPruner(torchvision.models.alexnet())  # type: ignore[arg-type]


def test_model_without_groups_is_refused() -> None:
    """A frozen model has nothing to prune."""
    with pytest.raises(UserError, match=r"'model' must have hidden channels to prune \(got none that is trained\)"):
        StructuredPruner(small_convnext().requires_grad_(False))


class Erfinv(nn.Module):
    """A layer whose operator is in no opset of ONNX."""

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Return the inverse error function."""
        return torch.erfinv(values)


def test_untraceable_model_is_refused() -> None:
    """The error has the first line of torch's own error."""
    model = small_convnext()
    model.avgpool = nn.Sequential(model.avgpool, Erfinv())

    with pytest.raises(UserError, match=r"only_train_once can trace .* \(got UnsupportedOperatorError: "):
        StructuredPruner(model)


def test_partly_traced_model_is_refused() -> None:
    """If the library finds only some of the MLPs, a target would have another meaning."""
    model = small_convnext()
    nn.utils.parametrizations.weight_norm(convnext.mlp(convnext.blocks(model)[0])[0])

    with pytest.raises(UserError, match=r"every MLP only_train_once can trace \(got channels of 4 layers for 5"):
        StructuredPruner(model)


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
