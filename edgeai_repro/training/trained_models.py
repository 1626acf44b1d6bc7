"""Answers accuracy claims from trained models. Runs that share a model and a budget may be compared.

The runs of one group differ only in how they were compressed, in their start, and in the seed. Which test images a
model gets right comes from its weights and the test images if they are here, otherwise from the record of its run,
which needs neither torch nor data.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from edgeai_repro.claims.schema import Claim, ClaimCase, FullScale
from edgeai_repro.errors import MissingRequirement
from edgeai_repro.evidence.measurement import Measured, Measurement, Obstacle, Setting, Settings
from edgeai_repro.evidence.store import read_folder
from edgeai_repro.evidence.trained_run import IMAGENET, SCRATCH, TrainedRun
from edgeai_repro.evidence.training_record import RESULT, load_record
from edgeai_repro.measure.compressed_models import models_left_out
from edgeai_repro.training.metrics import TRAINED, Answer, NotEvaluatedError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# The test images that a run's model gets right under a technique and its settings, None if that is unknown.
Evaluator = Callable[["TrainedRun", str, Settings], "NDArray[np.bool_] | None"]


@dataclass(frozen=True)
class ComparableRuns:
    """Runs that may be compared, and how they are evaluated: "live" from their weights, or as "recorded"."""

    runs: Sequence[TrainedRun]
    source: Literal["live", "recorded"]
    evaluate: Evaluator

    @property
    def model(self) -> str:
        """The model of all the runs."""
        return str(self.runs[0].recipe["model"])

    def rows(self, claim: Claim, full: FullScale) -> list[Measurement]:
        """Return the rows of a claim, none if the runs lack something that the claim needs."""
        is_full = self.is_full_scale(claim, full)
        settings = claim.settings if is_full else self._recorded_settings(claim)
        claim = claim.model_copy(update={"settings": settings, "choice": None})
        selector = self._selector(full if is_full else None)
        scale = "full" if is_full else "reduced"
        return [
            row.model_copy(update={"source": self.source, "scale": scale})
            for row in TRAINED.functions[claim.metric](selector, claim, self.model)
        ]

    def is_full_scale(self, claim: Claim, full: FullScale) -> bool:
        """Return whether a run has a model of the claim and at least the paper's budget."""
        return self.model in claim.models and any(
            full.covers({**run.recipe, "init": run.init}) for run in self.runs
        )

    def _recorded_settings(self, claim: Claim) -> dict[str, list[Setting]]:
        """Return the claim's settings, with the recorded values in place of those that should be measured."""
        recorded: defaultdict[str, set[Setting]] = defaultdict(set)
        for run in self.runs:
            for evaluation in run.record.evaluations:
                if evaluation.technique == claim.technique:
                    for name, value in evaluation.settings.items():
                        recorded[name].add(value)
        return {
            name: sorted(recorded[name], key=_numbers_first) if name in recorded else values
            for name, values in claim.settings.items()
        }

    def _selector(self, full: FullScale | None) -> RunSelector:
        """Return the selector of the runs that started as the paper's; of those from scratch at reduced scale.

        At reduced scale, runs from weights count if there are none from scratch.
        """
        inits = {run.init for run in self.runs}
        preferred = [full.init, IMAGENET] if full else [IMAGENET]
        pretrained = next((init for init in preferred if init in inits - {SCRATCH}), "weights")
        if full:
            return RunSelector(self, full.init, pretrained)
        return RunSelector(self, SCRATCH if SCRATCH in inits else pretrained, pretrained)


@dataclass(frozen=True)
class RunSelector:
    """Answers accuracy metrics from those runs that started in one way."""

    group: ComparableRuns
    init: str
    pretrained: str

    def correct(self, model: str, technique: str, settings: Settings, init: str | None = None) -> Answer:
        """Return which test images were right, by seed. Raises NotEvaluatedError if no run matches.

        If two runs have the same seed, because they pruned at different times, the worse one counts.
        """
        wanted = {None: self.init, SCRATCH: SCRATCH, "pretrained": self.pretrained}[init]
        by_seed: dict[int, NDArray[np.bool_]] = {}
        runs: dict[int, TrainedRun] = {}
        for run in self.group.runs:
            correct = self.group.evaluate(run, technique, settings) if run.init == wanted else None
            if correct is not None and (run.seed not in by_seed or correct.sum() < by_seed[run.seed].sum()):
                by_seed[run.seed], runs[run.seed] = correct, run
        if not by_seed:
            raise NotEvaluatedError(f"{technique} {settings} of {model}")
        return Answer(by_seed, runs)


