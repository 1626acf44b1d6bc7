"""Dynamic quantization: torch's own, to the bit, and nothing else touched."""

from __future__ import annotations

import re
import warnings
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn
from torch.ao.nn.quantized.dynamic import Linear as DynamicLinear
from torch.ao.quantization import quantize_dynamic

from edgeai_repro.compress import quantization
from edgeai_repro.compress.quantization import dequantize, engine, from_tensors, quantize, to_tensors
from edgeai_repro.compress.unstructured import prune
from edgeai_repro.errors import UserError
from edgeai_repro.networks.convnext import build, random_images
from tests.support.helpers import awaken

ENGINES = [name for name in torch.backends.quantized.supported_engines if name != "none"]
IMAGES = random_images(2)


def awake() -> nn.Module:
    """An atto whose every weight has a say in the output."""
    return awaken(build("convnext_atto"))


def quantized_layers(model: nn.Module) -> list[DynamicLinear]:
    """The int8 layers, in the order of the modules."""
    return [module for module in model.modules() if isinstance(module, DynamicLinear)]


@torch.inference_mode()
def outputs(model: nn.Module) -> Tensor:
    """The logits of two generated images."""
    return model(IMAGES)


def test_quantize_is_torchs_quantize_dynamic() -> None:
    """Weights, scales, biases and outputs are those of torch's own function, to the bit."""
    model = awake()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = quantize_dynamic(model, {nn.Linear}, dtype=torch.qint8)
    ours = quantize(model)

    for mine, other in zip(quantized_layers(ours), quantized_layers(theirs), strict=True):
        assert (mine.in_features, mine.out_features) == (other.in_features, other.out_features)
        for name, tensor in to_tensors(other).items():
            assert torch.equal(to_tensors(mine)[name], tensor), name
    assert torch.equal(outputs(ours), outputs(theirs))


def test_quantize_changes_the_outputs_a_little() -> None:
    """Outputs are within 5 % of fp32's, and not fp32's: int8 is really computed."""
    model = awake()
    expected = outputs(model)
    error = (outputs(quantize(model)) - expected).abs().max() / expected.abs().max()

    assert 1e-4 < error < 0.05


def test_quantize_takes_every_linear_and_nothing_else() -> None:
    """No nn.Linear is left; convolutions, norms and layer scale are as they were."""
    model = awake()
    result = quantize(model)

    assert not any(isinstance(module, nn.Linear) for module in result.modules())
    linear = sum(isinstance(module, nn.Linear) for module in model.modules())
    assert linear == len(quantized_layers(result))
    before = dict(model.named_parameters())
    assert all(torch.equal(parameter, before[name]) for name, parameter in result.named_parameters())


def test_quantize_leaves_the_given_model_alone() -> None:
    """The model that is quantized keeps its layers, its weights and its outputs."""
    model = awake()
    before, expected = {name: tensor.clone() for name, tensor in model.state_dict().items()}, outputs(model)

    quantize(model)

    assert before.keys() == model.state_dict().keys()
    assert all(torch.equal(tensor, model.state_dict()[name]) for name, tensor in before.items())
    assert not any(hasattr(module, "qconfig") for module in model.modules())
    assert torch.equal(expected, outputs(model))


def test_quantize_shares_what_it_does_not_quantize() -> None:
    """Tensors that stay in fp32 aren't copied."""
    model = awake()
    before = dict(model.named_parameters())

    assert all(
        parameter.data_ptr() == before[name].data_ptr() for name, parameter in quantize(model).named_parameters()
    )


def test_quantize_keeps_zeros() -> None:
    """A pruned weight is 0 in int8 too."""
    model = prune(awake(), 0.5)
    linears = [module for module in model.modules() if isinstance(module, nn.Linear)]

    for before, after in zip(linears, quantized_layers(quantize(model)), strict=True):
        assert not to_tensors(after)["weight"][before.weight == 0].any()


