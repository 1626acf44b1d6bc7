"""ConvNeXt as modules: built, pruned, cloned, and compared with torchvision and timm."""

from __future__ import annotations

import pytest
import torch
import torchvision
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from edgeai_repro.compress.quantization import quantize
from edgeai_repro.networks import convnext
from edgeai_repro.networks.variants import CONVNEXT_VARIANTS, layers
from tests.support.helpers import awaken, build_timm

PAPER_MODELS = ["convnext_tiny", "convnext_small", "convnext_base", "convnext_large"]


def shapes(model: nn.Module) -> dict[str, torch.Size]:
    """Return the shape of every tensor of the state_dict."""
    return {name: tensor.shape for name, tensor in model.state_dict().items()}


@pytest.mark.parametrize("name", PAPER_MODELS)
def test_state_dict_has_the_names_and_shapes_of_torchvision(name: str) -> None:
    """For 10 classes."""
    with torch.device("meta"):
        theirs = getattr(torchvision.models, name)(num_classes=10)

    assert shapes(theirs) == shapes(convnext.build(name, seed=None))


@pytest.mark.parametrize("name", CONVNEXT_VARIANTS)
def test_parameters_equal_the_closed_form(name: str) -> None:
    """The modules and the closed form have the same number of parameters."""
    expected = sum(layer.parameters for layer in layers(CONVNEXT_VARIANTS[name]))

    assert expected == sum(parameter.numel() for parameter in convnext.build(name, seed=None).parameters())


def test_initial_values_are_those_of_torchvision() -> None:
    """Weights are normal with a standard deviation of 0.02, biases 0, norms 1, layer scale 1e-6."""
    state = convnext.build("convnext_atto").state_dict()

    weights = torch.cat([tensor.flatten() for tensor in state.values() if tensor.ndim in (2, 4)])
    assert float(weights.std()) == pytest.approx(0.02, rel=0.01)
    assert float(weights.mean()) == pytest.approx(0.0, abs=1e-4)
    assert not any(tensor.any() for name, tensor in state.items() if name.endswith("bias"))
    assert all(
        (tensor == 1).all() for name, tensor in state.items() if tensor.ndim == 1 and name.endswith("weight")
    )
    assert all((tensor == 1e-6).all() for name, tensor in state.items() if name.endswith("layer_scale"))


def test_weights_depend_on_the_seed_only() -> None:
    """The same seed gives the same weights for any number of threads; another seed gives others."""
    first = convnext.build("convnext_atto", seed=3).features[0][0].weight
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        again = convnext.build("convnext_atto", seed=3).features[0][0].weight
    finally:
        torch.set_num_threads(threads)

    assert torch.equal(first, again)
    assert not torch.equal(first, convnext.build("convnext_atto", seed=4).features[0][0].weight)


def test_layers_of_one_shape_have_different_weights() -> None:
    """The first two blocks of a stage."""
    blocks = convnext.blocks(convnext.build("convnext_atto"))

    assert not torch.equal(convnext.mlp(blocks[0])[0].weight, convnext.mlp(blocks[1])[0].weight)


@pytest.mark.parametrize("stem_stride", [1, 2, 4])
def test_stem_stride_is_the_stride_and_kernel_of_the_stem(stem_stride: int) -> None:
    """With each stem the model returns (N, classes), and it is in eval mode."""
    model = convnext.build("convnext_atto", num_classes=7, stem_stride=stem_stride)

    assert model(convnext.random_images(2)).shape == (2, 7)
    assert model.features[0][0].stride == model.features[0][0].kernel_size == (stem_stride, stem_stride)
    assert (convnext.stem_stride(model), convnext.num_classes(model)) == (stem_stride, 7)
    assert not model.training


def test_hidden_widths_are_those_of_the_built_model() -> None:
    """They can be read from the model, quantized or not, and it runs."""
    widths = tuple(range(3, 15))
    model = convnext.build("convnext_atto", hidden_widths=widths)

    assert model(convnext.random_images(1)).shape == (1, 10)
    assert widths == convnext.hidden_widths(model) == convnext.hidden_widths(quantize(model))


def test_hidden_widths_of_the_wrong_count_are_refused() -> None:
    """Raises ValueError unless there is one width per block."""
    with pytest.raises(ValueError, match="zip"):
        convnext.build("convnext_atto", hidden_widths=(8, 8))


def test_clone_has_the_same_tensors_in_new_modules() -> None:
    """Every parameter has the same address, and every module is another one."""
    model = convnext.build("convnext_atto")
    clone = convnext.clone_sharing_tensors(model)

    addresses = [parameter.data_ptr() for parameter in model.parameters()]
    assert addresses == [parameter.data_ptr() for parameter in clone.parameters()]
    assert not {id(module) for module in model.modules()} & {id(module) for module in clone.modules()}


def test_clone_shares_packed_weights() -> None:
    """The clone of a quantized layer has the same packed weights."""
    model = quantize(convnext.build("convnext_atto"))
    clone = convnext.clone_sharing_tensors(model)

    ours, theirs = (convnext.mlp(convnext.blocks(each)[0])[0] for each in (model, clone))
    assert ours is not theirs
    assert ours._packed_params._packed_params is theirs._packed_params._packed_params


def test_changes_of_the_clone_do_not_change_the_model() -> None:
    """A new buffer, another layer, another dtype."""
    model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))
    before = shapes(model)

    clone = convnext.clone_sharing_tensors(model).half()
    clone[0] = nn.Linear(4, 2)
    clone.register_buffer("total_ops", torch.zeros(1))

    assert before == shapes(model)
    assert {torch.float32, torch.int64} == {tensor.dtype for tensor in model.state_dict().values()}


def test_shared_layers_are_shared_in_the_clone() -> None:
    """One module under two names stays one, and so does one parameter of two modules."""
    layer, other = nn.Linear(4, 4), nn.Linear(4, 4)
    other.weight = layer.weight
    clone = convnext.clone_sharing_tensors(nn.Sequential(layer, layer, other))

    assert clone[0] is clone[1]
    assert clone[0].weight is clone[2].weight


@pytest.mark.parametrize("name", PAPER_MODELS)
def test_parameters_and_macs_equal_those_of_timm(name: str) -> None:
    """By torch's own counter, at 32 × 32 pixels."""
    figures = []
    for build in (convnext.build, build_timm):
        model = build(name, seed=None).to("meta")
        with FlopCounterMode(display=False) as counter:
            model(torch.empty(1, 3, 32, 32, device="meta"))
        figures.append((sum(parameter.numel() for parameter in model.parameters()), counter.get_total_flops()))

    ours, theirs = figures
    assert ours == theirs


def test_outputs_equal_those_of_timm_with_the_same_weights() -> None:
    """The weights are copied in order; the control is timm's model before the copy."""
    ours = awaken(convnext.build("convnext_atto"))
    theirs = awaken(build_timm("convnext_atto", seed=1))
    images = convnext.random_images(2)
    with torch.inference_mode():
        expected, before = ours(images), theirs(images)

    for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        other.detach().copy_(mine.detach().reshape(other.shape))

    assert (before - expected).abs().max() > 0.1
    with torch.inference_mode():
        torch.testing.assert_close(theirs(images), expected, rtol=1e-4, atol=1e-5)


def test_random_images_depend_on_the_seed() -> None:
    """They have the shape (N, 3, R, R)."""
    images = convnext.random_images(2, 48, seed=5)

    assert images.shape == (2, 3, 48, 48)
    assert torch.equal(images, convnext.random_images(2, 48, seed=5))
    assert not torch.equal(images, convnext.random_images(2, 48, seed=6))
