"""Trained models, compared: runs of one model at one budget make a study, and a study answers accuracy claims.

A study's runs differ only in how they were compressed, where they started, and the seed. What each model got right
comes from its weights and the test images where they are here, else from the record of its run, which needs neither
torch nor data.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from edgeai_repro.claims.registry import METRICS, Settings
from edgeai_repro.claims.schema import Claim, FullScale, Paper
from edgeai_repro.errors import MissingRequirement
from edgeai_repro.evidence.measurement import Measurement, Setting
from edgeai_repro.evidence.store import read_folder
from edgeai_repro.evidence.training_record import RESULT, TrainingRecord, load_record
from edgeai_repro.training.metrics import NotEvaluatedError
from edgeai_repro.training.recipe import Recipe

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

NOT_COMPARED = (
    *("structured", "unstructured", "seed", "init", "prune_from", "prune_until", "prune_periods"),
    *("plan", "filters", "ranking"),
)
# What recipes of before these values existed stand for.
ADDED = {entry.name: entry.default for entry in fields(Recipe) if entry.default is not MISSING}
# A longer training could only do better by these metrics.
BY_EFFORT = ("accuracy", "accuracy_change")
SCRATCH, IMAGENET = "scratch", "imagenet"
# Which test images a run's model gets right under a technique and its settings; None where that can't be told.
Evaluator = Callable[["TrainedRun", str, Settings], "NDArray[np.bool_] | None"]


@dataclass(frozen=True)
class TrainedRun:
    """A training run: its name, where its files are, and its record."""

    name: str
    folder: Path
    record: TrainingRecord

    @property
    def seed(self) -> int:
        """The seed of weights, order and augmentation."""
        return int(self.record.recipe["seed"] or 0)

    @property
    def init(self) -> str:
        """Where it started: from "scratch", from those of "imagenet", or from other "weights"."""
        init = str(self.record.recipe["init"])
        return init if init in (SCRATCH, IMAGENET) else "weights"

    @property
    def is_finetuned(self) -> bool:
        """Whether single weights were cut and the others trained on: a budget beyond that of the dense model."""
        return self.record.recipe["unstructured"] is not None

    @property
    def comparison_key(self) -> tuple[Any, ...]:
        """What all runs of a study share: the recipe but for what is varied, and the data."""
        values = {**ADDED, **self.record.recipe}
        recipe = sorted((name, value) for name, value in values.items() if name not in NOT_COMPARED)
        return *recipe, self.is_finetuned, *sorted(self.record.data_sha256.items())


@dataclass(frozen=True)
class Study:
    """Comparable runs, and how they are graded: "live" from weights, or as "recorded"."""

    runs: Sequence[TrainedRun]
    source: Literal["live", "recorded"]
    grade: Evaluator

    @property
    def model(self) -> str:
        """The model that all its runs are of."""
        return str(self.runs[0].record.recipe["model"])

    def rows(self, claim: Claim, full: FullScale) -> list[Measurement]:
        """Return a claim's rows by this study, none where it lacks what the claim asks for."""
        return self.full_scale_rows(claim, full) or self.reduced_scale_rows(claim, full)

    def full_scale_rows(self, claim: Claim, full: FullScale) -> list[Measurement]:
        """Return a claim's rows if they count as the paper's scale, else none.

        Those of a shorter retraining count if they lie inside of the band of a one-sided claim all the same.
        """
        is_full = self.is_full(claim, full)
        if not is_full and not self._lacks_only_effort(claim, full):
            return []
        rows = self._measured(claim, full, is_full=True)
        inside = all(claim.locate(row.reported.low, row.reported.high) == "inside" for row in rows)
        return rows if is_full or inside else []

    def reduced_scale_rows(self, claim: Claim, full: FullScale) -> list[Measurement]:
        """Return a claim's rows if they do not count as the paper's scale, else none."""
        if self.is_full(claim, full) or self.full_scale_rows(claim, full):
            return []
        return self._measured(claim, full, is_full=False)

    def _measured(self, claim: Claim, full: FullScale, *, is_full: bool) -> list[Measurement]:
        recipe = self.runs[0].record.recipe
        settings = claim.settings if is_full else self._recorded_settings(claim)
        asked = claim.model_copy(update={"settings": settings, "choice": None})
        reading = self._reading(full if is_full else None)
        budget: dict[str, Setting] = {"epochs": int(recipe["epochs"] or 0)}
        if self.runs[0].is_finetuned:
            budget = {"finetuned": f"{recipe['epochs']} epoch{'s' if recipe['epochs'] != 1 else ''}"}
        rows = []
        for row in METRICS[claim.metric].measure(reading, asked, str(recipe["model"])):
            used = reading.taken()
            noted = {
                "params": {**row.params, **budget, "seeds": len({run.seed for run in used})},
                "source": self.source,
                "scale": "full" if is_full else "reduced",
                "evidence": ", ".join(run.name for run in used),
                "seconds": sum(run.record.seconds for run in used),
            }
            rows.append(row.model_copy(update=noted))
        return rows

    def is_full(self, claim: Claim, full: FullScale) -> bool:
        """Tell whether the study is at the scale of the paper: a model of the claim, trained as asked or longer."""
        return self._is_of_the_paper(claim, full) and int(self.runs[0].record.recipe["epochs"] or 0) >= full.epochs

    def _lacks_only_effort(self, claim: Claim, full: FullScale) -> bool:
        """Tell whether only epochs of retraining are missing, for a claim that more of them could only support.

        Training a dense model shorter, too, would flatter a change of accuracy; so only filters that were cut from
        trained weights count, which are compared with these weights.
        """
        one_sided = claim.band.side == "at_least" and claim.metric in BY_EFFORT
        retrained = all(run.record.recipe.get("filters") is not None for run in self.runs)
        return one_sided and retrained and self._is_of_the_paper(claim, full)

    def _is_of_the_paper(self, claim: Claim, full: FullScale) -> bool:
        recipe: Mapping[str, Any] = self.runs[0].record.recipe
        return (
            recipe["model"] in claim.models
            and any(run.init == full.init for run in self.runs)
            and recipe["resolution"] >= full.resolution
            and recipe["stem_stride"] == full.stem_stride
        )

    def _recorded_settings(self, claim: Claim) -> dict[str, list[Setting]]:
        """Return the claim's settings, with what was recorded in the place of what should be measured."""
        recorded: defaultdict[str, set[float]] = defaultdict(set)
        for run in self.runs:
            for evaluation in run.record.evaluations:
                if evaluation.technique == claim.technique:
                    for name, value in evaluation.params.items():
                        if not isinstance(value, str):  # a name is never in the place of another
                            recorded[name].add(value)
        return {
            name: [*sorted(recorded[name])] if name in recorded else values
            for name, values in claim.settings.items()
        }

    def _reading(self, full: FullScale | None) -> _Reading:
        """Return the answers of runs that started as the paper's; below full scale from scratch, where some did."""
        starts = {run.init for run in self.runs}
        wanted = [full.init, IMAGENET] if full else [IMAGENET]
        pretrained = next((start for start in wanted if start in starts - {SCRATCH}), "weights")
        if full:
            return _Reading(self, full.init, pretrained)
        return _Reading(self, SCRATCH if SCRATCH in starts else pretrained, pretrained)


