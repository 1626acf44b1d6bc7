"""Removing the zero channels of a ConvNeXt changes no output."""

from __future__ import annotations

import contextlib
import copy
import io
from pathlib import Path

import pytest
import torch_pruning

from edgeai_repro.compress.structured import StructuredPruner, compressed
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
from tests.support.pruned_convnexts import IMAGES, PAPER_MODELS, train, zero_rows

pytestmark = pytest.mark.usefixtures("one_thread")
CONTROL = 1e-4  # the least difference of a control, ten times the tolerance of the equality


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
