"""Resolves the model to audit: a torchvision or timm name, the folder of a saved model, or a function in a file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from torch import nn

from edgeai_repro.claims.user_code import import_file
from edgeai_repro.compress import saved_models
from edgeai_repro.errors import UserError, did_you_mean, one_line
from edgeai_repro.networks import convnext
from edgeai_repro.networks.variants import CONVNEXT_VARIANTS, IMAGENET_CLASSES, IMAGENET_RESOLUTION, TIMM_PREFIX

EXAMPLE_INPUTS = "example_inputs"  # the function of a file that returns the arguments of its models


@dataclass(frozen=True)
class ResolvedModel:
    """A model in eval mode, its name, its source in words, and the height and width of its images in pixels.

    `inputs` are the arguments of a model that doesn't take an RGB image, None for all others.
    """

    name: str
    source: str
    model: nn.Module
    resolution: int
    inputs: tuple[Any, ...] | None = None


def resolve_model(text: str, *, classes: int = IMAGENET_CLASSES) -> ResolvedModel:
    """Return the model that a text names. A model built by name has `classes` classes and random weights.

    torchvision's model is taken if both libraries have the name; `timm:NAME` takes timm's. Raises UserError for an
    unknown name, a broken saved model, and a function that is missing, fails, or doesn't return an nn.Module.
    """
    path, _, function = text.rpartition(":")
    if path.endswith(".py"):
        model, inputs = _from_file(Path(path), function)
        return ResolvedModel(text, "a function", model, IMAGENET_RESOLUTION, inputs)
    if Path(text).is_dir():
        folder = Path(text).resolve()
        model, resolution = saved_models.load(folder), saved_models.read(folder).resolution
        return ResolvedModel(folder.name, "a saved model", model, resolution)
    if text in CONVNEXT_VARIANTS:
        source = "torchvision's ConvNeXt, random weights"
        return ResolvedModel(text, source, convnext.build(text, num_classes=classes), IMAGENET_RESOLUTION)
    from torchvision.models import list_models

    torchvision_names = list_models()
    if text in torchvision_names:
        model = convnext.build_from_zoo(text, num_classes=classes)
        return ResolvedModel(text, "torchvision, random weights", model, IMAGENET_RESOLUTION)
    return _from_timm(text, torchvision_names, classes)


def _from_timm(text: str, torchvision_names: list[str], classes: int) -> ResolvedModel:
    import timm  # takes seconds

    name, known = text.removeprefix(TIMM_PREFIX), timm.list_models()
    if name not in known:
        if not text.startswith(TIMM_PREFIX):
            known = [*CONVNEXT_VARIANTS, *torchvision_names, *known]
        close = get_close_matches(name, known, n=1)
        hint = f"did you mean {close[0]!r}?" if close else "or give the path of a module.py:function"
        raise UserError(
            f"MODEL must be a torchvision or timm name, the folder of a saved model, an ONNX file or "
            f"module.py:function (got {text!r}); {hint}"
        )
    model: Any = convnext.build_from_zoo(f"{TIMM_PREFIX}{name}", num_classes=classes)
    return ResolvedModel(name, "timm, random weights", model, int(model.default_cfg["input_size"][-1]))


def _from_file(path: Path, function: str) -> tuple[nn.Module, tuple[Any, ...] | None]:
    """Import a file and return the model that one of its functions makes, and its inputs.

    The inputs are the result of the file's function `example_inputs`, a tensor or a tuple; None if it has none.
    """
    module = import_file(path)
    make = getattr(module, function, None)
    if not callable(make):
        known = [name for name, value in vars(module).items() if callable(value) and not name.startswith("_")]
        hint = did_you_mean(function, known) if known else "add a function that returns the model"
        raise UserError(f"{path}: function {function!r} is missing; {hint}")
    model = _call(path, function, make, "a model")
    if not isinstance(model, nn.Module):
        raise UserError(
            f"{path}:{function} must return an nn.Module (got {type(model).__name__}); return the model itself"
        )
    make_inputs = getattr(module, EXAMPLE_INPUTS, None)
    if make_inputs is None:
        return model.eval(), None
    inputs = _call(path, EXAMPLE_INPUTS, make_inputs, "the inputs of the model")
    return model.eval(), inputs if isinstance(inputs, tuple) else (inputs,)


def _call(path: Path, name: str, function: Callable[[], Any], result: str) -> Any:
    try:
        return function()
    except Exception as error:  # the user's code may raise anything
        raise UserError(
            f"{path}:{name} must return {result} when called without arguments (got {one_line(error)}); fix it"
        ) from error
