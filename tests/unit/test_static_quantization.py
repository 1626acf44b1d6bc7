"""Static quantization makes int8 networks of known bytes, whose outputs follow those in fp32."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.ao.nn.quantized import Conv2d
from torchvision.models import get_model

from edgeai_repro.compress.static_quantization import float_layers, quantize, random_batches
from edgeai_repro.compress.techniques import apply, notes_on
from edgeai_repro.errors import UserError
from edgeai_repro.measure.size import state_dict_bytes, stored_tensors
from edgeai_repro.networks import cifar
from edgeai_repro.networks.convnext import random_images
from edgeai_repro.networks.initial import draw_norms
from tests.support.helpers import assert_same_tensors, snapshot

SETTINGS = {"random_images": 2, "pixels": 32}


@pytest.fixture(scope="module")
def resnet() -> nn.Module:
    """ResNet-18 for 10 classes, whose BatchNorm layers are not the identity."""
    return _torchvision("resnet18")


def _torchvision(name: str, seed: int = 0, **options: object) -> nn.Module:
    torch.manual_seed(seed)
    model = get_model(name, weights=None, num_classes=10, **options)
    draw_norms(model)
    return model.eval()


def _similarity(first: nn.Module, second: nn.Module, pixels: int = 32) -> float:
    """Return the cosine of the outputs for an image that was not used for calibration."""
    with torch.inference_mode():
        outputs = [model(random_images(1, pixels, seed=99)) for model in (first, second)]
    return float(nn.functional.cosine_similarity(*outputs))


def test_twin_of_torchvision_is_quantized_in_all_layers(resnet: nn.Module) -> None:
    """The outputs point where those in fp32 do; the given network does not change."""
    before = snapshot(resnet)
    quantized = quantize(resnet, random_batches(2, 32))

    assert type(quantized).__name__ == "QuantizableResNet"
    assert float_layers(quantized) == (0, 21)
    assert _similarity(resnet, quantized) > 0.95
    assert _similarity(_torchvision("resnet18", seed=1), quantized) < 0.5
    assert_same_tensors(resnet.state_dict(), before)


def test_weights_have_one_scale_per_output_channel(resnet: nn.Module) -> None:
    """They are int8, and as far from the fused fp32 weight as half of that scale."""
    layer = quantize(resnet, random_batches(1, 32)).conv1
    assert isinstance(layer, Conv2d)
    weight = layer.weight()
    norm = resnet.bn1
    factor = norm.weight / (norm.running_var + norm.eps).sqrt()
    scales = weight.q_per_channel_scales()[:, None, None, None]

    assert weight.dtype == torch.qint8
    assert len(weight.q_per_channel_scales()) == 64
    error = (weight.dequantize() - resnet.conv1.weight * factor[:, None, None, None]).abs()
    assert bool((error <= 0.5001 * scales).all())


def test_bytes_are_one_for_each_weight_and_four_for_each_bias() -> None:
    """BatchNorm is folded into the weights and leaves a bias for each channel; the rest is scales."""
    network = cifar.build("resnet20")
    quantized = quantize(network, random_batches(1, 32))

    weights = sum(parameter.numel() for parameter in network.parameters() if parameter.ndim > 1)
    tensors = list(stored_tensors(quantized))
    assert sum(tensor.numel() for tensor in tensors if tensor.dtype == torch.qint8) == weights
    assert weights < state_dict_bytes(quantized) < 0.3 * state_dict_bytes(network)


def test_layers_that_do_not_run_stay_in_fp32() -> None:
    """GoogLeNet's two auxiliary classifiers only run in training; they have six layers with weights."""
    network = _torchvision("googlenet", init_weights=False)
    quantized = quantize(network, random_batches(1, 64))

    assert float_layers(quantized) == (6, 64)
    assert notes_on(quantized, "static_quantization") == {"layers_in_fp32": "6 of 64"}


def test_other_networks_are_quantized_in_graph_mode() -> None:
    """torchvision has no quantizable ResNet for CIFAR."""
    network = cifar.build("resnet20")
    draw_norms(network)
    quantized = apply(network, "static_quantization", SETTINGS)

    assert type(quantized).__name__ == "GraphModule"
    assert float_layers(quantized) == (0, 20)
    assert _similarity(network, quantized) > 0.95


class Branching(nn.Module):
    """A network that torch.fx can't trace: it looks at values."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 4, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Return the images if they are dark, else features."""
        return images if images.sum() < 0 else self.layer(images)


def test_network_that_cannot_be_traced_is_refused_in_one_line() -> None:
    """The error names the network and what tracing says."""
    with pytest.raises(
        UserError, match=r"^'static_quantization' must .*torch.fx can trace .*Branching: "
    ) as raised:
        apply(Branching(), "static_quantization", SETTINGS)

    assert "\n" not in str(raised.value)


def test_ranges_come_from_the_random_images() -> None:
    """Other images give other scales of activations, the same images the same."""
    network = cifar.build("resnet20")
    scales = [quantize(network, random_batches(images, 32)).conv1.scale for images in (1, 4, 4)]

    assert scales[0] != scales[1] == scales[2]
