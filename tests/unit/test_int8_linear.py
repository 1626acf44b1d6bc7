"""Our int8 linear layer gives the paper's claims the numbers of `torch.ao`, and takes over if that is gone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from edgeai_repro.compress import saved_models
from edgeai_repro.compress.int8_linear import Int8Linear
from edgeai_repro.compress.int8_linear import quantize as quantize_by_us
from edgeai_repro.compress.quantization import dequantize, engine, is_quantized, quantize, to_tensors
from edgeai_repro.errors import UserError
from edgeai_repro.measure import counts, size
from edgeai_repro.networks.convnext import build, clone_sharing_tensors, random_images
from tests.support.helpers import assert_same_outputs, awaken
from tests.support.torch_ao import hide_torch_ao

INT8_ERROR = 0.05  # of the largest output; what quantization itself changes (see test_quantization.py)


@pytest.fixture(scope="module")
def model() -> nn.Module:
    """An atto whose every weight affects the output."""
    return awaken(build("convnext_atto"))


@pytest.fixture(scope="module")
def theirs(model: nn.Module) -> nn.Module:
    """The model, quantized by torch."""
    pytest.importorskip("torch.ao.quantization")
    return quantize(model)


@pytest.fixture(scope="module")
def ours(model: nn.Module) -> nn.Module:
    """The model, quantized by us."""
    return quantize_by_us(clone_sharing_tensors(model))


def test_weights_are_those_of_torch(ours: nn.Module, theirs: nn.Module) -> None:
    """Each layer has the same int8 weights, scale and bias."""
    pairs = zip(filter(is_quantized, ours.modules()), filter(is_quantized, theirs.modules()), strict=True)
    for mine, other in pairs:
        expected = to_tensors(other)
        for name, tensor in to_tensors(mine).items():
            assert torch.equal(tensor, expected[name]), name


def test_counters_report_the_same_drop(ours: nn.Module, theirs: nn.Module) -> None:
    """`parameters()` and thop miss our layers exactly as they miss torch's."""
    assert counts.reported(ours) == counts.reported(theirs)
    assert counts.reported(ours).parameters < 0.2 * counts.actual(ours).parameters


def test_actual_counts_are_the_same(ours: nn.Module, theirs: nn.Module) -> None:
    """Parameters, products and bit operations agree; torch stores its one scale per layer in more bytes."""
    mine, other = counts.actual(ours), counts.actual(theirs)

    assert replace(mine, stored_bytes=0) == replace(other, stored_bytes=0)
    assert mine.stored_bytes == pytest.approx(other.stored_bytes, rel=0.001)


def test_file_has_the_same_size(ours: nn.Module, theirs: nn.Module) -> None:
    """The bytes agree but for the names of the tensors, which take 200 bytes per layer."""
    layers = sum(map(is_quantized, ours.modules()))

    assert abs(size.state_dict_bytes(ours) - size.state_dict_bytes(theirs)) < 500 * layers


def test_outputs_agree_within_the_error_of_int8(model: nn.Module, ours: nn.Module, theirs: nn.Module) -> None:
    """Both implementations are as near to each other as to fp32."""
    images = random_images(2)
    with torch.inference_mode():
        largest = float(model(images).abs().max())
    assert_same_outputs(ours, model, images, INT8_ERROR * largest)
    assert_same_outputs(ours, theirs, images, INT8_ERROR * largest)


def test_layer_computes_what_its_integers_say() -> None:
    """Inputs on the int8 grid are multiplied exactly: scales and integers give the same output in float64."""
    weight = torch.tensor([[127, -3, 5], [1, 0, -128]], dtype=torch.int8)
    layer = Int8Linear(weight, torch.tensor(0.5), torch.tensor([1.0, -1.0]))
    features = torch.tensor([[[127.0, 4.0, -9.0]]])

    expected = (features.double() @ weight.double().T) * 0.5 + torch.tensor([1.0, -1.0])
    assert torch.equal(layer(features).double(), expected)


def test_a_layer_used_twice_stays_one_layer() -> None:
    """Its weights are stored once."""
    layer = nn.Linear(3, 3)
    quantized = quantize_by_us(nn.Sequential(layer, nn.ReLU(), layer))

    assert isinstance(quantized[0], Int8Linear)
    assert quantized[0] is quantized[2]


class TestWithoutTorchAo:
    """`torch.ao` is hidden, as if torch had removed it."""

    @pytest.fixture(autouse=True)
    def hidden(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Hide torch.ao."""
        hide_torch_ao(monkeypatch)

    def test_our_layer_takes_over(self, model: nn.Module, ours: nn.Module) -> None:
        """`quantize` makes our layers; the model itself does not change."""
        quantized = quantize(model)

        assert [type(layer) for layer in filter(is_quantized, quantized.modules())].count(Int8Linear) == sum(
            type(layer) is nn.Linear for layer in model.modules()
        )
        assert_same_outputs(quantized, ours, random_images(1), 0.0)
        assert engine() == "Int8Linear"

    def test_saved_model_is_restored(self, model: nn.Module, tmp_path: Path) -> None:
        """The folder of a saved model holds our layers, too, and dequantizing them gives the same values."""
        quantized = quantize(model)
        folder = saved_models.save(quantized, "convnext_atto", "dynamic_quantization", root=tmp_path)
        restored = saved_models.load(folder)

        assert_same_outputs(restored, quantized, random_images(1), 0.0)
        assert_same_outputs(dequantize(restored), dequantize(quantized), random_images(1), 0.0)

    def test_an_engine_is_refused(self) -> None:
        """There is none to pack weights for."""
        with pytest.raises(UserError, match=r"^'engine' must be left out \(got 'fbgemm'\)"):
            quantize(nn.Sequential(nn.Linear(2, 2)), engine="fbgemm")
