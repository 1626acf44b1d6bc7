"""Compressed models on disk: a folder of plain tensors and what it takes to rebuild the model from them.

A layer's int8 weight, its scale and its zero point are three tensors, `<layer>.weight`, `.scale` and `.zero_point`;
everything else stands as in the `state_dict`. The folder is called `<model>--<technique>--<hash>`, the hash over
all that it says and holds, so a folder never changes once it is there.
"""

from __future__ import annotations

import hashlib
import logging
import os
import platform
import shutil
import tempfile
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, cast

import torch
from pydantic import BaseModel, ConfigDict, PositiveInt
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.ao.nn.quantized.dynamic import Linear as DynamicLinear

from edgeai_repro.compress.quantization import engine, from_tensors, to_tensors
from edgeai_repro.errors import UserError, did_you_mean
from edgeai_repro.files import parse_as, read_json, sha256
from edgeai_repro.networks import convnext
from edgeai_repro.networks.variants import CONVNEXT_VARIANTS

log = logging.getLogger(__name__)
WEIGHTS = "weights.safetensors"
DESCRIPTION = "artefact.json"
Parameter = str | int | float | bool | None


class SavedModel(BaseModel):
    """What `artefact.json` says: which model, how it was compressed, and what its weights were built with.

    `params` are the technique's settings; `resolution` is the input's side in pixels; `hidden_widths` are the MLP
    widths, one a block; `engine` is what packed the int8 weights when they were saved, None where there are none.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = 1
    model: str
    technique: str
    params: dict[str, Parameter]
    resolution: PositiveInt
    num_classes: PositiveInt
    stem_stride: PositiveInt
    hidden_widths: tuple[PositiveInt, ...]
    engine: str | None
    weights_sha256: str
    versions: dict[str, str]

    @property
    def folder(self) -> str:
        """The name of the artefact's folder; versions don't enter it."""
        said = self.model_dump_json(exclude={"versions", "engine"})
        return f"{self.model}--{self.technique}--{hashlib.sha256(said.encode()).hexdigest()[:12]}"


def default_root() -> Path:
    """Return the folder of artefacts: `EDGEAI_ARTEFACTS`, else one in the user's cache folder."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("EDGEAI_ARTEFACTS") or Path(cache) / "edgeai-repro" / "artefacts")


def save(
    model: nn.Module,
    name: str,
    technique: str,
    params: Mapping[str, Parameter] | None = None,
    *,
    resolution: int = 32,
    root: Path | None = None,
) -> Path:
    """Write a ConvNeXt of `models.build`, compressed or not, and return its folder under `root`.

    It is written aside and moved into place, so that a folder is whole or isn't there. Raises UserError where the
    name is unknown or the root can't be written.
    """
    _check_name(name)
    root = default_root() if root is None else root
    tensors, network = _plain(model), cast(Any, model)
    try:
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".", dir=root) as aside:
            folder = Path(aside) / "artefact"
            folder.mkdir()
            save_file(tensors, folder / WEIGHTS)
            artefact = SavedModel(
                model=name,
                technique=technique,
                params=dict(sorted((params or {}).items())),
                resolution=resolution,
                num_classes=network.classifier[2].out_features,
                stem_stride=network.features[0][0].stride[0],
                hidden_widths=convnext.hidden_widths(model),
                engine=engine() if any(tensor.dtype == torch.int8 for tensor in tensors.values()) else None,
                weights_sha256=sha256(folder / WEIGHTS),
                versions=_versions(),
            )
            (folder / DESCRIPTION).write_text(artefact.model_dump_json(indent=2) + "\n", encoding="utf-8")
            return _move(folder, root / artefact.folder)
    except (OSError, SafetensorError) as error:
        raise UserError(
            f"'artefacts' must be a folder that can be written (got '{root}': {error}); "
            "set EDGEAI_ARTEFACTS to another"
        ) from error


