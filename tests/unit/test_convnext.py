"""ConvNeXt as modules: torchvision's, timm's, narrowed, and shared."""

from __future__ import annotations

import pytest
import torch
import torchvision
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from edgeai_repro.compress.quantization import quantize
from edgeai_repro.networks import convnext
from edgeai_repro.networks.variants import CONVNEXT_VARIANTS, layers

PAPER_MODELS = ["convnext_tiny", "convnext_small", "convnext_base", "convnext_large"]


def wake(model: nn.Module) -> nn.Module:
    """Give every weight a say in the output: torchvision's layer scale of 1e-6 and zero biases hide mistakes."""
    generator = torch.Generator().manual_seed(1)
    for name, parameter in model.named_parameters():
        if name.endswith(("layer_scale", "gamma")):
            parameter.detach().fill_(0.5)
        elif name.endswith("bias"):
            parameter.detach().normal_(0.0, 0.1, generator=generator)
    return model


def shapes(model: nn.Module) -> dict[str, torch.Size]:
    """The shape of every tensor of the state_dict."""
    return {name: tensor.shape for name, tensor in model.state_dict().items()}


@pytest.mark.parametrize("name", PAPER_MODELS)
def test_build_is_torchvisions_model(name: str) -> None:
    """The state_dict has torchvision's names and shapes, for 10 classes."""
    with torch.device("meta"):
        theirs = getattr(torchvision.models, name)(num_classes=10)

    assert shapes(theirs) == shapes(convnext.build(name, seed=None))


@pytest.mark.parametrize("name", CONVNEXT_VARIANTS)
def test_build_holds_the_closed_forms_parameters(name: str) -> None:
    """The modules hold as many parameters as the architecture does on paper."""
    expected = sum(layer.parameters for layer in layers(CONVNEXT_VARIANTS[name]))

    assert expected == sum(parameter.numel() for parameter in convnext.build(name, seed=None).parameters())


def test_build_starts_as_torchvision_does() -> None:
    """Weights are normal with a spread of 0.02, biases 0, norms 1, layer scale 1e-6."""
    state = convnext.build("convnext_atto").state_dict()

    weights = torch.cat([tensor.flatten() for tensor in state.values() if tensor.ndim in (2, 4)])
    assert float(weights.std()) == pytest.approx(0.02, rel=0.01)
    assert float(weights.mean()) == pytest.approx(0.0, abs=1e-4)
    assert not any(tensor.any() for name, tensor in state.items() if name.endswith("bias"))
    assert all(
        (tensor == 1).all() for name, tensor in state.items() if tensor.ndim == 1 and name.endswith("weight")
    )
    assert all((tensor == 1e-6).all() for name, tensor in state.items() if name.endswith("layer_scale"))


def test_build_repeats_itself_under_a_seed() -> None:
    """The same seed gives the same weights, on one thread and on two; another seed gives others."""
    first = convnext.build("convnext_atto", seed=3).features[0][0].weight
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        again = convnext.build("convnext_atto", seed=3).features[0][0].weight
    finally:
        torch.set_num_threads(threads)

    assert torch.equal(first, again)
    assert not torch.equal(first, convnext.build("convnext_atto", seed=4).features[0][0].weight)


def test_build_draws_every_layer_anew() -> None:
    """No two layers of the same shape start with the same weights."""
    blocks = convnext.blocks(convnext.build("convnext_atto"))

    assert not torch.equal(blocks[0].block[3].weight, blocks[1].block[3].weight)


@pytest.mark.parametrize("stem_stride", [1, 2, 4])
def test_build_takes_the_stems_stride(stem_stride: int) -> None:
    """Under each stem the model answers (N, classes) in eval mode, and the stem's kernel is its stride."""
    model = convnext.build("convnext_atto", num_classes=7, stem_stride=stem_stride)

    assert model(convnext.random_images(2)).shape == (2, 7)
    assert model.features[0][0].stride == model.features[0][0].kernel_size == (stem_stride, stem_stride)
    assert not model.training


