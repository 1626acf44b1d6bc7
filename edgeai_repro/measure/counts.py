"""Parameters and MACs, counted twice: as common tools report them, and as they actually are.

The tools are `parameters()` and thop. Both miss weights that quantization has packed, and thop misses all
layers that it doesn't know. The actual counter observes the operators that run, and unpacks packed weights.
"""

from __future__ import annotations

import contextlib
import io
import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

from torch import nn

from edgeai_repro.measure.counting.run import Inputs, example_inputs, run_counted, runnable_clone
from edgeai_repro.measure.counting.stored_values import BYTE, StoredValue, count_nonzero, stored_values
from edgeai_repro.measure.counting.work import Kind as Kind
from edgeai_repro.measure.counting.work import Run, Work


@dataclass(frozen=True)
class Reported:
    """The parameters by `sum(p.numel() for p in model.parameters())`, and thop's MACs for one image."""

    parameters: int
    macs: int


@dataclass(frozen=True)
class Counts:
    """The values that a model actually stores, and its computation for one image.

    `parameters` are all learned values, packed or not, each counted once even if several layers share it.
    `nonzero_parameters` are those whose stored value, dequantized, is not 0. `stored_bytes` are the bytes of all
    that is stored: parameters with the bits that they really have, their scales, and saved buffers. `macs` are
    multiply-accumulates of weights with activations (including padding, excluding biases) and of activations with
    each other, as in attention, which are `activation_macs`; `nonzero_macs` excludes those of weights that are 0.
    `bit_operations` are MACs × bits of one operand × bits of the other, as the operator receives them: 32 × 32 in
    fp32, 8 × 8 in dynamically quantized layers. `uncounted` are the operators without a rule: if there is one, all
    work is a lower bound.
    """

    parameters: int = 0
    nonzero_parameters: int = 0
    macs: int = 0
    nonzero_macs: int = 0
    bit_operations: int = 0
    activation_macs: int = 0
    stored_bytes: int = 0
    uncounted: tuple[str, ...] = ()

    def __add__(self, other: Counts) -> Counts:
        """Return the sum of each quantity, and the operators without a rule of both."""
        sums = {
            field.name: getattr(self, field.name) + getattr(other, field.name)
            for field in fields(self)
            if field.name != "uncounted"
        }
        return Counts(**sums, uncounted=tuple(sorted({*self.uncounted, *other.uncounted})))


def count(model: nn.Module, resolution: int = 32, *, inputs: Inputs | None = None) -> tuple[Reported, Counts]:
    """Return the reported and the actual counts for an image, or for `inputs`.

    The image is RGB, `resolution` × `resolution` pixels, in the type and on the device of the model; a model that
    convolves videos gets one of 16 frames. `inputs` are the arguments of a model that takes something else. Raises
    UserError if the model does not run on them.
    """
    reported, kinds = reported_and_by_kind(model, resolution, inputs=inputs)
    return reported, _sum(kinds)


def reported_and_by_kind(
    model: nn.Module, resolution: int = 32, *, inputs: Inputs | None = None
) -> tuple[Reported, dict[Kind, Counts]]:
    """Return the reported counts, and the actual ones by kind. The arguments and errors are those of `count`."""
    clone, inputs = runnable_clone(model), inputs or example_inputs(model, resolution)
    kinds = _by_kind(clone, inputs)  # before thop leaves its buffers in the clone
    return _reported(clone, inputs), kinds


def reported(model: nn.Module, resolution: int = 32, *, inputs: Inputs | None = None) -> Reported:
    """Return the counts of common tools. The arguments are those of `count`; whatever thop raises is raised."""
    return _reported(runnable_clone(model), inputs or example_inputs(model, resolution))


def actual(model: nn.Module, resolution: int = 32, *, inputs: Inputs | None = None) -> Counts:
    """Return the actual counts. The arguments and errors are those of `count`."""
    return _sum(by_kind(model, resolution, inputs=inputs))


def by_kind(model: nn.Module, resolution: int = 32, *, inputs: Inputs | None = None) -> dict[Kind, Counts]:
    """Return the actual counts by kind. The arguments and errors are those of `count`.

    "conv" are convolutions, "linear" all other products with weights, "attention" products of activations with each
    other; a parameter has the kind of the products that it is used in. All other parameters are "other".
    """
    return _by_kind(runnable_clone(model), inputs or example_inputs(model, resolution))


