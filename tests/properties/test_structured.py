"""Structured pruning of random small ConvNeXts: whatever the shape, what is zero comes out without a trace."""

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
CONTROL = 1e-4  # what a control must differ by, ten times the tolerance of the equality

# Below six channels LayerNorm leaves so little of its input that the controls can't show.
convnexts = st.builds(
    small_convnext,
    widths=st.lists(st.integers(6, 16), min_size=4, max_size=4),
    depths=st.lists(st.integers(1, 2), min_size=4, max_size=4),
    seed=st.integers(0, 1000),
)


def pruned(model: ConvNeXt, target: float) -> tuple[ConvNeXt, StructuredPruner]:
    """Prune `model` in place by HESSO, at a learning rate of 0: nothing else changes. Return it as it was, too."""
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
    """Compressed and group-sparse outputs agree to 1e-5, the share of channels is the target, and both controls
    differ.
    """
    dense, pruner = pruned(model, target)

    small = pruner.compressed()

    left = sum(convnext.hidden_widths(small))
    assert pruner.groups - int(target * pruner.groups) <= left < pruner.groups
    assert_same_outputs(small, model, IMAGES)
    assert difference(dense, model, IMAGES) > CONTROL, "control: sparse against unpruned"
    zero_one_more(model)
    assert difference(small, model, IMAGES) > CONTROL, "control: one more channel is zero"


@settings(max_examples=10, deadline=None)
@given(model=convnexts)
def test_compressing_twice_changes_nothing(model: ConvNeXt) -> None:
    """A model without zero channels is compressed to an equal one."""
    again = compressed(model)

    assert convnext.hidden_widths(again) == convnext.hidden_widths(model)
    assert_same_outputs(again, model, IMAGES, tolerance=0.0)


@st.composite
def choices(draw: st.DrawFn) -> tuple[Tensor, int, list[int]]:
    """Scores, all different, of a few layers, and how many of them to choose."""
    sizes = draw(st.lists(st.integers(1, 8), min_size=1, max_size=5))
    scores = torch.tensor(draw(st.permutations(range(sum(sizes)))), dtype=torch.float32)
    return scores, draw(st.integers(0, len(scores))), sizes


@given(choices())
def test_choice_is_the_least_salient_but_the_last_of_a_layer(choice: tuple[Tensor, int, list[int]]) -> None:
    """The chosen are the `count` lowest scores; each layer keeps a channel, and loses no other chosen one."""
    saliency, count, sizes = choice
    none = torch.zeros(len(saliency), dtype=torch.bool)

    chosen, active = select_redundant_groups(saliency, count, sizes, listed=none, pruned=none)

    assert chosen.equal(saliency < count)
    for marked, cut in zip(torch.split(chosen, sizes), torch.split(active, sizes), strict=True):
        assert int(cut.sum()) == min(int(marked.sum()), len(marked) - 1)
        assert not (cut & ~marked).any()


@st.composite
def later_choices(draw: st.DrawFn) -> tuple[Tensor, int, list[int], Tensor, Tensor]:
    """A choice of a later period: scores, how many, sizes, the groups listed before and those pruned of them."""
    saliency, _, sizes = draw(choices())
    listed = torch.tensor(draw(st.lists(st.booleans(), min_size=len(saliency), max_size=len(saliency))))
    pruned = listed.clone()
    for layer in torch.split(pruned, sizes):
        layer[-1] = False  # as HESSO leaves it: listed, but kept as the layer's last channel
    count = draw(st.integers(0, int((~listed).sum())))
    return saliency, count, sizes, listed, pruned


def librarys_choice(
    saliency: Tensor, count: int, sizes: list[int], listed: Tensor, pruned: Tensor
) -> tuple[set[int], list[list[int]], int]:
    """Return what the library's own method lists and cuts, and how far it lowers its target."""
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
    hesso.pruned_group_idxes = listed.nonzero().flatten().tolist()
    hesso.target_num_redundant_groups = 0
    masks = dict(enumerate(torch.split(pruned, sizes)))
    hesso.pruned_idxes = {layer: mask.nonzero().flatten().tolist() for layer, mask in masks.items()}
    hesso.important_idxes = {layer: (~mask).nonzero().flatten().tolist() for layer, mask in masks.items()}
    hesso.active_redundant_idxes = {}
    hesso.identify_redundant_groups()
    new = set(hesso.pruned_group_idxes) - set(listed.nonzero().flatten().tolist())
    cut = [sorted(hesso.active_redundant_idxes[layer]) for layer in range(len(sizes))]
    return new, cut, -hesso.target_num_redundant_groups


@given(later_choices())
def test_choice_is_the_librarys(choice: tuple[Tensor, int, list[int], Tensor, Tensor]) -> None:
    """In any period, with any history, the choice is that of the library's own method, and so is the shortfall."""
    saliency, count, sizes, listed, pruned = choice

    chosen, active = select_redundant_groups(saliency, count, sizes, listed, pruned)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Tensor, "cuda", lambda tensor: tensor)
        new, cut, shortfall = librarys_choice(saliency, count, sizes, listed, pruned)
    assert set(chosen.nonzero().flatten().tolist()) == new
    assert [layer.nonzero().flatten().tolist() for layer in torch.split(active, sizes)] == cut
    assert int(chosen.sum()) - int(active.sum()) == shortfall
