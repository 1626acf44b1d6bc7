"""Runs a network on an example input and counts its operators."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import torch
from torch import Tensor, nn
from torch.jit._fuser import optimized_execution

from edgeai_repro.errors import UserError, one_line
from edgeai_repro.measure.counting.operator_counter import OperatorCounter
from edgeai_repro.measure.counting.stored_values import StoredValue, graph_of
from edgeai_repro.measure.counting.work import Run
from edgeai_repro.networks.convnext import clone_sharing_tensors, random_images

Inputs = tuple[Any, ...]
FRAMES = 16  # of a video, as in torchvision's recipes for Kinetics-400
RUN_BY_JIT = ("mkldnn", "MKLDNN", "FusionGroup", "TensorExprGroup", "StaticSubgraph")


def example_inputs(model: nn.Module, resolution: int) -> Inputs:
    """Return a random RGB image of `resolution` × `resolution` pixels, or a video if the network convolves videos.

    It has the device and the floating-point type of the network: of its first parameter, else a CPU's float32.
    Its shape is (1, 3, resolution, resolution), or (1, 3, 16, resolution, resolution).
    """
    floating = (one for one in (*model.parameters(), *model.buffers()) if one.is_floating_point())
    first = next(floating, torch.empty(0))
    on_meta = any(parameter.is_meta for parameter in model.parameters())
    image = random_images(1, resolution).to("meta" if on_meta else first.device, first.dtype)
    convolution = next((layer for layer in model.modules() if isinstance(layer, nn.modules.conv._ConvNd)), None)
    if isinstance(convolution, nn.Conv3d):
        image = image.unsqueeze(2).repeat(1, 1, FRAMES, 1, 1)
    return (image,)


def runnable_clone(model: nn.Module) -> nn.Module:
    """Return a copy of a network that shares its tensors, without wrappers for several devices or a compiler.

    Scripted networks, and those that can't be copied, are returned themselves.
    """
    while isinstance(model, nn.DataParallel | nn.parallel.DistributedDataParallel):
        model = model.module
    model = getattr(model, "_orig_mod", model)  # of torch.compile
    if isinstance(model, torch.jit.ScriptModule):
        return model
    try:
        return clone_sharing_tensors(model)
    except Exception:
        return model


@contextmanager
def ready_to_run(model: nn.Module) -> Iterator[None]:
    """Put a network into eval mode, without gradients, compilers, fused graphs and warnings; restore its mode."""
    # A frozen module has no mode.
    training = [module for module in model.modules() if getattr(module, "training", False)]
    with ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings(action="ignore"))  # the network's own, which may be errors
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.no_grad())  # not inference_mode, whose tensors a network might keep and train on
        stack.enter_context(optimized_execution(False))
        if "torch._dynamo" in sys.modules:
            stack.enter_context(torch.compiler.set_stance("force_eager"))
        try:
            if training:
                with suppress(NotImplementedError):  # an exported module has the mode that it was exported in
                    model.eval()
            yield
        finally:
            for module in training:
                module.training = True


def refuse_invisible_operators(model: nn.Module) -> None:
    """Raise UserError if a scripted network has operators that its interpreter runs past the dispatcher."""
    for module in model.modules():
        graph = graph_of(module) if isinstance(module, torch.jit.ScriptModule) else None
        kinds = "" if graph is None else str(graph)
        for kind in RUN_BY_JIT:
            if f"prim::{kind}" in kinds:
                raise UserError(
                    f"a scripted network must run operators that can be observed (got prim::{kind}…); "
                    "count it before torch.jit.optimize_for_inference"
                )


def run_counted(model: nn.Module, inputs: Inputs, values: Sequence[StoredValue]) -> Run:
    """Run a model, ready to run, on its inputs and count the products of its operators.

    `values` are those that it stores. Raises UserError if it doesn't run, or if its operators can't be observed.
    """
    refuse_invisible_operators(model)
    counter = OperatorCounter(values)
    try:
        with ready_to_run(model), counter:
            outputs = model(*inputs)
    except UserError:
        raise
    except Exception as error:  # the model may raise anything
        shapes = ", ".join(_described(one) for one in inputs)
        on_meta = any(isinstance(one, Tensor) and one.is_meta for one in inputs)
        step = "count it on the CPU if its shapes depend on data" if on_meta else "pass other inputs"
        raise UserError(f"the network must run on its input {shapes} (got {one_line(error)}); {step}") from error
    return counter.finish(inputs, outputs)


def _described(value: object) -> str:
    if isinstance(value, Tensor):
        return f"{str(value.dtype).removeprefix('torch.')} {tuple(value.shape)}"
    return type(value).__name__
