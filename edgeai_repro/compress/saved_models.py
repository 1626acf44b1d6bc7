"""Saved models: compressed networks on disk, as plain tensors and a description that suffices to rebuild them.

A folder has two files: `weights.safetensors` and `model.json`. The int8 weight of a layer, its scale and its zero
point are three tensors, `<layer>.weight`, `.scale` and `.zero_point`; all other tensors are those of the
`state_dict`. The folder is named `<model>--<technique>--<hash>`, with a hash over the description, which includes
the sha256 of the weights. So a folder never changes.
"""

from __future__ import annotations

import hashlib
import logging
import os
import platform
import shutil
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from safetensors.torch import save as to_bytes
from torch import Tensor, nn

from edgeai_repro.checksums import read_verified, verify_sha256
from edgeai_repro.compress.quantization import engine, from_tensors, is_quantized, to_tensors
from edgeai_repro.errors import UserError, require_known
from edgeai_repro.files import atomic_folder, is_file, read_json
from edgeai_repro.networks import convnext
from edgeai_repro.networks.tensor_files import difference, tensors_of
from edgeai_repro.networks.variants import CONVNEXT_VARIANTS
from edgeai_repro.validation import parse_as

log = logging.getLogger(__name__)
WEIGHTS = "weights.safetensors"
SCALE, ZERO_POINT = ".scale", ".zero_point"
SAVE_AGAIN = "save it again"
# No network is larger; on the meta device, larger numbers would overflow.
Width = Annotated[int, Field(gt=0, le=2**20)]
Side = Annotated[int, Field(gt=0, le=2**13)]
DESCRIPTION = "model.json"
VARIABLE = "EDGEAI_MODELS"
SettingOrNone = str | int | float | bool | None
# Names of version 0.1. Its descriptions are still read, with `params` for `settings`.
OLD_DESCRIPTION, OLD_VARIABLE, OLD_FOLDER = "artefact.json", "EDGEAI_ARTEFACTS", "artefacts"


