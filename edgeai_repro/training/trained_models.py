"""Answers accuracy claims from trained models.

Which test images a model gets right comes from its weights and the test images if they are here, otherwise from the
record of its run, which needs neither torch nor data.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from edgeai_repro.claims.paper_info import FullScale
from edgeai_repro.claims.schema import ClaimCase
from edgeai_repro.errors import MissingRequirement
from edgeai_repro.evidence.measurement import Measured, Measurement, Obstacle, Settings
from edgeai_repro.evidence.store import read_folder
from edgeai_repro.evidence.trained_run import TrainedRun
from edgeai_repro.evidence.training_record import RESULT, load_record
from edgeai_repro.measure.compressed_models import models_left_out
from edgeai_repro.training.comparable_runs import ComparableRuns, Evaluator

SHOWN = 6  # rows at reduced scale of a claim; they decide nothing

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class TrainedModels:
    """The source of accuracy rows: live runs under `EDGEAI_MODELS`, and recorded runs of an evidence folder.

    `models` are those that the run of the claims is restricted to (None: all). With `recorded_only`, nothing is
    evaluated live.
    """

    def __init__(self, evidence: Path, *, models: Sequence[str] | None = None, recorded_only: bool = False) -> None:
        self._evidence = evidence
        self._models = models
        self._recorded_only = recorded_only
        self._with_technique: dict[str, list[ComparableRuns]] = {}

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
        recorded = self._recorded_with(case.claim.technique)
        reduced = tuple(_reduced_rows(recorded, case))
        named = {*case.claim.models, *case.claim.also_shown}
        if self._models is not None and named.isdisjoint(self._models):
            return Measured(reduced, models_left_out(case.claim))
        obstacle = _no_weights(case)
        try:
            full = _full_rows(self.live, case)
        except MissingRequirement as missing:
            full, obstacle = [], Obstacle(missing.requirement, missing.remedy)
        full = full or _full_rows(recorded, case)
        return Measured((*full, *reduced), None if full else obstacle)

    def _recorded_with(self, technique: str) -> list[ComparableRuns]:
        """Return the recorded groups that were evaluated under a technique, in their order."""
        if technique not in self._with_technique:
            self._with_technique[technique] = [group for group in self.recorded if technique in group.techniques]
        return self._with_technique[technique]

    def _selected(self, groups: Sequence[ComparableRuns]) -> list[ComparableRuns]:
        return [group for group in groups if self._models is None or group.model in self._models]


def recorded_evaluation(run: TrainedRun, technique: str, settings: Settings) -> NDArray[np.bool_] | None:
    """Return the recorded correctness of a run, None if its record has no such evaluation."""
    try:
        return run.record.evaluation(technique, **settings).bits()
    except KeyError:
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


def _full_rows(groups: Iterable[ComparableRuns], case: ClaimCase) -> list[Measurement]:
    """Return the rows that count as the paper's scale. Only runs of the claim's models do."""
    full, claim = _full_scale(case), case.claim
    return [row for group in groups if group.model in claim.models for row in group.full_scale_rows(claim, full)]


def _reduced_rows(groups: Iterable[ComparableRuns], case: ClaimCase) -> list[Measurement]:
    """Return rows that do not count as the paper's scale and are only shown, at most `SHOWN`, in the groups' order.

    Those of the claim's models and settings come first: there may be a thousand other records.
    """
    full, claim = _full_scale(case), case.claim
    nearest_first = sorted(enumerate(groups), key=lambda numbered: numbered[1].model not in claim.models)
    rows: dict[tuple[int, int], Measurement] = {}  # by the numbers of the group and of the row
    for number, group in nearest_first:
        if len(rows) >= SHOWN:
            break
        rows |= {(number, index): row for index, row in enumerate(group.reduced_scale_rows(claim, full))}

    def differs(place: tuple[int, int]) -> bool:
        return any(rows[place].settings.get(name) not in values for name, values in claim.settings.items())

    return [rows[place] for place in sorted(sorted(rows, key=differs)[:SHOWN])]


def _full_scale(case: ClaimCase) -> FullScale:
    if case.paper.full_scale is None:
        raise ValueError(f"{case.id}: 'full_scale' of the paper is missing")
    return case.paper.full_scale


def _no_weights(case: ClaimCase) -> Obstacle:
    """Return the obstacle of a claim without trained models at full scale, with the command that trains them."""
    claim, full = case.claim, case.paper.full_scale
    model = claim.models[0]
    if full and (plans := claim.settings.get("plan")):
        printed = full.dense_top1.get(model)
        dense = "" if printed is None else f" (its dense network must reach the paper's {printed:g} %)"
        return Obstacle(
            "weights",
            f"no {model} that was retrained for {full.epochs} epochs after {plans[0]} is here, and none for fewer "
            f"epochs that supports the claim{dense}; run `edgeai-repro train {model} --recipe=li2017-train`, "
            f"then `edgeai-repro train {model} --recipe=li2017-retrain --plan={plans[0]} --init=FILE`",
        )
    targets = " or ".join(map(str, claim.settings.get("target", [])))
    both = f", without and with --structured={targets}" if targets else ""
    sweep = " --sweep" if "sparsity" in claim.settings else ""
    scale = f" --init={full.init} --epochs={full.epochs}" if full else ""
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
