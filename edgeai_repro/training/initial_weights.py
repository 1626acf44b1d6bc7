"""The network that a training run starts with, and its weights."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from torch import Tensor, nn
from torch.hub import get_dir
from torchvision.models import get_model_weights

from edgeai_repro.checksums import read_verified
from edgeai_repro.compress.filter_pruning import Ranking, kept_counts, prune_filters, resized
from edgeai_repro.errors import UserError, Whole, brief
from edgeai_repro.evidence.training_record import RESULT, load_record
from edgeai_repro.files import is_file
from edgeai_repro.networks import cifar, convnext
from edgeai_repro.networks.resnet_cifar import ResNetCifar
from edgeai_repro.networks.tensor_files import difference, tensors_of
from edgeai_repro.networks.vgg_cifar import VggCifar
from edgeai_repro.training.recipe import Recipe, parse_rates

CONVNEXT_HEAD = "classifier.2."
COUNTER = "num_batches_tracked"  # BatchNorm's, which many published files leave out


@dataclass(frozen=True)
class Start:
    """The network that a run trains, and the unpruned one if filters of trained weights were removed."""

    model: nn.Module
    unpruned: nn.Module | None
    init_sha256: str | None


def start(recipe: Recipe, classes: int) -> Start:
    """Return the network that `recipe` trains, with its starting weights.

    A classifier with another number of classes gets random weights. Raises UserError if the file of `init` is
    damaged, differs from its record or belongs to another network, and if a rate of filters would empty a layer.
    """
    digest = None
    model = _network(recipe, classes, seed=recipe.seed)
    if recipe.init != "scratch":
        state, digest = _state(recipe)
        model.load_state_dict(_checked(state, model, recipe), strict=False)
    if recipe.filters is None:
        return Start(model, None, digest)
    assert isinstance(model, ResNetCifar | VggCifar), "checked by the recipe"
    rates = parse_rates(recipe.filters)
    if recipe.init == "scratch":  # random weights: it makes no difference which filters are kept
        return Start(resized(model, kept_counts(model, rates), seed=recipe.seed), None, None)
    ranking = cast(Ranking, recipe.ranking)
    return Start(prune_filters(model, rates, ranking=ranking, seed=recipe.seed), model, digest)


def _network(recipe: Recipe, classes: int, seed: int | None) -> nn.Module:
    if recipe.is_convnext:
        network: nn.Module = convnext.build(
            recipe.model, num_classes=classes, stem_stride=recipe.stem_stride, seed=seed
        )
        return network
    return cifar.build(recipe.model, widths=recipe.width_list, classes=classes, seed=seed)


def _state(recipe: Recipe) -> tuple[dict[str, Tensor], str | None]:
    """Return the `state_dict` of a recipe's `init`, and the sha256 of its file if it is one."""
    if recipe.init == "imagenet":
        return _imagenet(recipe.model), None
    return read_weights(Path(recipe.init))


def _imagenet(model: str) -> dict[str, Tensor]:
    """Return torchvision's weights of a model, from torch's cache or the network. Raises UserError offline."""
    weights = get_model_weights(model).DEFAULT
    try:
        return dict(weights.get_state_dict(check_hash=True))
    except (OSError, RuntimeError) as error:  # offline, or another file's hash
        file = Path(get_dir()) / "checkpoints" / Path(weights.url).name
        problem = f"'init' imagenet must be downloadable (got {brief(error)}); "
        remedy = f"put {weights.url} at {file}, or name a safetensors file with --init=FILE"
        raise UserError(Whole(problem + remedy)) from None


def _checked(state: dict[str, Tensor], model: nn.Module, recipe: Recipe) -> dict[str, Tensor]:
    """Return the part of a `state_dict` that `model` takes. Raises UserError unless it is of the same network."""
    reference = {name: value for name, value in model.state_dict().items() if not name.endswith(COUNTER)}
    state = {name: value for name, value in state.items() if not name.endswith(COUNTER)}
    prefix = CONVNEXT_HEAD if recipe.is_convnext else cifar.HEADS[recipe.model]
    head = [name for name in reference if name.startswith(prefix)]
    if all(name in state and state[name].shape[:1] != reference[name].shape[:1] for name in head):
        state = {name: value for name, value in state.items() if name not in head}
        reference = {name: value for name, value in reference.items() if name not in head}
    if problem := difference(state, reference):
        stem = f" with stem stride {recipe.stem_stride}" if recipe.is_convnext else ""
        raise UserError(
            f"'init' must be the weights of an unpruned {recipe.model}{stem} "
            f"(got {recipe.init!r}, which differs: {problem}); name a file of that model"
        )
    return state


def read_weights(path: Path) -> tuple[dict[str, Tensor], str]:
    """Return a safetensors `state_dict` and its sha256, which a record next to the file must confirm."""
    recorded = path.parent / RESULT
    expected = load_record(recorded).weights_sha256 if is_file(recorded) else None
    content = read_verified(path, expected, "fetch it again")
    return tensors_of(content, path, "fetch it again"), hashlib.sha256(content).hexdigest()