class TrainedModels:
    """The source of accuracy rows: live runs under `EDGEAI_MODELS`, and recorded runs of an evidence folder.

    `models` are those that the run of the claims is restricted to (None: all). With `recorded_only`, nothing is
    evaluated live.
    """

    def __init__(self, evidence: Path, *, models: Sequence[str] | None = None, recorded_only: bool = False) -> None:
        self._evidence = evidence
        self._models = models
        self._recorded_only = recorded_only

    def check(self) -> None:
        """Read the evidence, before anything is measured. Raises UserError if a file was changed."""
        _ = self.recorded

    @cached_property
    def recorded(self) -> list[ComparableRuns]:
        """The recorded runs, in groups. Raises UserError if a file of the evidence was changed."""
        return self._selected(recorded_runs(self._evidence))

    @cached_property
    def live(self) -> list[ComparableRuns]:
        """The live runs, in groups. Raises MissingRequirement if there are no data."""
        if self._recorded_only:
            return []
        from edgeai_repro.compress.saved_models import default_root
        from edgeai_repro.data.cifar import data_folder

        return self._selected(live_runs(default_root(), data_folder()))

    def measure(self, case: ClaimCase) -> Measured:
        """Return the rows at full scale, live or else recorded, and then the recorded ones at reduced scale."""
        reduced = tuple(_rows(self.recorded, case, at_full_scale=False))
        named = {*case.claim.models, *case.claim.also_shown}
        if self._models is not None and named.isdisjoint(self._models):
            return Measured(reduced, models_left_out(case.claim))
        obstacle = _no_weights(case)
        try:
            full = _rows(self.live, case, at_full_scale=True)
        except MissingRequirement as missing:
            full, obstacle = [], Obstacle(missing.requirement, missing.remedy)
        full = full or _rows(self.recorded, case, at_full_scale=True)
        return Measured((*full, *reduced), None if full else obstacle)

    def _selected(self, groups: Sequence[ComparableRuns]) -> list[ComparableRuns]:
        return [group for group in groups if self._models is None or group.model in self._models]


def recorded_evaluation(run: TrainedRun, technique: str, settings: Settings) -> NDArray[np.bool_] | None:
    """Return the recorded correctness of a run, None if its record has no such evaluation."""
    for evaluation in run.record.evaluations:
        if (evaluation.technique, evaluation.settings) == (technique, settings):
            return evaluation.bits()
    return None


def recorded_runs(folder: Path) -> list[ComparableRuns]:
    """Return the runs of an evidence folder, in groups. Raises UserError if one of its files was changed."""
    runs = [TrainedRun(name, folder, record) for name, record in read_folder(folder).items()]
    return _groups(runs, "recorded", recorded_evaluation)


def live_runs(root: Path, data: Path) -> list[ComparableRuns]:
    """Return the runs under `root`, in groups, to be evaluated on the test images under `data`."""
    folders = sorted(path.parent for path in root.glob(f"*/{RESULT}"))
    runs = [TrainedRun(folder.name, folder, load_record(folder / RESULT)) for folder in folders]
    if not runs:
        return []
    from edgeai_repro.training.grading import LiveEvaluator

    return _groups(runs, "live", LiveEvaluator(data))


def _numbers_first(value: Setting) -> tuple[bool, Setting]:
    return isinstance(value, str), value


def _rows(groups: Iterable[ComparableRuns], case: ClaimCase, *, at_full_scale: bool) -> list[Measurement]:
    full = case.paper.full_scale
    if full is None:
        raise ValueError(f"{case.id}: 'full_scale' of the paper is missing")
    chosen = [group for group in groups if group.is_full_scale(case.claim, full) == at_full_scale]
    return [row for group in chosen for row in group.rows(case.claim, full)]


def _no_weights(case: ClaimCase) -> Obstacle:
    """Return the obstacle of a claim without trained models at full scale, with the command that trains them."""
    claim, full = case.claim, case.paper.full_scale
    model = claim.models[0]
    targets = " or ".join(map(str, claim.settings.get("target", [])))
    both = f", without and with --structured {targets}" if targets else ""
    sweep = " --sweep" if "sparsity" in claim.settings else ""
    scale = f" --init {full.init} --epochs {full.epochs}" if full else ""
    return Obstacle(
        "weights",
        f"no {model} trained at full scale is here; run `edgeai-repro train {model}{scale}{sweep}`{both}",
    )


def _groups(
    runs: Sequence[TrainedRun], source: Literal["live", "recorded"], evaluate: Evaluator
) -> list[ComparableRuns]:
    by_key: defaultdict[Any, list[TrainedRun]] = defaultdict(list)
    for run in runs:
        by_key[run.comparison_key].append(run)
    return [ComparableRuns(group, source, evaluate) for group in by_key.values()]
