"""Structured pruning without training: what it removes of which groups, and what it refuses."""

from __future__ import annotations

import copy

import pytest
import torch
import torchvision
from torch import Tensor, nn

from edgeai_repro.compress import structured
from edgeai_repro.compress.structured import PRUNING_STEPS, StructuredPruner, generated_batch, prune
from edgeai_repro.errors import UserError
from edgeai_repro.networks import convnext
from edgeai_repro.networks.variants import CONVNEXT_VARIANTS
from tests.support.helpers import assert_same_tensors, small_convnext, snapshot
from tests.support.pruned_convnexts import PAPER_MODELS

pytestmark = pytest.mark.usefixtures("one_thread")


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


def test_unused_memory_is_given_back_before_the_optimizer_takes_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gradients and moments take three times the memory of the network: the peak of a run of the claims."""
    calls: list[str] = []

    def scores(pruner: StructuredPruner, *_: object) -> Tensor:
        calls.append("scored")
        return torch.arange(sum(pruner.group_sizes), dtype=torch.float32)

    monkeypatch.setattr(structured, "_score_groups", scores)
    monkeypatch.setattr(structured, "release_unused", lambda: calls.append("released"))
    next(prune(small_convnext(), [0.5]))

    assert calls == ["released", "scored"]


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