def by_operator(model: nn.Module, resolution: int = 32, *, inputs: Inputs | None = None) -> list[Work]:
    """Return the work of each operator that multiplies. The arguments and errors are those of `count`."""
    clone = runnable_clone(model)
    run = run_counted(clone, inputs or example_inputs(model, resolution), stored_values(clone))
    return list(run.work.values())


def stored(model: nn.Module) -> Counts:
    """Return the parameters that a model stores, those that are not 0, and their bytes, without running it."""
    return _sum(_parameters(stored_values(runnable_clone(model)), Run()))


def linear_share(model: nn.Module) -> float:
    """Return the share of the parameters that are in layers of exactly the type nn.Linear, 0 to 1.

    torch's dynamic quantization replaces these layers only; the projections of attention have types of their own.
    """
    layers = {module: None for module in model.modules() if type(module) is nn.Linear}
    inside = {id(parameter): parameter.numel() for layer in layers for parameter in layer.parameters()}
    return sum(inside.values()) / sum(parameter.numel() for parameter in model.parameters())


def _reported(clone: nn.Module, inputs: Inputs) -> Reported:
    """Count with the tools. Changes `clone`: thop leaves its buffers total_ops and total_params in it."""
    with warnings.catch_warnings():
        # thop 0.1.1 imports distutils, which Python 3.12 dropped (setuptools brings it back).
        warnings.filterwarnings("ignore", "distutils Version classes are deprecated", DeprecationWarning)
        warnings.filterwarnings("ignore", "The distutils package is deprecated", DeprecationWarning)
        import thop

    parameters = sum(parameter.numel() for parameter in clone.parameters())
    with contextlib.redirect_stdout(io.StringIO()):  # it prints, even if it isn't verbose
        macs, _ = thop.profile(clone, inputs, verbose=False)
    return Reported(parameters, int(macs))


def _by_kind(clone: nn.Module, inputs: Inputs) -> dict[Kind, Counts]:
    values = stored_values(clone)
    run = run_counted(clone, inputs, values)
    counts = _parameters(values, run)
    for work in run.work.values():
        counts[work.kind] += Counts(
            macs=work.macs,
            nonzero_macs=work.nonzero_macs,
            bit_operations=work.bit_operations,
            activation_macs=work.activation_macs,
        )
    counts["other"] += Counts(uncounted=tuple(sorted(run.uncounted)))
    return counts


def _parameters(values: Sequence[StoredValue], run: Run) -> dict[Kind, Counts]:
    """Return the stored values by kind. A saved buffer is a parameter if a product uses it as a weight."""
    counts: dict[Kind, Counts] = {"conv": Counts(), "linear": Counts(), "attention": Counts(), "other": Counts()}
    of_module = {id(value.owner): kind for value, kind in run.kinds.items() if value.is_saved}
    with_buffers = {id(value.owner) for value in run.weights if not value.is_parameter}
    for value in values:
        size, nonzero = (value.size, value.nonzero) if value.is_parameter else (0, 0)
        if value in run.weights and value.is_saved:
            size, nonzero = max((size, nonzero), run.weights[value])
        elif value.name == "bias" and not value.is_parameter and id(value.owner) in with_buffers:
            size, nonzero = value.size, sum(count_nonzero(tensor) for tensor in value.tensors)
        kind = run.kinds.get(value) or of_module.get(id(value.owner)) or _kind(value.owner)
        bits = value.bits if size or value.role == "buffer" else 0
        counts[kind] += Counts(size, nonzero, stored_bytes=math.ceil(bits / BYTE))
    return counts


KINDS: dict[type[nn.Module], Kind] = {  # of layers that did not run
    nn.modules.conv._ConvNd: "conv",
    nn.Linear: "linear",
    nn.MultiheadAttention: "linear",
    nn.RNNBase: "linear",
    nn.RNNCellBase: "linear",
    nn.Bilinear: "linear",
}


def _kind(layer: nn.Module) -> Kind:
    return next((kind for type_, kind in KINDS.items() if isinstance(layer, type_)), "other")


def _sum(counts: Mapping[Kind, Counts]) -> Counts:
    return sum(counts.values(), Counts())