@dataclass(frozen=True)
class _Reading:
    """Answers accuracy metrics as a lab does, by the runs that started in one way, and notes which ones."""

    study: Study
    started: str
    pretrained: str
    answers: list[dict[int, TrainedRun]] = field(default_factory=list)

    def correct(self, model: str, technique: str, settings: Settings) -> dict[int, NDArray[np.bool_]]:
        """Return which test images were right, bool (n,), by seed. Raises UntoldError if no run tells.

        Of two runs with one seed, which differ in when they pruned, the worse counts.
        """
        params = {name: value for name, value in settings.items() if name != "init"}
        starts = {SCRATCH: SCRATCH, "pretrained": self.pretrained}
        started = starts.get(str(settings.get("init")), self.started)
        found: dict[int, NDArray[np.bool_]] = {}
        by: dict[int, TrainedRun] = {}
        for run in self.study.runs:
            graded = self.study.grade(run, technique, params) if run.init == started else None
            if graded is not None and (run.seed not in found or graded.sum() < found[run.seed].sum()):
                found[run.seed], by[run.seed] = graded, run
        if not found:
            self.answers.clear()
            raise NotEvaluatedError(f"{technique} {params} of {model}")
        self.answers.append(by)
        return found

    def taken(self) -> list[TrainedRun]:
        """Return the runs behind a row that was just made: of each answer those with the seeds that all have."""
        seeds = set.intersection(*(set(by) for by in self.answers))
        used = {by[seed].name: by[seed] for by in self.answers for seed in sorted(seeds)}
        self.answers.clear()
        return list(used.values())


