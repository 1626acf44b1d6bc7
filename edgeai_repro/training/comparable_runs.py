"""Training runs that may be compared, because they share a model and a budget, and the answers that they give.

The runs of one group differ only in how they were compressed, in their start, and in the seed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from edgeai_repro.claims.paper_info import FullScale
from edgeai_repro.claims.registry import UNCOMPRESSED
from edgeai_repro.claims.schema import Claim
from edgeai_repro.evidence.measurement import Measurement, Setting, Settings
from edgeai_repro.evidence.trained_run import IMAGENET, SCRATCH, TrainedRun
from edgeai_repro.training.metrics import TRAINED, Answer, NotEvaluatedError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# Metrics that a longer retraining could only raise.
RAISED_BY_EFFORT = ("accuracy", "accuracy_change")
# The test images that a run's model gets right under a technique and its settings, None if that is unknown.
Evaluator = Callable[["TrainedRun", str, Settings], "NDArray[np.bool_] | None"]


@dataclass(frozen=True)
class ComparableRuns:
    """Runs that may be compared, and how they are evaluated: "live" from their weights, or as "recorded"."""

    runs: Sequence[TrainedRun]
    source: Literal["live", "recorded"]
    evaluate: Evaluator
    _rows: dict[str, list[Measurement]] = field(default_factory=dict, init=False, compare=False, repr=False)
    _covered: dict[str, bool] = field(default_factory=dict, init=False, compare=False, repr=False)

    @cached_property
    def techniques(self) -> set[str]:
        """The techniques under which the runs were evaluated when they were recorded."""
        return {evaluation.technique for run in self.runs for evaluation in run.record.evaluations}

    @cached_property
    def model(self) -> str:
        """The model of all the runs."""
        return str(self.runs[0].recipe["model"])

    def rows(self, claim: Claim, full: FullScale) -> list[Measurement]:
        """Return the rows of a claim, none if the runs lack something that the claim needs."""
        return self.full_scale_rows(claim, full) or self.reduced_scale_rows(claim, full)

    def full_scale_rows(self, claim: Claim, full: FullScale) -> list[Measurement]:
        """Return the rows of a claim if they count as the paper's scale, else none.

        Rows of a shorter retraining count if they lie inside the band of a one-sided claim all the same.
        """
        is_full = self.is_full_scale(claim, full)
        if not is_full and not self._lacks_only_effort(claim, full):
            return []
        rows = self._measured(claim, full, is_full=True)
        inside = all(claim.locate(row.reported.low, row.reported.high) == "inside" for row in rows)
        return rows if is_full or inside else []

    def reduced_scale_rows(self, claim: Claim, full: FullScale) -> list[Measurement]:
        """Return the rows of a claim if they do not count as the paper's scale, else none."""
        if self.is_full_scale(claim, full) or self.full_scale_rows(claim, full):
            return []
        return self._measured(claim, full, is_full=False)

    def _measured(self, claim: Claim, full: FullScale, *, is_full: bool) -> list[Measurement]:
        settings = claim.settings if is_full else self._recorded_settings(claim)
        claim = claim.model_copy(update={"settings": settings, "choice": None})
        start = full.init if is_full else None
        # All that the rows depend on: many claims ask for the same ones.
        key = repr((claim.metric, claim.technique, claim.settings, claim.conditions, start))
        if key not in self._rows:
            selector = self._selector(full if is_full else None)
            scale = "full" if is_full else "reduced"
            self._rows[key] = [
                row.model_copy(update={"source": self.source, "scale": scale})
                for row in TRAINED.functions[claim.metric](selector, claim, self.model)
            ]
        return self._rows[key]

    def is_full_scale(self, claim: Claim, full: FullScale) -> bool:
        """Return whether a run has a model of the claim, the paper's budget, and a dense network as good as its."""
        if self.model not in claim.models:
            return False
        key = repr(full)
        if key not in self._covered:
            covers = any(full.covers({**run.recipe, "init": run.init}) for run in self.runs)
            self._covered[key] = covers and self._dense_reaches(full)
        return self._covered[key]

    def _dense_reaches(self, full: FullScale) -> bool:
        """Return whether the dense networks may be as accurate as the paper's, by their intervals.

        A weaker one was trained less. Retraining then raises the pruned network above it, and pruning seems free.
        """
        from edgeai_repro.evidence.statistics import wilson  # not at the top: it imports scipy

        printed = full.dense_top1.get(self.model, 0.0)
        evaluations = [evaluation for run in self.runs for evaluation in run.record.evaluations]
        dense = [evaluation for evaluation in evaluations if evaluation.technique == UNCOMPRESSED]
        return all(wilson(evaluation.successes, evaluation.n).high >= printed for evaluation in dense)

    def _lacks_only_effort(self, claim: Claim, full: FullScale) -> bool:
        """Return whether only epochs of retraining are missing, for a claim that more of them could only support.

        Training a dense model shorter, too, would flatter a change of accuracy. So all runs must have cut filters
        from trained weights, and are compared with these.
        """
        one_sided = claim.band.side == "at_least" and claim.metric in RAISED_BY_EFFORT
        retrained = all(run.is_retrained for run in self.runs)
        return one_sided and retrained and self.is_full_scale(claim, full.model_copy(update={"epochs": 1}))

    def _recorded_settings(self, claim: Claim) -> dict[str, list[Setting]]:
        """Return the claim's settings, with the recorded values in place of those that should be measured."""
        recorded: defaultdict[str, set[Setting]] = defaultdict(set)
        for run in self.runs:
            for evaluation in run.record.evaluations:
                if evaluation.technique == claim.technique:
                    for name, value in evaluation.settings.items():
                        if not isinstance(value, str):  # another name is no other amount
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


def _numbers_first(value: Setting) -> tuple[bool, Setting]:
    return isinstance(value, str), value