# What it says of itself, once, at the first run of a layer packed for it (torch 2.15).
@pytest.mark.parametrize("name", ENGINES)
def test_quantize_packs_for_the_engine(name: str) -> None:
    """Under each engine of this machine the outputs are near fp32's, and torch's setting is as before."""
    model, before = awake(), torch.backends.quantized.engine
    expected = outputs(model)
    result = outputs(quantize(model, engine=name))

    assert before == torch.backends.quantized.engine
    assert (result - expected).abs().max() < 0.05 * expected.abs().max()


def test_dequantize_keeps_the_values_of_the_weights() -> None:
    """Each layer is fp32 again, with int8's values; outputs differ by the rounding of activations alone."""
    int8 = quantize(awake())
    plain = dequantize(int8)

    layers = [module for module in plain.modules() if type(module) is nn.Linear]
    for before, after in zip(quantized_layers(int8), layers, strict=True):
        stored = to_tensors(before)
        assert torch.equal(after.weight, stored["weight"] * stored["scale"].float())
        assert torch.equal(after.bias, stored["bias"])
    assert not quantized_layers(plain)
    assert len(quantized_layers(int8)) == len(layers), "the quantized model must stay as it is"
    assert 0 < (outputs(plain) - outputs(int8)).abs().max() < 0.05 * outputs(plain).abs().max()


def test_quantize_refuses_an_unknown_engine() -> None:
    """Raises one line with the nearest engine, and leaves torch's setting alone."""
    before = torch.backends.quantized.engine
    with pytest.raises(UserError, match=r"^'engine' must be .*\(got 'onedn'\); did you mean 'onednn'\?$"):
        quantize(nn.Linear(2, 2), engine="onedn")

    assert before == torch.backends.quantized.engine


def test_engine_is_the_one_in_force() -> None:
    """It is what torch says, and a supported one."""
    assert engine() == torch.backends.quantized.engine
    assert engine() in ENGINES


def test_engine_is_chosen_where_torch_has_set_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where torch says "none", as it may on ARM, the preferred one of those supported is taken."""
    arm = SimpleNamespace(engine="none", supported_engines=["none", "qnnpack", "onednn"])
    monkeypatch.setattr(quantization.torch.backends, "quantized", arm)

    assert engine() == "onednn"


@pytest.mark.parametrize("bias", [True, False])
def test_plain_tensors_rebuild_a_layer(bias: bool) -> None:
    """A layer of plain tensors answers to the bit as the one that gave them, with and without a bias."""
    (layer,) = quantized_layers(quantize(nn.Sequential(nn.Linear(8, 5, bias=bias))))
    plain = to_tensors(layer)
    features = torch.randn(3, 8)

    assert plain["weight"].dtype == torch.int8
    assert ("bias" in plain) == bias
    assert torch.equal(layer(features), from_tensors(**plain)(features))


def test_plain_tensors_carry_a_scale_a_channel() -> None:
    """Per-channel scales and zero points, as ONNX Runtime's, come back as they went."""
    weight = torch.randint(-128, 128, (3, 6), dtype=torch.int8)
    scale, zero_point = torch.tensor([0.125, 0.25, 0.5], dtype=torch.float64), torch.zeros(3, dtype=torch.int64)
    layer = from_tensors(weight, scale, zero_point)

    back = to_tensors(layer)
    assert torch.equal(weight, back["weight"])
    assert torch.equal(scale, back["scale"])
    assert torch.equal(zero_point, back["zero_point"])
    expected = torch.eye(6) @ (weight.double() * scale[:, None]).float().T
    torch.testing.assert_close(layer(torch.eye(6)), expected, atol=0.2, rtol=0.02)


def test_quantize_says_nothing() -> None:
    """A user sees none of torch's deprecation warnings, and their own filters are as before."""
    filters = list(warnings.filters)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        quantize(nn.Sequential(nn.Linear(2, 2)))

    assert not [str(warning.message) for warning in seen]
    assert filters == list(warnings.filters)


def test_only_torchs_own_notices_are_kept_back() -> None:
    """Another warning of the same kind passes."""
    with pytest.warns(DeprecationWarning, match=re.escape("something else")), quantization._quiet_deprecations():
        warnings.warn("something else is deprecated", DeprecationWarning, stacklevel=1)
