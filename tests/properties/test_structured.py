"""Structured pruning of random small ConvNeXts: whatever the shape, what is zero comes out without a trace."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torchvision.models.convnext import ConvNeXt

from edgeai_repro import models
from edgeai_repro.compress.hesso import choose
from edgeai_repro.compress.structured import StructuredPruner, compressed, generated_batch
from tests.helpers import assert_same_outputs, difference, small_convnext, zero_one_more

IMAGES = models.random_images(2)
CONTROL = 1e-4  # what a control must differ by, ten times the tolerance of the equality

# Below six channels LayerNorm leaves so little of its input that the controls can't show.
convnexts = st.builds(
    small_convnext,
    widths=st.lists(st.integers(6, 16), min_size=4, max_size=4),
    depths=st.lists(st.integers(1, 2), min_size=4, max_size=4),
    seed=st.integers(0, 1000),
)


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Run on one thread: so small layers gain nothing from more, and wait for them on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def pruned(model: ConvNeXt, target: float) -> tuple[ConvNeXt, StructuredPruner]:
    """Prune `model` in place in two steps of HESSO; return a copy of it from before the second."""
    pruner = StructuredPruner(model)
    optimizer = pruner.optimizer(target, start_step=2)
    for step in (1, 2):
        images, labels = generated_batch(model, 2, 32, seed=step)
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(images), labels).backward()
        before = copy.deepcopy(model)
        optimizer.step()
    return before, pruner


@settings(max_examples=15, deadline=None)
@given(model=convnexts, target=st.floats(0.3, 0.85))
def test_compressed_output_is_exact(model: ConvNeXt, target: float) -> None:
    """Compressed and group-sparse outputs agree to 1e-5, the share of channels is the target, and both controls
    differ.
    """
    dense, pruner = pruned(model, target)

    small = pruner.compressed()

    left = sum(models.hidden_widths(small))
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

    assert models.hidden_widths(again) == models.hidden_widths(model)
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

    chosen, active = choose(saliency, count, sizes, listed=none, pruned=none)

    assert chosen.equal(saliency < count)
    for marked, cut in zip(torch.split(chosen, sizes), torch.split(active, sizes), strict=True):
        assert int(cut.sum()) == min(int(marked.sum()), len(marked) - 1)
        assert not (cut & ~marked).any()