class SavedModel(BaseModel):
    """The description of a saved model, in its `model.json`.

    `settings` are those of the technique; `resolution` is the side of the input in pixels; `hidden_widths` are the
    MLP widths, one per block. `engine` is the engine that packed the int8 weights of the model that was saved, None
    for a model without int8 weights.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[2] = 2
    model: str
    technique: str
    settings: dict[str, SettingOrNone]
    resolution: Side
    num_classes: Width
    stem_stride: Side
    hidden_widths: tuple[Width, ...]
    engine: str | None
    weights_sha256: str
    versions: dict[str, str]

    @property
    def folder_name(self) -> str:
        """The name of the folder to save to. Versions and the engine have no effect on it."""
        content = self.model_dump_json(exclude={"versions", "engine"})
        return f"{self.model}--{self.technique}--{hashlib.sha256(content.encode()).hexdigest()[:12]}"


def default_root() -> Path:
    """Return the folder of saved models: `EDGEAI_MODELS`, else a folder in the user's cache.

    Raises UserError if the variable is still set under its old name.
    """
    if OLD_VARIABLE in os.environ:
        raise UserError(f"'{OLD_VARIABLE}' must not be set (its name is now {VARIABLE}); set {VARIABLE} instead")
    if folder := os.environ.get(VARIABLE):
        return Path(folder)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "edgeai-repro"
    old, new = cache / OLD_FOLDER, cache / "models"
    return old if old.is_dir() and not new.exists() else new


def save(
    model: nn.Module,
    name: str,
    technique: str,
    settings: Mapping[str, SettingOrNone] | None = None,
    *,
    resolution: int = 32,
    root: Path | None = None,
) -> Path:
    """Write a ConvNeXt of `convnext.build`, compressed or not, and return its folder under `root`.

    An interrupted save leaves no folder. A folder that exists already is kept, unless it is damaged. Raises
    UserError for an unknown name and if the root can't be written.
    """
    require_known("'model'", name, CONVNEXT_VARIANTS)
    root = default_root() if root is None else root
    tensors = _plain_tensors(model)
    weights = to_bytes(tensors)
    saved = SavedModel(
        model=name,
        technique=technique,
        settings=dict(sorted((settings or {}).items())),
        resolution=resolution,
        num_classes=convnext.num_classes(model),
        stem_stride=convnext.stem_stride(model),
        hidden_widths=convnext.hidden_widths(model),
        engine=engine() if any(tensor.dtype == torch.int8 for tensor in tensors.values()) else None,
        weights_sha256=hashlib.sha256(weights).hexdigest(),
        versions=_versions(),
    )
    folder = root / saved.folder_name
    if folder.is_dir():
        if _is_intact(folder):
            return folder
        log.warning("%s: is damaged; it is written again", folder)
        shutil.rmtree(folder)
    with atomic_folder(folder) as temporary:
        (temporary / WEIGHTS).write_bytes(weights)
        (temporary / DESCRIPTION).write_text(saved.model_dump_json(indent=2) + "\n", encoding="utf-8")
    return folder


def read(folder: Path) -> SavedModel:
    """Return the description of a saved model. Raises UserError if the folder has none, or a broken one."""
    path = folder / DESCRIPTION
    if not is_file(path) and is_file(folder / OLD_DESCRIPTION):
        path = folder / OLD_DESCRIPTION
    if not is_file(path):
        raise UserError(f"{folder}: must be the folder of a saved model ({DESCRIPTION} is missing); save it again")
    saved = parse_as(SavedModel, _converted(read_json(path)), path)
    require_known(f"{path}: 'model'", saved.model, CONVNEXT_VARIANTS)
    blocks = len(CONVNEXT_VARIANTS[saved.model].hidden_widths)
    if len(saved.hidden_widths) != blocks:
        got = len(saved.hidden_widths)
        raise UserError(f"{path}: 'hidden_widths' must be one per block, {blocks} (got {got}); {SAVE_AGAIN}")
    return saved


def load(folder: Path) -> nn.Module:
    """Rebuild a saved model, in eval mode. Its outputs are those of the model that was saved.

    int8 weights are packed for the current engine. Raises UserError if a file is missing, truncated or changed.
    """
    saved = read(folder)
    path = folder / WEIGHTS
    tensors = tensors_of(read_verified(path, saved.weights_sha256, SAVE_AGAIN), path, SAVE_AGAIN)
    sizes: dict[str, Any] = {
        "num_classes": saved.num_classes,
        "stem_stride": saved.stem_stride,
        "hidden_widths": saved.hidden_widths,
    }
    layers = _int8_layers(tensors)
    _check(tensors, layers, convnext.build_on_meta(saved.model, **sizes), path)  # before it takes memory
    model: nn.Module = convnext.build(saved.model, **sizes, seed=None)
    _fill(model, tensors, layers)
    return model


def _converted(document: Any) -> Any:
    """Return a description of schema version 1 as one of version 2, and any other document unchanged."""
    if not isinstance(document, dict) or document.get("schema_version", 1) != 1 or "settings" in document:
        return document
    renamed = {"settings" if key == "params" else key: value for key, value in document.items()}
    return {**renamed, "schema_version": 2}


def _int8_layers(tensors: Mapping[str, Tensor]) -> list[str]:
    """Return the names of the layers whose weights are int8: those that have a scale."""
    return [name.removesuffix(SCALE) for name in tensors if name.endswith(SCALE)]


def _check(tensors: Mapping[str, Tensor], layers: Sequence[str], model: nn.Module, path: Path) -> None:
    """Raise UserError unless the tensors are those of a network, whose `layers` are int8."""
    expected = dict(model.named_parameters())
    for layer in layers:
        weight = expected.get(f"{layer}.weight")
        if weight is None or not isinstance(model.get_submodule(layer), nn.Linear):
            raise UserError(f"{path}: must have scales of Linear layers only (got {layer + SCALE!r}); {SAVE_AGAIN}")
        channels = tensors[layer + SCALE].shape  # one factor, or one per channel
        if channels not in ((), weight.shape[:1]):
            raise UserError(f"{path}: {layer + SCALE!r} must be one factor or one per channel; {SAVE_AGAIN}")
        expected[f"{layer}.weight"] = nn.Parameter(weight.to(torch.int8), requires_grad=False)
        expected[layer + SCALE] = nn.Parameter(torch.empty(channels, device="meta"))
        zeros = torch.empty(channels, dtype=torch.int64, device="meta")
        expected[layer + ZERO_POINT] = nn.Parameter(zeros, requires_grad=False)
    if problem := difference(tensors, expected):
        raise UserError(f"{path}: must hold the tensors that its description implies ({problem}); {SAVE_AGAIN}")


def _fill(model: nn.Module, tensors: dict[str, Tensor], layers: Sequence[str]) -> None:
    """Give an uninitialized model its weights, and replace the layers whose weights are int8."""
    for layer in layers:
        weight, bias, scale, zero_point = (
            tensors.pop(layer + part) for part in (".weight", ".bias", SCALE, ZERO_POINT)
        )
        model.set_submodule(layer, from_tensors(weight, scale, zero_point, bias))
    parameters = dict(model.named_parameters())
    for name, tensor in tensors.items():
        parameters[name].detach().copy_(tensor)


def _plain_tensors(model: nn.Module) -> dict[str, Tensor]:
    tensors = {name: parameter.detach().contiguous() for name, parameter in model.named_parameters()}
    for layer, module in model.named_modules():
        if is_quantized(module):
            tensors.update({f"{layer}.{name}": tensor for name, tensor in to_tensors(module).items()})
    return tensors


def _is_intact(folder: Path) -> bool:
    try:
        verify_sha256(folder / WEIGHTS, read(folder).weights_sha256, SAVE_AGAIN)
    except UserError:
        return False
    return True


def _versions() -> dict[str, str]:
    packages = ("edgeai-repro", "safetensors", "torch", "torchvision")
    return {"python": platform.python_version(), **{package: version(package) for package in packages}}
