"""Random networks, and checks of counters and pruners on them, which they take as arguments."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from edgeai_repro.compress.unstructured import prunable
from edgeai_repro.measure.counts import Counts, Reported
from edgeai_repro.networks.convnext import clone_sharing_tensors, random_images

SIDE = 12  # pixels of the images for random networks


@st.composite
def networks(draw: st.DrawFn) -> nn.Sequential:
    """Draw a small network: convolutions with groups, strides, dilation and padding, norms, pooling, a Linear."""
    torch.manual_seed(draw(st.integers(0, 999), label="seed"))
    layers: list[nn.Module] = []
    channels, side = 3, SIDE
    for _ in range(draw(st.integers(1, 4), label="depth")):
        groups = draw(st.sampled_from([1, channels]) if channels % 2 else st.sampled_from([1, 2, channels]))
        width = groups * draw(st.integers(1, 3))
        kernel, stride, dilation = draw(st.integers(1, 3)), draw(st.integers(1, 2)), draw(st.integers(1, 2))
        padding = draw(st.integers(0, 2))
        following = (side + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
        if following < 1:
            break
        layers.append(
            nn.Conv2d(channels, width, kernel, stride, padding, dilation, groups, bias=draw(st.booleans()))
        )
        if draw(st.booleans()):
            layers.append(nn.BatchNorm2d(width))
        layers.append(nn.ReLU())
        channels, side = width, following
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, draw(st.integers(1, 5)))]
    return nn.Sequential(*layers).eval()


def run_by_layer(model: nn.Module, side: int = SIDE) -> list[tuple[nn.Module, Tensor, Tensor]]:
    """Run the model on one image; return each call of a module without children, with its input and output."""
    calls: list[tuple[nn.Module, Tensor, Tensor]] = []
    clone = clone_sharing_tensors(model)
    for module in clone.modules():
        if not list(module.children()):
            module.register_forward_hook(lambda layer, inputs, output: calls.append((layer, inputs[0], output)))
    with torch.inference_mode():
        clone(random_images(1, side))
    return calls


def macs_by_computing(model: nn.Module, *, nonzero: bool = False) -> int:
    """Count MACs by running each layer on ones, with weights of 1, or of 0 and 1 if `nonzero`, and adding up."""
    total = 0.0
    for layer, features, _ in run_by_layer(model):
        if isinstance(layer, nn.Conv2d | nn.Linear):
            weight = (layer.weight != 0).double() if nonzero else torch.ones_like(layer.weight).double()
            ones = torch.ones_like(features).double()
            if isinstance(layer, nn.Conv2d):
                (down, right) = layer.padding
                padded = functional.pad(ones, (right, right, down, down), value=1.0)
                total += functional.conv2d(
                    padded, weight, None, layer.stride, 0, layer.dilation, layer.groups
                ).sum()
            else:
                total += functional.linear(ones, weight).sum()
    return int(total)


def flop_counter_macs(model: nn.Module, side: int = SIDE) -> float:
    """Return the MACs by torch's FlopCounterMode, which counts two operations per MAC.

    Gradients are on. Without them attention is one fused operation, which the mode does not know (torch 2.15).
    """
    with FlopCounterMode(display=False) as counter:
        model(random_images(1, side))
    return float(counter.get_total_flops()) / 2


def thop_extra_operations(model: nn.Module, side: int = SIDE) -> int:
    """Return the operations that thop counts in addition to MACs, by its own rules.

    For a norm whose type is exactly one of torch's, it counts 4 operations per element (2 without parameters). For
    each output of an adaptive average pooling, it counts the number of its inputs plus one.
    """
    total = 0
    for layer, features, output in run_by_layer(model, side):
        if type(layer) in (nn.LayerNorm, nn.BatchNorm2d):
            affine = getattr(layer, "affine", False) or getattr(layer, "elementwise_affine", False)
            total += (4 if affine else 2) * features.numel()
        elif type(layer) is nn.AdaptiveAvgPool2d:
            total += (math.prod(features.shape[2:]) // math.prod(output.shape[2:]) + 1) * output.numel()
    return total


def assert_counters_agree(
    model: nn.Module,
    actual: Callable[[nn.Module, int], Counts],
    reported: Callable[[nn.Module, int], Reported],
) -> None:
    """Fail unless our counter, thop (without its extras), torch and plain computing give the same counts."""
    __tracebackhide__ = True
    names = list(model.state_dict())
    ours, tools = actual(model, SIDE), reported(model, SIDE)
    expected = macs_by_computing(model)
    assert names == list(model.state_dict()), (
        f"state_dict={list(model.state_dict())}, but should be as before: {names}"
    )
    for counter, macs in (
        ("actual", ours.macs),
        ("thop", tools.macs - thop_extra_operations(model)),
        ("FlopCounterMode", flop_counter_macs(model)),
        ("bit operations / 1024", ours.bit_operations / 1024),
    ):
        assert macs == expected, f"{counter} MACs={macs}, but should be {expected} [{model}]"
    nonzero = macs_by_computing(model, nonzero=True)
    assert ours.nonzero_macs == nonzero, f"nonzero_macs={ours.nonzero_macs}, but should be {nonzero} [{model}]"
    parameters = sum(parameter.numel() for parameter in model.parameters())
    assert ours.parameters == parameters == tools.parameters, (
        f"parameters={ours.parameters} and {tools.parameters}, but should be {parameters}"
    )
    expected_nonzero = sum(int((parameter != 0).sum()) for parameter in model.parameters())
    assert ours.nonzero_parameters == expected_nonzero, (
        f"nonzero_parameters={ours.nonzero_parameters}, but should be {expected_nonzero}"
    )


def assert_sparsity(model: nn.Module, sparsity: float, prune: Callable[[nn.Module, float], nn.Module]) -> None:
    """Fail unless the share `sparsity` of the weights became zero, and no other weight and no given one changed."""
    __tracebackhide__ = True
    before = [weight.detach().clone() for weight in prunable(model)]
    after = [weight.detach() for weight in prunable(prune(model, sparsity))]
    for old_weight, weight in zip(before, prunable(model), strict=True):
        assert torch.equal(old_weight, weight), "the weights of the given model should be as before"
    old, new = (torch.cat([weight.flatten() for weight in weights]) for weights in (before, after))
    expected = max(round(sparsity * old.numel()), int((old == 0).sum()))
    zeros = int((new == 0).sum())
    assert zeros == expected, f"zeros={zeros}, but should be {expected} of {old.numel()}"
    assert torch.equal(new[new != 0], old[new != 0]), "weights that stay should be as before"
    if 0 < zeros < old.numel():
        lost, least = float(old[new == 0].abs().max()), float(new[new != 0].abs().min())
        assert lost <= least, f"largest pruned weight={lost}, but should be at most the least other one, {least}"
