"""The model to export: a saved model, the result of a training run, or a named model with random weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from edgeai_repro.claims.registry import UNCOMPRESSED
from edgeai_repro.compress import saved_models
from edgeai_repro.data import cifar
from edgeai_repro.data.transforms import MEAN, STD
from edgeai_repro.edge.manifest import Origin
from edgeai_repro.errors import UserError, did_you_mean
from edgeai_repro.evidence.measurement import Setting
from edgeai_repro.evidence.trained_run import TrainedRun
from edgeai_repro.evidence.training_record import RESULT, load_record
from edgeai_repro.files import is_file, is_folder
from edgeai_repro.networks import convnext
from edgeai_repro.networks.variants import CONVNEXT_VARIANTS

PRUNED = "structured_pruning"
CLASSES = 10  # of a ConvNeXt that is built by name
# Layer scale for random weights. At ConvNeXt's default of 1e-6 the blocks barely affect the output, so checks of
# outputs would be blind.
VISIBLE_LAYER_SCALE = 0.1


@dataclass(frozen=True)
class ModelSource:
    """A network in fp32 to export: its name, technique and settings, and the origin of its weights.

    `classes` is its number of logits (None: a ConvNeXt's own); `mean` and `std` normalise its input.
    """

    name: str
    network: nn.Module
    technique: str
    settings: Mapping[str, Setting]
    resolution: int
    origin: Origin
    classes: int | None = None
    mean: tuple[float, float, float] = MEAN
    std: tuple[float, float, float] = STD

    @property
    def is_convnext(self) -> bool:
        """Whether the network is torchvision's ConvNeXt, which `convnext.build` can build again."""
        return self.name in CONVNEXT_VARIANTS

    @property
    def stem_stride(self) -> int | None:
        """The stride of a ConvNeXt's stem, None for any other network."""
        return convnext.stem_stride(self.network) if self.is_convnext else None

    @property
    def hidden_widths(self) -> tuple[int, ...]:
        """The hidden widths of a ConvNeXt's blocks; none for any other network."""
        return tuple(convnext.hidden_widths(self.network)) if self.is_convnext else ()

    @property
    def num_classes(self) -> int:
        """The number of logits."""
        return self.classes or convnext.num_classes(self.network)

    @property
    def format(self) -> str:
        """The name, input and output of the network as text. The dense and the pruned source must share them."""
        size = f"{self.resolution} pixels and {self.num_classes} classes"
        return f"{self.name} for {size}, stem stride {self.stem_stride}"


def read_source(given: str, *, classes: int | None = None, resolution: int | None = None) -> ModelSource:
    """Return the model of a saved model's folder or a training run's folder, or a named model with random weights.

    `classes` and `resolution` are those of a named model (None: 10 and 32). Raises UserError for anything else,
    and for a model that is quantized or has zeroed weights.
    """
    folder = Path(given)
    if is_file(folder / RESULT):
        return _trained(folder)
    if is_folder(folder):
        return _saved(folder)
    if given not in CONVNEXT_VARIANTS:
        raise UserError(
            "'source' must be the name of a model, or the folder of a saved model or training run "
            f"(got {given!r}); {did_you_mean(given, CONVNEXT_VARIANTS)}"
        )
    return random_source(given, classes=classes, resolution=resolution)


def _trained(folder: Path) -> ModelSource:
    """Return the model of a training run's folder."""
    from edgeai_repro.training.grading import load

    record = load_record(folder / RESULT)
    recipe = record.recipe
    if recipe["unstructured"] is not None:
        raise UserError(f"{folder}: must be dense or structurally pruned (got zeroed weights); name another run")
    target = recipe["structured"]
    return ModelSource(
        name=str(recipe["model"]),
        network=load(TrainedRun(folder.name, folder, record)),
        technique=UNCOMPRESSED if target is None else PRUNED,
        settings={} if target is None else {"target": target},
        resolution=int(recipe["resolution"] or cifar.SIDE),
        origin=Origin(sha256=record.weights_sha256, recipe=recipe),
    )


def _saved(folder: Path) -> ModelSource:
    """Return the model of a saved model's folder."""
    saved = saved_models.read(folder)
    if saved.engine is not None or saved.technique not in (UNCOMPRESSED, PRUNED):
        raise UserError(
            f"{folder}: must hold fp32 weights, dense or structurally pruned (got {saved.technique}); "
            "name the saved model that it was made from"
        )
    return ModelSource(
        name=saved.model,
        network=saved_models.load(folder),
        technique=saved.technique,
        settings={name: value for name, value in saved.settings.items() if value is not None},
        resolution=saved.resolution,
        origin=Origin(sha256=saved.weights_sha256),
    )


def random_source(
    name: str, like: ModelSource | None = None, *, classes: int | None = None, resolution: int | None = None
) -> ModelSource:
    """Return a dense model with random weights, all of which affect the output.

    `like` is a model that has the same input and number of classes; else these are `resolution` and `classes`
    (None: 32 and 10).
    """
    if like is not None:
        classes, resolution = like.num_classes, like.resolution
    stem_stride = 4 if like is None else convnext.stem_stride(like.network)
    network = convnext.build(name, num_classes=classes or CLASSES, stem_stride=stem_stride)
    for parameter_name, parameter in network.named_parameters():
        if parameter_name.endswith("layer_scale"):
            parameter.detach().fill_(VISIBLE_LAYER_SCALE)
    return ModelSource(name, network, UNCOMPRESSED, {}, resolution or cifar.SIDE, Origin(sha256=None))