def test_hidden_widths_are_built_and_read_back() -> None:
    """A model of given MLP widths has them, runs, and tells them, quantized too."""
    widths = tuple(range(3, 15))
    model = convnext.build("convnext_atto", hidden_widths=widths)

    assert model(convnext.random_images(1)).shape == (1, 10)
    assert widths == convnext.hidden_widths(model) == convnext.hidden_widths(quantize(model))


def test_hidden_widths_of_the_wrong_count_are_refused() -> None:
    """Raises ValueError unless there is one width a block."""
    with pytest.raises(ValueError, match="zip"):
        convnext.build("convnext_atto", hidden_widths=(8, 8))


def test_share_holds_the_same_tensors_in_other_modules() -> None:
    """Every parameter of the copy is at the original's address, in a module of its own."""
    model = convnext.build("convnext_atto")
    twin = convnext.clone_sharing_tensors(model)

    addresses = [parameter.data_ptr() for parameter in model.parameters()]
    assert addresses == [parameter.data_ptr() for parameter in twin.parameters()]
    assert not {id(module) for module in model.modules()} & {id(module) for module in twin.modules()}


def test_share_does_not_pack_again() -> None:
    """A quantized layer's copy holds the very packed weights."""
    model = quantize(convnext.build("convnext_atto"))
    twin = convnext.clone_sharing_tensors(model)

    ours, theirs = convnext.blocks(model)[0].block[3], convnext.blocks(twin)[0].block[3]
    assert ours is not theirs
    assert ours._packed_params._packed_params is theirs._packed_params._packed_params


def test_share_leaves_no_trace_of_what_is_done_to_the_copy() -> None:
    """New buffers, another layer, another dtype: the original keeps its own."""
    model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))
    before = shapes(model)

    twin = convnext.clone_sharing_tensors(model).half()
    twin[0] = nn.Linear(4, 2)
    twin.register_buffer("total_ops", torch.zeros(1))

    assert before == shapes(model)
    assert {torch.float32, torch.int64} == {tensor.dtype for tensor in model.state_dict().values()}


def test_share_keeps_a_shared_layer_shared() -> None:
    """Two names of one module, and two modules with one parameter, are so in the copy."""
    layer, other = nn.Linear(4, 4), nn.Linear(4, 4)
    other.weight = layer.weight
    twin = convnext.clone_sharing_tensors(nn.Sequential(layer, layer, other))

    assert twin[0] is twin[1]
    assert twin[0].weight is twin[2].weight


@pytest.mark.parametrize("name", PAPER_MODELS)
def test_timm_agrees_in_parameters_and_macs(name: str) -> None:
    """timm's implementation has the same number of parameters and of MACs at 32 × 32, by torch's own counter."""
    figures = []
    for build in (convnext.build, convnext.build_timm):
        model = build(name, seed=None).to("meta")
        with FlopCounterMode(display=False) as counter:
            model(torch.empty(1, 3, 32, 32, device="meta"))
        figures.append((sum(parameter.numel() for parameter in model.parameters()), counter.get_total_flops()))

    ours, theirs = figures
    assert ours == theirs


def test_timm_answers_alike_with_the_same_weights() -> None:
    """timm's model, filled with torchvision's weights in order, has its outputs, and before hasn't."""
    ours = wake(convnext.build("convnext_atto"))
    theirs = wake(convnext.build_timm("convnext_atto", seed=1))
    images = convnext.random_images(2)
    with torch.inference_mode():
        expected, before = ours(images), theirs(images)

    for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        other.detach().copy_(mine.detach().reshape(other.shape))

    assert (before - expected).abs().max() > 0.1
    with torch.inference_mode():
        torch.testing.assert_close(theirs(images), expected, rtol=1e-4, atol=1e-5)


def test_random_images_are_of_the_seed() -> None:
    """Images are float32 (N, 3, R, R), the same under the same seed and others under another."""
    images = convnext.random_images(2, 48, seed=5)

    assert images.shape == (2, 3, 48, 48)
    assert torch.equal(images, convnext.random_images(2, 48, seed=5))
    assert not torch.equal(images, convnext.random_images(2, 48, seed=6))
