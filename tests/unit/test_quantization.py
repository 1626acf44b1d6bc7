"""Dynamic quantization: that of torch, bit for bit, on a copy of the model."""

from __future__ import annotations

import re
import warnings
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn
from torch.ao.nn.quantized.dynamic import Linear as DynamicLinear
from torch.ao.quantization import quantize_dynamic

from edgeai_repro.compress import torch_ao
from edgeai_repro.compress.quantization import dequantize, engine, from_tensors, quantize, to_tensors
from edgeai_repro.compress.unstructured import prune
from edgeai_repro.errors import UserError
from edgeai_repro.networks.convnext import build, random_images
from tests.support.helpers import awaken

ENGINES = [name for name in torch.backends.quantized.supported_engines if name != "none"]
IMAGES = random_images(2)


def visible() -> nn.Module:
    """Return an atto whose every weight affects the output."""
    return awaken(build("convnext_atto"))


def quantized_layers(model: nn.Module) -> list[DynamicLinear]:
    """Return the int8 layers, in the order of the modules."""
    return [module for module in model.modules() if isinstance(module, DynamicLinear)]


@torch.inference_mode()
def outputs(model: nn.Module) -> Tensor:
    """Return the logits of two random images."""
    return model(IMAGES)


def test_quantize_equals_quantize_dynamic_of_torch() -> None:
    """Weights, scales, biases and outputs are the same bit for bit."""
    model = visible()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = quantize_dynamic(model, {nn.Linear}, dtype=torch.qint8)
    ours = quantize(model)

    for mine, other in zip(quantized_layers(ours), quantized_layers(theirs), strict=True):
        assert (mine.in_features, mine.out_features) == (other.in_features, other.out_features)
        for name, tensor in to_tensors(other).items():
            assert torch.equal(to_tensors(mine)[name], tensor), name
    assert torch.equal(outputs(ours), outputs(theirs))


def test_int8_outputs_are_near_those_of_fp32() -> None:
    """They differ by less than 5 %, but they do differ: the model does compute in int8."""
    model = visible()
    expected = outputs(model)
    error = (outputs(quantize(model)) - expected).abs().max() / expected.abs().max()

    assert 1e-4 < error < 0.05


def test_every_linear_is_quantized_and_nothing_else() -> None:
    """No nn.Linear is left; convolutions, norms and layer scale do not change."""
    model = visible()
    result = quantize(model)

    assert not any(isinstance(module, nn.Linear) for module in result.modules())
    linear = sum(isinstance(module, nn.Linear) for module in model.modules())
    assert linear == len(quantized_layers(result))
    before = dict(model.named_parameters())
    assert all(torch.equal(parameter, before[name]) for name, parameter in result.named_parameters())


def test_quantize_does_not_change_the_given_model() -> None:
    """It keeps its layers, its weights and its outputs."""
    model = visible()
    before, expected = {name: tensor.clone() for name, tensor in model.state_dict().items()}, outputs(model)

    quantize(model)

    assert before.keys() == model.state_dict().keys()
    assert all(torch.equal(tensor, model.state_dict()[name]) for name, tensor in before.items())
    assert not any(hasattr(module, "qconfig") for module in model.modules())
    assert torch.equal(expected, outputs(model))


def test_fp32_tensors_are_shared_with_the_given_model() -> None:
    """Tensors that stay in fp32 are not copied."""
    model = visible()
    before = dict(model.named_parameters())

    assert all(
        parameter.data_ptr() == before[name].data_ptr() for name, parameter in quantize(model).named_parameters()
    )


def test_pruned_weights_stay_zero() -> None:
    """A weight that is 0 in fp32 is 0 in int8."""
    model = prune(visible(), 0.5)
    linears = [module for module in model.modules() if isinstance(module, nn.Linear)]

    for before, after in zip(linears, quantized_layers(quantize(model)), strict=True):
        assert not to_tensors(after)["weight"][before.weight == 0].any()


