"""Structured pruning of random small ConvNeXts: removing zero channels changes no output, for any shape."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torchvision.models.convnext import ConvNeXt

from edgeai_repro.compress import otov3_compat
from edgeai_repro.compress.hesso import select_redundant_groups
from edgeai_repro.compress.structured import StructuredPruner, compressed, generated_batch
from edgeai_repro.networks import convnext
from tests.support.helpers import assert_same_outputs, difference, small_convnext, zero_one_more

pytestmark = pytest.mark.usefixtures("one_thread")

IMAGES = convnext.random_images(2)
CONTROL = 1e-4  # the least difference of a control, ten times the tolerance of the equality

# With fewer than six channels, LayerNorm removes so much of its input that the controls hardly differ.
convnexts = st.builds(
    small_convnext,
    widths=st.lists(st.integers(6, 16), min_size=4, max_size=4),
    depths=st.lists(st.integers(1, 2), min_size=4, max_size=4),
    seed=st.integers(0, 1000),
)


def pruned(model: ConvNeXt, target: float) -> tuple[ConvNeXt, StructuredPruner]:
    """Prune `model` in place with HESSO, at a learning rate of 0. Return a copy from before, and the pruner."""
    dense, pruner = copy.deepcopy(model), StructuredPruner(model)
    optimizer = pruner.optimizer(target, lr=0.0, start_step=2)
    for step in (1, 2):
        images, labels = generated_batch(model, 2, 32, seed=step)
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(images), labels).backward()
        optimizer.step()
    return dense, pruner


@settings(max_examples=15, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(model=convnexts, target=st.floats(0.3, 0.85))
def test_compressed_output_is_exact(model: ConvNeXt, target: float) -> None:
    """Outputs agree to 1e-5, the share of removed channels is the target, and both controls differ."""
    dense, pruner = pruned(model, target)

    small = pruner.compressed()

    groups, left = sum(pruner.group_sizes), sum(convnext.hidden_widths(small))
    assert groups - int(target * groups) <= left < groups
    assert_same_outputs(small, model, IMAGES)
    assert difference(dense, model, IMAGES) > CONTROL, "control: sparse against unpruned"
    zero_one_more(model)
    assert difference(small, model, IMAGES) > CONTROL, "control: one more channel is zero"


@settings(max_examples=10, deadline=None)
@given(model=convnexts)
def test_compressing_twice_changes_nothing(model: ConvNeXt) -> None:
    """A model without zero channels has nothing to remove."""
    again = compressed(model)

    assert convnext.hidden_widths(again) == convnext.hidden_widths(model)
    assert_same_outputs(again, model, IMAGES, tolerance=0.0)


@st.composite
def selections(draw: st.DrawFn) -> tuple[Tensor, int, list[int]]:
    """Draw the scores of a few layers, all different, and the number of groups to select."""
    sizes = draw(st.lists(st.integers(1, 8), min_size=1, max_size=5))
    scores = torch.tensor(draw(st.permutations(range(sum(sizes)))), dtype=torch.float32)
    return scores, draw(st.integers(0, len(scores))), sizes


@given(selections())
def test_the_least_salient_groups_are_selected_but_a_layer_keeps_its_last(
    selection: tuple[Tensor, int, list[int]],
) -> None:
    """The `count` lowest scores are selected and pruned, except for the last channel of a layer."""
    saliency, count, sizes = selection
    none = torch.zeros(len(saliency), dtype=torch.bool)

    new, shrinking = select_redundant_groups(saliency, count, sizes, selected=none, pruned=none)

    assert new.equal(saliency < count)
    for selected, pruned in zip(torch.split(new, sizes), torch.split(shrinking, sizes), strict=True):
        assert int(pruned.sum()) == min(int(selected.sum()), len(selected) - 1)
        assert not (pruned & ~selected).any()


@st.composite
def later_periods(draw: st.DrawFn) -> tuple[Tensor, int, list[int], Tensor, Tensor]:
    """Draw a later period: scores, number, sizes, the groups selected before, and the pruned ones among them."""
    saliency, _, sizes = draw(selections())
    selected = torch.tensor(draw(st.lists(st.booleans(), min_size=len(saliency), max_size=len(saliency))))
    pruned = selected.clone()
    for layer in torch.split(pruned, sizes):
        layer[-1] = False  # selected, but kept as the last channel of the layer
    count = draw(st.integers(0, int((~selected).sum())))
    return saliency, count, sizes, selected, pruned


def library_selection(
    saliency: Tensor, count: int, sizes: list[int], selected: Tensor, pruned: Tensor
) -> tuple[set[int], list[list[int]], int]:
    """Return the groups that the library's own method selects and prunes, and by how much it lowers its target."""
    hesso: Any = otov3_compat.HESSO.__new__(otov3_compat.HESSO)
    starts = [sum(sizes[:layer]) for layer in range(len(sizes))]
    hesso.param_groups = [
        {
            "id": layer,
            "num_groups": size,
            "is_prunable": True,
            "is_auxiliary": False,
            "global_start_idx": start,
            "global_idxes": list(range(start, start + size)),
        }
        for layer, (start, size) in enumerate(zip(starts, sizes, strict=True))
    ]
    hesso.global_scores, hesso.group_divisible = [saliency], 1
    hesso.active_num_redundant_groups, hesso.curr_pruning_period = [count], 0
    hesso.pruned_group_idxes = selected.nonzero().flatten().tolist()
    hesso.target_num_redundant_groups = 0
    masks = dict(enumerate(torch.split(pruned, sizes)))
    hesso.pruned_idxes = {layer: mask.nonzero().flatten().tolist() for layer, mask in masks.items()}
    hesso.important_idxes = {layer: (~mask).nonzero().flatten().tolist() for layer, mask in masks.items()}
    hesso.active_redundant_idxes = {}
    hesso.identify_redundant_groups()
    new = set(hesso.pruned_group_idxes) - set(selected.nonzero().flatten().tolist())
    pruned_next = [sorted(hesso.active_redundant_idxes[layer]) for layer in range(len(sizes))]
    return new, pruned_next, -hesso.target_num_redundant_groups


@given(later_periods())
def test_selection_equals_that_of_the_library(selection: tuple[Tensor, int, list[int], Tensor, Tensor]) -> None:
    """In any period and with any history, the library's own method gives the same groups and the same shortfall."""
    saliency, count, sizes, selected, pruned = selection

    new, shrinking = select_redundant_groups(saliency, count, sizes, selected, pruned)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Tensor, "cuda", lambda tensor: tensor)
        expected, pruned_next, shortfall = library_selection(saliency, count, sizes, selected, pruned)
    assert set(new.nonzero().flatten().tolist()) == expected
    assert [layer.nonzero().flatten().tolist() for layer in torch.split(shrinking, sizes)] == pruned_next
    assert int(new.sum()) - int(shrinking.sum()) == shortfall
