"""The weights that a training run starts from."""

from __future__ import annotations

import hashlib
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor
from torchvision.models import get_model_weights

from edgeai_repro.errors import UserError
from edgeai_repro.evidence.training_record import RESULT, load_record
from edgeai_repro.networks import convnext
from edgeai_repro.training.recipe import Recipe


def starting_weights(recipe: Recipe, classes: int) -> tuple[dict[str, Tensor], str | None]:
    """Return the `state_dict` that `recipe` starts from, and the sha256 of its file where it is one.

    It is empty for a start from scratch, and without the classifier's head where that has other classes. Raises
    UserError where the file is damaged, not what its manifest says, or of another model.
    """
    if recipe.init == "scratch":
        return {}, None
    if recipe.init == "imagenet":
        state, digest = dict(get_model_weights(recipe.model).DEFAULT.get_state_dict(check_hash=True)), None
    else:
        state, digest = read_weights(Path(recipe.init))
    reference = convnext.build(
        recipe.model, num_classes=classes, stem_stride=recipe.stem_stride, seed=None
    ).state_dict()
    head = [name for name in reference if name.startswith("classifier.2.")]
    if all(name in state and state[name].shape[0] != classes for name in head):
        state = {name: value for name, value in state.items() if name not in head}
    for name in reference.keys() | state.keys():
        if name in head and name not in state:
            continue
        if name not in state or name not in reference or state[name].shape != reference[name].shape:
            raise UserError(
                f"'init' must be the weights of an unpruned {recipe.model} with stem stride {recipe.stem_stride} "
                f"(got {recipe.init!r}, which differs in {name!r}); name a file of that model"
            )
    return state, digest


def read_weights(path: Path) -> tuple[dict[str, Tensor], str]:
    """Return a safetensors `state_dict` and its sha256, held against the manifest beside it if there is one."""
    try:
        content = path.read_bytes()  # once: what is hashed is what is loaded
        digest, state = hashlib.sha256(content).hexdigest(), load(content)
    except (OSError, SafetensorError) as error:
        raise UserError(f"{str(path)!r} must be a safetensors file ({error}); fetch it again") from None
    manifest = path.parent / RESULT
    if manifest.is_file():
        expected = load_record(manifest).weights_sha256
        if expected != digest:
            raise UserError(
                f"{str(path)!r} must have its manifest's sha256 {expected[:12]}… (got {digest[:12]}…); "
                "fetch it again"
            )
    return state, digest
