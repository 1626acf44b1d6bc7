"""Resolves the model to audit: a torchvision or timm name, the folder of a saved model, or a function in a file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from torch import nn

from edgeai_repro.compress import saved_models
from edgeai_repro.errors import UserError
from edgeai_repro.files import is_folder
from edgeai_repro.networks.references import reference, unknown
from edgeai_repro.networks.resolve import build
from edgeai_repro.networks.specs import Function, Timm, Torchvision
from edgeai_repro.networks.variants import CIFAR_SIDE, CONVNEXT_VARIANTS, IMAGENET_CLASSES, IMAGENET_RESOLUTION


@dataclass(frozen=True)
class ResolvedModel:
    """A model in eval mode, its name, its source in words, and the height and width of its images in pixels.

    `inputs` are the arguments of a model that doesn't take an RGB image, which its function returns with it; None
    for all others.
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
    if is_folder(Path(text)):
        folder = Path(text).resolve()
        model, resolution = saved_models.load(folder), saved_models.read(folder).resolution
        return ResolvedModel(folder.name, "a saved model", model, resolution)
    spec = reference(text)
    if isinstance(spec, Torchvision) and unknown(spec) and not unknown(timm := Timm(family="timm", name=text)):
        spec = timm
    if not isinstance(spec, Function) and (hint := unknown(spec)):
        raise UserError(
            f"MODEL must be a torchvision or timm name, the folder of a saved model, an ONNX file or "
            f"module.py:function (got {text!r}); {hint}"
        )
    network = build(spec, classes=classes, resolution=IMAGENET_RESOLUTION)
    if isinstance(spec, Function):
        return ResolvedModel(text, "a function", network.model, IMAGENET_RESOLUTION, network.inputs)
    if isinstance(spec, Timm):
        resolution = int(cast(Any, network.model).default_cfg["input_size"][-1])
        return ResolvedModel(spec.name, "timm, random weights", network.model, resolution)
    if isinstance(spec, Torchvision):
        convnext = "'s ConvNeXt" if text in CONVNEXT_VARIANTS else ""
        return ResolvedModel(text, f"torchvision{convnext}, random weights", network.model, IMAGENET_RESOLUTION)
    return ResolvedModel(text, f"{spec.family}, random weights", network.model, CIFAR_SIDE)