def read(folder: Path) -> SavedModel:
    """Return what an artefact says of itself. Raises UserError where the folder holds none or a broken one."""
    path = folder / DESCRIPTION
    if not path.is_file():
        raise UserError(f"{folder}: must be an artefact's folder (got none with {DESCRIPTION}); save it again")
    artefact = parse_as(SavedModel, read_json(path), path)
    _check_name(artefact.model)
    blocks = len(CONVNEXT_VARIANTS[artefact.model].hidden_widths)
    if len(artefact.hidden_widths) != blocks:
        got = f"{len(artefact.hidden_widths)} in '{path}'"
        raise UserError(f"'hidden_widths' must be one a block, {blocks} (got {got}); save it again")
    return artefact


def load(folder: Path) -> nn.Module:
    """Rebuild the model of an artefact, in eval mode; its outputs are those of the model that was saved.

    The int8 weights are packed for the engine in force. Raises UserError where a file is missing, truncated or
    altered.
    """
    artefact = read(folder)
    path = folder / WEIGHTS
    try:
        found = sha256(path)
    except OSError as error:
        raise UserError(f"'{path}' must be there to be loaded (got {error.strerror}); save it again") from error
    if found != artefact.weights_sha256:
        raise UserError(
            f"'{path}' must have the sha256 {artefact.weights_sha256[:12]}… (got {found[:12]}…); "
            "it is truncated or altered, save it again"
        )
    model: nn.Module = convnext.build(
        artefact.model,
        num_classes=artefact.num_classes,
        stem_stride=artefact.stem_stride,
        hidden_widths=artefact.hidden_widths,
        seed=None,
    )
    _fill(model, load_file(path), path)
    return model


def _fill(model: nn.Module, tensors: dict[str, Tensor], path: Path) -> None:
    """Give the uninitialised model its weights, and quantized layers in the place of those that come in int8."""
    factors = {name: tensors.pop(name) for name in list(tensors) if name.endswith((".scale", ".zero_point"))}
    parameters = dict(model.named_parameters())
    expected = {name: parameter.shape for name, parameter in parameters.items()}
    if {name: tensor.shape for name, tensor in tensors.items()} != expected:
        raise UserError(f"'{path}' must hold the tensors that its {DESCRIPTION} implies; save it again")
    layers = [name.removesuffix(".scale") for name in factors if name.endswith(".scale")]
    for layer in layers:
        weight, bias = tensors.pop(f"{layer}.weight"), tensors.pop(f"{layer}.bias")
        scale, zero_point = factors[f"{layer}.scale"], factors[f"{layer}.zero_point"]
        model.set_submodule(layer, from_tensors(weight, scale, zero_point, bias))
    for name, tensor in tensors.items():
        parameters[name].detach().copy_(tensor)


def _plain(model: nn.Module) -> dict[str, Tensor]:
    tensors = {name: parameter.detach().contiguous() for name, parameter in model.named_parameters()}
    for layer, module in model.named_modules():
        if isinstance(module, DynamicLinear):
            tensors.update({f"{layer}.{name}": tensor for name, tensor in to_tensors(module).items()})
    return tensors


def _move(aside: Path, folder: Path) -> Path:
    """Move a new folder into place; one that is there already holds the same and stays, if it is whole."""
    try:
        return aside.rename(folder)
    except OSError:
        if not folder.is_dir():
            raise
    try:
        if sha256(folder / WEIGHTS) == read(folder).weights_sha256:
            return folder
    except (OSError, UserError) as error:
        log.warning("%s is broken and is written anew: %s", folder, error)
    shutil.rmtree(folder)
    return aside.rename(folder)


def _versions() -> dict[str, str]:
    packages = ("edgeai-repro", "safetensors", "torch", "torchvision")
    return {"python": platform.python_version(), **{package: version(package) for package in packages}}


def _check_name(name: str) -> None:
    if name not in CONVNEXT_VARIANTS:
        raise UserError(
            f"'model' must be a ConvNeXt known here (got {name!r}); {did_you_mean(name, CONVNEXT_VARIANTS)}"
        )
