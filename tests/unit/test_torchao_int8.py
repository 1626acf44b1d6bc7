"""torchao's int8 as a control: the same int8 as torch's, and the reported parameters do not drop."""

from __future__ import annotations

import sys

import pytest
import torch
from torch import nn

from edgeai_repro.claims.registry import TECHNIQUES
from edgeai_repro.compress.quantization import quantize
from edgeai_repro.compress.torchao_int8 import quantize as quantize_by_torchao
from edgeai_repro.errors import MissingRequirement
from edgeai_repro.measure import counts, size
from edgeai_repro.measure.compressed_models import CompressedModels
from edgeai_repro.networks.convnext import build, random_images
from tests.support.factories import case, claim
from tests.support.helpers import assert_same_outputs, awaken, snapshot


@pytest.fixture(scope="module")
def model() -> nn.Module:
    """An atto whose every weight affects the output."""
    return awaken(build("convnext_atto"))


@pytest.fixture(scope="module")
def quantized(model: nn.Module) -> nn.Module:
    """The model, quantized by torchao."""
    pytest.importorskip("torchao")
    return quantize_by_torchao(model)


def test_reported_parameters_do_not_drop(model: nn.Module, quantized: nn.Module) -> None:
    """`parameters()` and thop report what they reported of the fp32 model."""
    assert counts.reported(quantized) == counts.reported(model)


def test_actual_counts_are_those_of_torchs_int8(model: nn.Module, quantized: nn.Module) -> None:
    """As many parameters and products, and the same bit operations, in as many bytes to half a percent."""
    mine, other = counts.actual(quantized), counts.actual(quantize(model))

    assert (mine.parameters, mine.macs, mine.bit_operations) == (other.parameters, other.macs, other.bit_operations)
    assert size.state_dict_bytes(quantized) == pytest.approx(size.state_dict_bytes(quantize(model)), rel=0.02)
    assert size.deflated_bytes(quantized) < size.state_dict_bytes(quantized)


def test_model_does_not_change_and_outputs_stay_near(model: nn.Module, quantized: nn.Module) -> None:
    """The outputs differ by the error of int8, and the fp32 model keeps its layers and values."""
    images = random_images(2)
    with torch.inference_mode():
        largest = float(model(images).abs().max())

    assert_same_outputs(quantized, model, images, 0.05 * largest)
    with pytest.raises(AssertionError, match="largest difference"):
        assert_same_outputs(quantized, model, images, 1e-4 * largest)
    before = snapshot(model)
    quantize_by_torchao(model)
    assert all(type(tensor) is torch.Tensor for tensor in model.state_dict().values())
    assert all(torch.equal(tensor, model.state_dict()[name]) for name, tensor in before.items())


def test_claims_wait_if_torchao_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A claim on it is not testable, with the remedy; other claims on the same network are measured."""
    monkeypatch.setitem(sys.modules, "torchao", None)
    monkeypatch.setitem(sys.modules, "torchao.quantization", None)
    conditions = {"resolution": [32], "classes": [10]}
    waiting, other = (
        case(claim(metric="size_reduction", technique=technique, models=["convnext_atto"], conditions=conditions))
        for technique in ("torchao_int8_dynamic", "dynamic_quantization")
    )
    source = CompressedModels([waiting, other])

    assert source.measure(other).rows
    obstacle = source.measure(waiting).obstacle
    assert obstacle is not None
    assert "pip install 'edgeai-repro[torchao]'" in obstacle.remedy
    assert not TECHNIQUES["torchao_int8_dynamic"].installed
    with pytest.raises(MissingRequirement, match="torchao isn't installed"):
        quantize_by_torchao(nn.Sequential(nn.Linear(2, 2)))
