"""Evaluates trained models live: the weights of a run's folder, compressed, on all test images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import nn

from edgeai_repro.claims.registry import TECHNIQUES, UNCOMPRESSED
from edgeai_repro.compress import saved_models
from edgeai_repro.compress.quantization import quantize
from edgeai_repro.compress.techniques import Variant, apply
from edgeai_repro.data.cifar import CIFAR10, load_split
from edgeai_repro.errors import UserError
from edgeai_repro.evidence.measurement import Settings
from edgeai_repro.evidence.trained_run import TrainedRun
from edgeai_repro.evidence.training_record import RESULT, WEIGHTS, load_record
from edgeai_repro.measure.accuracy import evaluate
from edgeai_repro.networks import cifar, convnext
from edgeai_repro.networks.tensor_files import fill
from edgeai_repro.networks.variants import CIFAR_NETWORKS
from edgeai_repro.training.initial_weights import read_weights

STRUCTURED = "structured_pruning"  # part of the training with OTOv3: pruning a trained model gives another one


class LiveEvaluator:
    """Evaluates runs on the test images under `data`; each model once under each technique."""

    def __init__(self, data: Path) -> None:
        self._split = load_split(data, "test")
        self._correct: dict[tuple[str, str, tuple[tuple[str, object], ...]], NDArray[np.bool_]] = {}

    def __call__(self, run: TrainedRun, technique: str, settings: Settings) -> NDArray[np.bool_] | None:
        """Return which test images the model gets right, bool (n,); None if the run has another technique."""
        key = (run.record.weights_sha256, technique, tuple(sorted(settings.items())))
        if key not in self._correct:
            model = _compressed(run, technique, settings)
            if model is None:
                return None
            resolution = int(run.record.recipe["resolution"] or 32)
            self._correct[key] = evaluate(model, self._split, resolution=resolution).correct
        return self._correct[key]


def _compressed(run: TrainedRun, technique: str, settings: Settings) -> nn.Module | None:
    """Return the model of a run as it was trained, or with a technique that needs no training applied to it."""
    recipe = run.record.recipe
    if recipe["dataset"] != CIFAR10.name:
        return None
    if recipe.get("filters") is not None:
        return _filter_pruned(run, technique, settings)
    trained, trained_settings = UNCOMPRESSED, {}
    if recipe["structured"] is not None:
        trained, trained_settings = STRUCTURED, {"target": recipe["structured"]}
    elif recipe["unstructured"] is not None:
        trained, trained_settings = "unstructured_pruning", {"sparsity": recipe["unstructured"]}
    if trained != UNCOMPRESSED and trained_settings != settings:
        return None
    if technique == trained:
        return load(run)
    if technique in (UNCOMPRESSED, STRUCTURED) or TECHNIQUES[technique].base != trained:
        return None
    network = load(run)
    return apply(network, technique, settings, {Variant.of("", trained, settings): network})


def _filter_pruned(run: TrainedRun, technique: str, settings: Settings) -> nn.Module | None:
    """Return the retrained network; None for the network before retraining, which only the record has."""
    recipe = run.record.recipe
    retraining = "scratch" if recipe["init"] == "scratch" else "finetuned"
    cut = {"plan": recipe["plan"] or recipe["filters"], "ranking": recipe["ranking"], "retraining": retraining}
    return load(run) if technique == "filter_pruning" and settings == cut else None


def load(run: TrainedRun) -> nn.Module:
    """Rebuild the model of a run. Raises UserError if its weights are not those of its record."""
    recipe = run.record.recipe
    path, hint = run.folder / WEIGHTS, "take the weights of this run"
    weights, _ = read_weights(path)
    widest = max((max(tensor.shape, default=0) for tensor in weights.values()), default=0)
    if max(run.record.hidden_widths, default=0) > widest:  # before memory is taken for them
        raise UserError(f"{path}: must hold the widths of its record (got none over {widest}); {hint}")
    if recipe["model"] in CIFAR_NETWORKS:
        network = cifar.build(str(recipe["model"]), widths=run.record.hidden_widths, seed=None)
        fill(network, weights, path, hint)
        return network
    model: nn.Module = convnext.build(
        str(recipe["model"]),
        stem_stride=int(recipe["stem_stride"] or 4),
        hidden_widths=run.record.hidden_widths,
        seed=None,
    )
    fill(model, weights, path, hint)
    return model


def save_quantized(folder: Path, root: Path) -> Path:
    """Quantize the model of a run's folder dynamically, save it under `root`, and return its folder there.

    Raises UserError if `folder` has no record of a run, or if its weights are not those of the record.
    """
    record = load_record(folder / RESULT)
    recipe = record.recipe
    settings = {name: recipe[name] for name in ("epochs", "seed")}
    technique = "dynamic_quantization"
    if recipe["structured"] is not None:
        settings["target"], technique = recipe["structured"], "combined"
    return saved_models.save(
        quantize(load(TrainedRun(folder.name, folder, record))),
        str(recipe["model"]),
        technique,
        settings,
        resolution=int(recipe["resolution"] or 32),
        root=root,
    )