class TrainedModels:
    """All studies at hand: live ones of the models under `EDGEAI_ARTEFACTS`, and recorded ones of a folder.

    `models` are those that the run is restricted to (None: all): studies of others are left out.
    """

    def __init__(self, evidence: Path, *, models: Sequence[str] | None = None) -> None:
        self._evidence = evidence
        self._models = models

    def check(self) -> None:
        """Read the evidence. Raises UserError where a file was altered: better before anything runs than after."""
        _ = self.recorded

    @cached_property
    def recorded(self) -> list[Study]:
        """The recorded studies. Raises UserError where a file of the evidence was altered."""
        return self._selected(recorded_studies(self._evidence))

    @cached_property
    def live(self) -> list[Study]:
        """The live studies. Raises ConditionMissing where there are no data."""
        from edgeai_repro.compress.saved_models import default_root
        from edgeai_repro.data.cifar import data_folder

        return self._selected(live_studies(default_root(), data_folder()))

    def rows(self, claim: Claim, paper: Paper) -> list[Measurement]:
        """Return a claim's rows at full scale, live or else recorded, and those beside it.

        Raises ConditionMissing if there are none at full scale, or the run admits none of the claim's models.
        """
        self._check_models(claim)
        try:
            if rows := _full_scale_rows(self.live, claim, paper):
                return [*rows, *self.reduced_scale_rows(claim, paper)]
        except MissingRequirement as missing:
            if not _full_scale_rows(self.recorded, claim, paper):
                raise missing from None
        return self.recorded_rows(claim, paper)

    def recorded_rows(self, claim: Claim, paper: Paper) -> list[Measurement]:
        """Return a claim's recorded rows. Raises ConditionMissing if there are none at full scale."""
        if rows := _full_scale_rows(self.recorded, claim, paper):
            return [*rows, *self.reduced_scale_rows(claim, paper)]
        assert paper.full_scale is not None, "checked where the claims were read"
        raise MissingRequirement("weights", _how_to_train(claim, paper.full_scale))

    def _selected(self, studies: Sequence[Study]) -> list[Study]:
        return [study for study in studies if self._models is None or study.model in self._models]

    def _check_models(self, claim: Claim) -> None:
        named = [*claim.models, *claim.also_shown]
        if self._models is not None and not set(named) & set(self._models):
            raise MissingRequirement("models", f"{', '.join(claim.models)} left out; run without --claims-models")

    def reduced_scale_rows(self, claim: Claim, paper: Paper) -> list[Measurement]:
        """Return what was recorded of a claim at reduced scale: findings beside it."""
        if "weights" not in claim.needs or "edge" in claim.needs:
            return []
        return _rows(self.recorded, claim, paper, at_full_scale=False)


def _full_scale_rows(studies: Iterable[Study], claim: Claim, paper: Paper) -> list[Measurement]:
    return _rows(studies, claim, paper, at_full_scale=True)


def _rows(studies: Iterable[Study], claim: Claim, paper: Paper, *, at_full_scale: bool) -> list[Measurement]:
    full = paper.full_scale
    assert full is not None, "checked where the claims were read"
    rows_of = Study.full_scale_rows if at_full_scale else Study.reduced_scale_rows
    return [row for study in studies for row in rows_of(study, claim, full)]


def _how_to_train(claim: Claim, full: FullScale) -> str:
    """Return which network is missing, and the command that trains it."""
    model = claim.models[0]
    if plans := claim.settings.get("plan"):
        return (
            f"no {model} retrained for {full.epochs} epochs after {plans[0]} is here, and none for fewer epochs "
            f"that holds the claim; train it dense by `edgeai-repro train {model} --recipe li2017-train`, then by "
            f"`edgeai-repro train {model} --recipe li2017-retrain --plan {plans[0]} --init weights.safetensors`"
        )
    pruned = " or ".join(map(str, claim.settings.get("target", [])))
    both = f", dense and with --structured {pruned}," if pruned else ""
    sweep = " --sweep" if "sparsity" in claim.settings else ""
    return (
        f"no {model} trained at full scale is here; train it{both} by "
        f"`edgeai-repro train {model} --init {full.init} --epochs {full.epochs}{sweep}`"
    )


def recorded(run: TrainedRun, technique: str, settings: Settings) -> NDArray[np.bool_] | None:
    """Grade by a run's record."""
    for evaluation in run.record.evaluations:
        if (evaluation.technique, evaluation.params) == (technique, settings):
            return evaluation.bits()
    return None


def recorded_studies(folder: Path) -> list[Study]:
    """Return the studies of an evidence folder. Raises UserError where one of its files isn't what was listed."""
    runs = [TrainedRun(name, folder, record) for name, record in read_folder(folder).items()]
    return _studies(runs, "recorded", recorded)


def live_studies(root: Path, data: Path) -> list[Study]:
    """Return the studies of the trained models under `root`, graded on the test images under `data`."""
    from edgeai_repro.training.grading import LiveEvaluator

    folders = sorted(path.parent for path in root.glob(f"*/{RESULT}"))
    runs = [TrainedRun(folder.name, folder, load_record(folder / RESULT)) for folder in folders]
    return _studies(runs, "live", LiveEvaluator(data)) if runs else []


def _studies(runs: Sequence[TrainedRun], source: Literal["live", "recorded"], grade: Evaluator) -> list[Study]:
    by_recipe: defaultdict[Any, list[TrainedRun]] = defaultdict(list)
    for run in runs:
        by_recipe[run.comparison_key].append(run)
    return [Study(group, source, grade) for group in by_recipe.values()]
