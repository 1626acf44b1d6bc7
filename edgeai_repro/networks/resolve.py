"""Builds the network that a claim, a plan or the command line names, on the CPU or on the meta device."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, cast

import torch
from torch import nn
from torchvision.models import get_model

from edgeai_repro.errors import UserError, did_you_mean, one_line
from edgeai_repro.networks import convnext, imagenet, meta_kernels, user_code
from edgeai_repro.networks.references import unknown
from edgeai_repro.networks.resnet_cifar import ResNetCifar
from edgeai_repro.networks.specs import Function, NetworkSpec, Timm, Torchvision, Vgg, VggCifar
from edgeai_repro.networks.specs import ResNet as ResNetSpec
from edgeai_repro.networks.specs import ResNetCifar as ResNetCifarSpec
from edgeai_repro.networks.variants import CONVNEXT_VARIANTS
from edgeai_repro.networks.vgg_cifar import VggCifar as VggCifarNetwork

Device = Literal["cpu", "meta"]


@dataclass(frozen=True)
class Network:
    """A network in eval mode, and the inputs that it is counted and timed with (None: one RGB image)."""

    model: nn.Module
    inputs: tuple[Any, ...] | None = None


def build(
    spec: NetworkSpec,
    *,
    classes: int | None = None,
    resolution: int | None = None,
    device: Device = "cpu",
    seed: int = 0,
) -> Network:
    """Build a network with `classes` logits and random weights under `seed`.

    On the meta device it has layers and shapes, but no values and no memory for them. A network that can't be built
    there is built on the CPU. `resolution` is only for functions that take it. Raises UserError, in one line, for
    an unknown name, for a library's network that can't have these options, and for a function that is missing,
    fails, downloads, takes too long or returns something else.
    """
    if reason := unknown(spec):
        raise UserError(f"a network must be known (got {describe(spec)!r}); {reason}")
    if device == "meta":
        meta_kernels.install()
    made = _construct(spec, classes, resolution, device, seed)
    model, inputs = made if isinstance(made, tuple) else (made, None)
    return Network(model.eval(), inputs)


def describe(spec: NetworkSpec) -> str:
    """Return the text that names a network, the family if it has none."""
    if isinstance(spec, Function):
        return f"{spec.file}:{spec.name}"
    if isinstance(spec, Timm):
        return f"timm:{spec.name}"
    return spec.name if isinstance(spec, Torchvision) else spec.family


def _construct(
    spec: NetworkSpec, classes: int | None, resolution: int | None, device: Device, seed: int
) -> nn.Module | tuple[nn.Module, tuple[Any, ...]]:
    if isinstance(spec, Function):
        offered = {"classes": classes, "resolution": resolution}
        made: nn.Module | tuple[nn.Module, tuple[Any, ...]] = _on(device, seed, lambda: _call(spec, offered))
        return made
    if classes is None:
        raise UserError(f"'classes' is missing: {describe(spec)!r} is built with it; add it")
    if isinstance(spec, Torchvision) and spec.name in CONVNEXT_VARIANTS and not spec.options:
        if device == "meta":
            return cast(nn.Module, convnext.build_on_meta(spec.name, num_classes=classes))
        return cast(nn.Module, convnext.build(spec.name, num_classes=classes, seed=seed))
    try:
        return cast(nn.Module, _on(device, seed, lambda: _from_spec(spec, classes)))
    except UserError:
        raise
    except Exception as error:  # whatever a library raises for its arguments
        raise UserError(
            f"{describe(spec)!r} must be a network that can be built with {classes} classes and its options "
            f"(got {one_line(error)}); correct the options"
        ) from error


def _from_spec(spec: NetworkSpec, classes: int) -> nn.Module:
    match spec:
        case Torchvision():
            return cast(nn.Module, get_model(spec.name, weights=None, num_classes=classes, **spec.options))
        case Timm():
            import timm  # not at the top, because the import takes seconds

            options: dict[str, Any] = dict(spec.options)
            return timm.create_model(spec.name, num_classes=classes, **options)
        case VggCifar():
            return VggCifarNetwork(spec.channels, classes, bias=spec.bias, hidden=spec.hidden)
        case Vgg():
            return imagenet.Vgg(spec.channels, classes, global_pooling=spec.head == "global_pooling")
        case ResNetCifarSpec():
            return ResNetCifar(
                spec.hidden or spec.stages,
                classes,
                added=None if spec.cut == "hidden" else spec.outputs,
                first=spec.first if spec.cut == "all" else None,
            )
        case ResNetSpec():
            return imagenet.resnet(spec.depth, spec.hidden, classes, stride_first=spec.stride == "first")
    raise TypeError(f"a network's family must be one of networks/specs.py (got {spec.family!r})")


def _on(device: Device, seed: int, make: Callable[[], Any]) -> Any:
    """Call a function under a device and a seed. If it fails on meta, which not all code can do, use the CPU."""
    if device == "meta":
        try:
            with torch.device("meta"), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # what a library says of its own code
                return make()
        except user_code.LimitError:
            raise
        except Exception:  # it fails on the CPU, too, if the fault is not the device's
            return _on("cpu", seed, make)
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(seed)
        return make()


def _call(spec: Function, offered: dict[str, int | None]) -> Any:
    """Call a function of a user's file. Raises UserError unless it returns a network, perhaps with its inputs."""
    where = f"{spec.file}:{spec.name}"
    with user_code.limits(where):
        module = user_code.import_file(spec.file)
    make = getattr(module, spec.name, None)
    if not callable(make):
        known = [name for name, value in vars(module).items() if callable(value) and not name.startswith("_")]
        hint = did_you_mean(spec.name, known) if known else "add a function that returns the model"
        raise UserError(f"{spec.file}: function {spec.name!r} is missing; {hint}")
    taken = inspect.signature(make).parameters
    given = {name: value for name, value in offered.items() if name in taken and value is not None}
    try:
        with user_code.limits(where):
            made = make(**given)
    except user_code.LimitError:
        raise
    except (Exception, SystemExit) as error:  # the user's code may raise anything, and may end itself
        arguments = ", ".join(given) or "no arguments"
        raise UserError(
            f"{where} must return a model when called with {arguments} (got {one_line(error)}); fix it"
        ) from error
    model, inputs = made if isinstance(made, tuple) and len(made) == 2 else (made, None)
    if not isinstance(model, nn.Module):
        raise UserError(
            f"{where} must return an nn.Module (got {type(made).__name__}); return the model itself, or the model "
            "and the tuple of its inputs"
        )
    return model if inputs is None else (model, tuple(inputs))
