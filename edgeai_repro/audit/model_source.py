"""Whose model is audited: a name of torchvision's or timm's, the folder of a saved model, or a function in a file."""

from __future__ import annotations

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


@dataclass(frozen=True)
class Subject:
    """A model in eval mode, what it is called, where it is from, and the side of its images in pixels."""

    name: str
    source: str
    model: nn.Module
    resolution: int


def resolve_model(text: str, *, classes: int = IMAGENET_CLASSES) -> Subject:
    """Return the model that a text means; what comes from a name has that many classes and random weights.

    `timm:NAME` takes timm's where torchvision has one of that name too. Raises UserError, in one line, for a name
    that nobody has, a broken saved model, and a function that isn't there, fails, or returns no nn.Module.
    """
    path, _, function = text.rpartition(":")
    if path.endswith(".py"):
        return Subject(text, "a function", _called(Path(path), function), IMAGENET_RESOLUTION)
    if Path(text).is_dir():
        folder = Path(text).resolve()
        return Subject(
            folder.name, "a saved model", saved_models.load(folder), saved_models.read(folder).resolution
        )
    if text in CONVNEXT_VARIANTS:
        source = "torchvision's ConvNeXt, random weights"
        return Subject(text, source, convnext.build(text, num_classes=classes), IMAGENET_RESOLUTION)
    from torchvision.models import list_models

    if text in list_models():
        built = convnext.build_from_zoo(text, num_classes=classes)
        return Subject(text, "torchvision, random weights", built, IMAGENET_RESOLUTION)
    return _from_timm(text, list_models(), classes)


def _from_timm(text: str, torchvisions: list[str], classes: int) -> Subject:
    import timm  # here, for it takes seconds

    name = text.removeprefix(TIMM_PREFIX)
    timms = timm.list_models()
    if name not in timms:
        known = timms if text.startswith(TIMM_PREFIX) else [*CONVNEXT_VARIANTS, *torchvisions, *timms]
        close = get_close_matches(name, known, n=1)
        hint = f"did you mean {close[0]!r}?" if close else "give the path of a module.py:function that returns one"
        raise UserError(
            f"'model' must be a name of torchvision's or timm's, the folder of a saved model, an ONNX file or "
            f"module.py:function (got {text!r}); {hint}"
        )
    model: Any = convnext.build_from_zoo(f"{TIMM_PREFIX}{name}", num_classes=classes)
    return Subject(name, "timm, random weights", model, int(model.default_cfg["input_size"][-1]))


def _called(path: Path, function: str) -> nn.Module:
    """Import a file and return what one of its functions returns."""
    module = import_file(path)
    make = getattr(module, function, None)
    if not callable(make):
        known = [name for name, value in vars(module).items() if callable(value) and not name.startswith("_")]
        hint = did_you_mean(function, known) if known else "it has none; write one that returns the model"
        raise UserError(f"'{path}' must have a function {function!r} (got none of that name); {hint}")
    try:
        model = make()
    except Exception as error:  # whatever a stranger's code raises
        raise UserError(
            f"'{path}:{function}' must return a model when it is called without arguments (got {one_line(error)}); "
            "mend it"
        ) from error
    if not isinstance(model, nn.Module):
        raise UserError(
            f"'{path}:{function}' must return an nn.Module (got {type(model).__name__}); return the model itself"
        )
    return model.eval()
