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
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, PositiveInt
from safetensors.torch import load as from_bytes
from safetensors.torch import save as to_bytes
from torch import Tensor, nn

from edgeai_repro.compress.quantization import engine, from_tensors, is_quantized, to_tensors
from edgeai_repro.errors import UserError, require_known
from edgeai_repro.files import atomic_folder, parse_as, read_json, read_verified, verify_sha256
from edgeai_repro.networks import convnext
from edgeai_repro.networks.variants import CONVNEXT_VARIANTS

log = logging.getLogger(__name__)
WEIGHTS = "weights.safetensors"
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
    resolution: PositiveInt
    num_classes: PositiveInt
    stem_stride: PositiveInt
    hidden_widths: tuple[PositiveInt, ...]
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
    if not path.is_file() and (folder / OLD_DESCRIPTION).is_file():
        path = folder / OLD_DESCRIPTION
    if not path.is_file():
        raise UserError(f"{folder}: must be the folder of a saved model ({DESCRIPTION} is missing); save it again")
    saved = parse_as(SavedModel, _converted(read_json(path)), path)
    require_known(f"{path}: 'model'", saved.model, CONVNEXT_VARIANTS)
    blocks = len(CONVNEXT_VARIANTS[saved.model].hidden_widths)
    if len(saved.hidden_widths) != blocks:
        raise UserError(
            f"{path}: 'hidden_widths' must be one per block, {blocks} (got {len(saved.hidden_widths)}); "
            "save it again"
        )
    return saved


def load(folder: Path) -> nn.Module:
    """Rebuild a saved model, in eval mode. Its outputs are those of the model that was saved.

    int8 weights are packed for the current engine. Raises UserError if a file is missing, truncated or changed.
    """
    saved = read(folder)
    path = folder / WEIGHTS
    tensors = from_bytes(read_verified(path, saved.weights_sha256, "save it again"))
    model: nn.Module = convnext.build(
        saved.model,
        num_classes=saved.num_classes,
        stem_stride=saved.stem_stride,
        hidden_widths=saved.hidden_widths,
        seed=None,
    )
    _fill(model, tensors, path)
    return model


def _converted(document: Any) -> Any:
    """Return a description of schema version 1 as one of version 2, and any other document unchanged."""
    if not isinstance(document, dict) or document.get("schema_version", 1) != 1 or "settings" in document:
        return document
    renamed = {"settings" if key == "params" else key: value for key, value in document.items()}
    return {**renamed, "schema_version": 2}


def _fill(model: nn.Module, tensors: dict[str, Tensor], path: Path) -> None:
    """Give an uninitialized model its weights, and replace the layers whose weights are int8."""
    factors = {name: tensors.pop(name) for name in list(tensors) if name.endswith((".scale", ".zero_point"))}
    parameters = dict(model.named_parameters())
    expected = {name: parameter.shape for name, parameter in parameters.items()}
    if {name: tensor.shape for name, tensor in tensors.items()} != expected:
        raise UserError(f"{path}: must hold the tensors that its description implies; save it again")
    layers = [name.removesuffix(".scale") for name in factors if name.endswith(".scale")]
    for layer in layers:
        weight, bias = tensors.pop(f"{layer}.weight"), tensors.pop(f"{layer}.bias")
        scale, zero_point = factors[f"{layer}.scale"], factors[f"{layer}.zero_point"]
        model.set_submodule(layer, from_tensors(weight, scale, zero_point, bias))
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
        verify_sha256(folder / WEIGHTS, read(folder).weights_sha256, "save it again")
    except UserError:
        return False
    return True


def _versions() -> dict[str, str]:
    packages = ("edgeai-repro", "safetensors", "torch", "torchvision")
    return {"python": platform.python_version(), **{package: version(package) for package in packages}}