@pytest.mark.parametrize("name", ENGINES)
def test_each_engine_of_this_machine_computes_the_model(name: str) -> None:
    """The outputs are near those of fp32, and torch's own setting is restored."""
    model, before = visible(), torch.backends.quantized.engine
    expected = outputs(model)
    result = outputs(quantize(model, engine=name))

    assert before == torch.backends.quantized.engine
    assert (result - expected).abs().max() < 0.05 * expected.abs().max()


def test_dequantized_weights_have_the_values_of_int8() -> None:
    """Each layer is fp32 again; the outputs differ only by the rounding of activations."""
    int8 = quantize(visible())
    fp32 = dequantize(int8)

    layers = [module for module in fp32.modules() if type(module) is nn.Linear]
    for before, after in zip(quantized_layers(int8), layers, strict=True):
        stored = to_tensors(before)
        assert torch.equal(after.weight, stored["weight"] * stored["scale"].float())
        assert torch.equal(after.bias, stored["bias"])
    assert not quantized_layers(fp32)
    assert len(quantized_layers(int8)) == len(layers), "the quantized model must not change"
    assert 0 < (outputs(fp32) - outputs(int8)).abs().max() < 0.05 * outputs(fp32).abs().max()


def test_an_unknown_engine_is_refused() -> None:
    """The line offers the nearest engine; torch's own setting does not change."""
    before = torch.backends.quantized.engine
    with pytest.raises(UserError, match=r"^'engine' must be .*\(got 'onedn'\); did you mean 'onednn'\?$"):
        quantize(nn.Linear(2, 2), engine="onedn")

    assert before == torch.backends.quantized.engine


def test_engine_is_the_current_one_of_torch() -> None:
    """It is one that torch supports here."""
    assert engine() == torch.backends.quantized.engine
    assert engine() in ENGINES


def test_engine_is_the_preferred_one_if_torch_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch may report "none" on ARM."""
    arm = SimpleNamespace(engine="none", supported_engines=["none", "qnnpack", "onednn"])
    monkeypatch.setattr(torch_ao.torch.backends, "quantized", arm)

    assert engine() == "onednn"


@pytest.mark.parametrize("bias", [True, False])
def test_a_layer_is_rebuilt_from_plain_tensors(bias: bool) -> None:
    """Its outputs are the same bit for bit, with and without a bias."""
    (layer,) = quantized_layers(quantize(nn.Sequential(nn.Linear(8, 5, bias=bias))))
    tensors = to_tensors(layer)
    features = torch.randn(3, 8)

    assert tensors["weight"].dtype == torch.int8
    assert ("bias" in tensors) == bias
    assert torch.equal(layer(features), from_tensors(**tensors)(features))


def test_a_layer_can_have_a_scale_per_channel() -> None:
    """Scales and zero points per channel, as in ONNX Runtime, are stored and rebuilt."""
    weight = torch.randint(-128, 128, (3, 6), dtype=torch.int8)
    scale, zero_point = torch.tensor([0.125, 0.25, 0.5], dtype=torch.float64), torch.zeros(3, dtype=torch.int64)
    layer = from_tensors(weight, scale, zero_point)

    stored = to_tensors(layer)
    assert torch.equal(weight, stored["weight"])
    assert torch.equal(scale, stored["scale"])
    assert torch.equal(zero_point, stored["zero_point"])
    expected = torch.eye(6) @ (weight.double() * scale[:, None]).float().T
    torch.testing.assert_close(layer(torch.eye(6)), expected, atol=0.2, rtol=0.02)


def test_deprecation_warnings_of_torch_are_silenced() -> None:
    """quantize warns of nothing and restores the warning filters."""
    filters = list(warnings.filters)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        quantize(nn.Sequential(nn.Linear(2, 2)))

    assert not [str(warning.message) for warning in caught]
    assert filters == list(warnings.filters)


def test_other_deprecation_warnings_are_shown() -> None:
    """A deprecation warning that is not torch's passes the filter."""
    with pytest.warns(DeprecationWarning, match=re.escape("something else")), torch_ao.quiet_deprecations():
        warnings.warn("something else is deprecated", DeprecationWarning, stacklevel=1)
