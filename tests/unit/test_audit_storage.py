"""The audit's answer to: is it quantized? And what it warns of in how weights are stored."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torchvision.models import resnet18

from edgeai_repro.audit.audit import audit
from edgeai_repro.audit.facts import describe_weights
from edgeai_repro.audit.schema import Audit, Row, Weights
from edgeai_repro.audit.table import render
from edgeai_repro.audit.warnings import find_warnings
from edgeai_repro.compress import int8_linear
from edgeai_repro.compress.quantization import quantize
from edgeai_repro.networks.convnext import clone_sharing_tensors
from tests.support.audits import UNCOMPRESSED_ONLY

pytestmark = pytest.mark.usefixtures("undeflated")


@torch.no_grad()
def fake_quantize(model: nn.Module) -> nn.Module:
    """Round the weights of all convolutions and linear layers to 255 values per filter, in place."""
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            scale = layer.weight.flatten(1).abs().amax(1) / 127
            scale = scale.view(-1, *[1] * (layer.weight.ndim - 1))
            layer.weight.copy_((layer.weight / scale).round() * scale)
    return model


def sentences(result: Audit, question: str) -> str:
    """Return the answer to a question as one text."""
    return "\n".join(text for answer in result.answers if question in answer.question for text in answer.sentences)


@pytest.fixture(scope="module")
def plain() -> nn.Module:
    """ResNet-18 with torchvision's random weights."""
    torch.manual_seed(0)
    return resnet18().eval()


def test_fake_quantized_network_is_warned_of(plain: nn.Module) -> None:
    """fp32 weights with 255 values per filter are called what they are, with what is still to be had."""
    model = fake_quantize(copy.deepcopy(plain))
    result = audit(model, resolution=32, settings=UNCOMPRESSED_ONLY, latency=False)

    (warning,) = [text for text in result.warnings if "fake-quantized" in text]
    assert "take at most 256 values per channel, but each is stored in 32 bits; 4 × is still to be had" in warning
    assert sentences(result, "quantized") == "no: all weights are stored in 32 bits"
    assert warning in render(result, colour=False, width=300)


def test_plain_network_raises_no_alarm(plain: nn.Module) -> None:
    """Neither its large nor its small layers are taken for fake-quantized ones."""
    result = audit(plain, resolution=32, settings=UNCOMPRESSED_ONLY, latency=False)

    assert not [text for text in result.warnings if "quantized" in text]
    assert result.weights is not None
    assert result.weights.by_bits == {32: 11_678_912}, "every weight, but no bias and no normalisation"


def test_network_prepared_for_quantization_is_warned_of() -> None:
    """Operators that imitate int8 compute in fp32."""

    class Prepared(nn.Conv2d):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return super().forward(torch.fake_quantize_per_tensor_affine(image, 0.1, 0, -128, 127))

    result = audit(Prepared(3, 4, 3), resolution=8, settings=UNCOMPRESSED_ONLY, latency=False)

    assert any("1 operators round to the values of int8 and compute in fp32" in text for text in result.warnings)


@pytest.mark.parametrize(
    ("convert", "by_bits"),
    [
        (lambda model: model, {32: 160}),
        (quantize, {8: 160}),
        (lambda model: int8_linear.quantize(clone_sharing_tensors(model)), {8: 160}),
        (lambda model: copy.deepcopy(model).bfloat16(), {16: 160}),
    ],
)
def test_bits_are_those_that_are_stored(convert: object, by_bits: dict[int, int]) -> None:
    """Packed weights, buffers of int8 and 16-bit floats are told apart from fp32."""
    assert callable(convert)
    assert describe_weights(convert(nn.Sequential(nn.Linear(16, 10)).eval())).by_bits == by_bits


def test_torchao_weights_are_stored_in_8_bits() -> None:
    """Its tensors claim to be fp32."""
    pytest.importorskip("torchao")
    from edgeai_repro.compress.torchao_int8 import quantize as quantize_by_torchao

    assert describe_weights(quantize_by_torchao(nn.Sequential(nn.Linear(16, 10)))).by_bits == {8: 160}


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        (
            Weights(by_bits={16: 90, 32: 10}),
            "90 % of the weights are stored in 16 bits: int8 saves 2 ×",
        ),
        (Weights(by_bits={32: 100}, half_values=100), "are stored in fp32, but have 16-bit values"),
        (Weights(by_bits={32: 100}, quantized_later=50), "QDQ: 50 % of the weights are stored in fp32"),
        (Weights(by_bits={32: 100}, judged=80, on_few_levels=40, level_bits=4), "8 × is still to be had"),
        (Weights(by_bits={32: 100}, judged=80, on_few_levels=4, level_bits=8), None),
        (Weights(by_bits={32: 100}), None),
        (Weights(by_bits={}), None),
    ],
)
def test_storage_that_misleads_is_warned_of(weights: Weights, expected: str | None) -> None:
    """A base of 16 bits, fp32 weights that are quantized later, and few levels; nothing else."""
    warnings = find_warnings([Row(technique="none")], {}, weights)

    assert warnings == [] if expected is None else expected in "\n".join(warnings)
