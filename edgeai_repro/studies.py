"""Trained models, compared: runs of one model at one budget make a study, and a study answers accuracy claims.

A study's runs differ only in how they were compressed, where they started, and the seed. What each model got right
comes from its weights and the test images where they are here, else from the record of its run, which needs neither
torch nor data.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from edgeai_repro.claims import Claim, FullScale, Paper
from edgeai_repro.documents import sha256, write_text
from edgeai_repro.errors import ConditionMissing, UserError
from edgeai_repro.evidence import Measurement, Parameter
from edgeai_repro.registry import METRICS, Settings
from edgeai_repro.training.record import RESULT, TrainingRecord, load_record

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SUMS = "SHA256SUMS"
VARIED = ("structured", "unstructured", "seed", "init", "prune_from", "prune_until", "prune_periods")
# Which test images a run's model gets right under a technique and its settings; None where that can't be told.
Grade = Callable[["TrainedRun", str, Settings], "NDArray[np.bool_] | None"]


@dataclass(frozen=True)
class TrainedRun:
    """A training run: its name, where its files are, and its record."""

    name: str
    folder: Path
    record: TrainingRecord

    @property
    def started(self) -> str:
        """Whether it started from "scratch" or "pretrained"."""
        return "scratch" if self.record.recipe["init"] == "scratch" else "pretrained"

    @property
    def common(self) -> tuple[tuple[str, Any], ...]:
        """The part of the recipe that all runs of a study share."""
        return tuple((name, value) for name, value in sorted(self.record.recipe.items()) if name not in VARIED)


@dataclass(frozen=True)
class Study:
    """Comparable runs, and how they are graded: "live" from weights, or as "recorded"."""

    runs: Sequence[TrainedRun]
    source: Literal["live", "recorded"]
    grade: Grade

    def rows(self, claim: Claim, full: FullScale) -> list[Measurement]:
        """Return a claim's rows by this study, none where it lacks what the claim asks for."""
        recipe = self.runs[0].record.recipe
        model = str(recipe["model"])
        is_full = model in claim.models and self._reaches(full)
        asked = claim.model_copy(update={"settings": self._settings(claim, is_full), "choice": None})
        # The paper fine-tuned; at reduced scale what is compared starts from scratch, where there is such a run.
        scratch = any(run.started == "scratch" for run in self.runs)
        reading = _Reading(self, "scratch" if scratch and not is_full else "pretrained")
        try:
            rows = list(METRICS[claim.metric].measure(reading, asked, model))
        except _UntoldError:
            return []
        used = [run for run in self.runs if run.name in reading.used]
        noted = {
            "source": self.source,
            "scale": "full" if is_full else "reduced",
            "evidence": ", ".join(run.name for run in used),
            "seconds": sum(run.record.seconds for run in used),
        }
        budget = {"epochs": recipe["epochs"], "seeds": len({run.record.recipe["seed"] for run in used})}
        return [row.model_copy(update={**noted, "params": {**row.params, **budget}}) for row in rows]

    def _reaches(self, full: FullScale) -> bool:
        recipe: Mapping[str, Any] = self.runs[0].record.recipe
        return (
            any(run.record.recipe["init"] == full.init for run in self.runs)
            and recipe["epochs"] >= full.epochs
            and recipe["resolution"] >= full.resolution
            and recipe["stem_stride"] == full.stem_stride
        )

    def _settings(self, claim: Claim, is_full: bool) -> dict[str, list[Parameter]]:
        """Return the claim's settings, with what was recorded in the place of what should be measured."""
        recorded: defaultdict[str, set[float]] = defaultdict(set)
        for run in self.runs:
            for evaluation in run.record.evaluations:
                if evaluation.technique == claim.technique:
                    for name, value in evaluation.params.items():
                        recorded[name].add(value)
        return {
            name: [v for v in sorted(recorded[name]) if not is_full or v in values] if name in recorded else values
            for name, values in claim.settings.items()
        }


@dataclass(frozen=True)
class _Reading:
    """Answers accuracy metrics as a lab does, by the runs that started in one way, and notes which ones."""

    study: Study
    started: str
    used: set[str] = field(default_factory=set)

    def correct(self, model: str, technique: str, settings: Settings) -> dict[int, NDArray[np.bool_]]:
        """Return which test images were right, bool (n,), by seed. Raises _UntoldError if no run tells."""
        params = {name: value for name, value in settings.items() if name != "init"}
        found = {}
        for run in self.study.runs:
            if run.started != settings.get("init", self.started):
                continue
            graded = self.study.grade(run, technique, params)
            if graded is not None:
                found[int(run.record.recipe["seed"] or 0)] = graded
                self.used.add(run.name)
        if not found:
            raise _UntoldError(f"{technique} {params} of {model}")
        return found


class _UntoldError(LookupError):
    """No run of a study tells what a metric asks for."""


class TrainedModels:
    """All studies at hand: live ones of the models under `EDGEAI_ARTEFACTS`, and recorded ones of a folder."""

    def __init__(self, evidence: Path) -> None:
        self._evidence = evidence

    @cached_property
    def recorded(self) -> list[Study]:
        """The recorded studies. Raises UserError where a file of the evidence was altered."""
        return recorded_studies(self._evidence)

    @cached_property
    def live(self) -> list[Study]:
        """The live studies. Raises ConditionMissing where there are no data."""
        from edgeai_repro.artefacts import default_root
        from edgeai_repro.cifar.data import data_folder

        return live_studies(default_root(), data_folder())

    def rows(self, claim: Claim, paper: Paper) -> list[Measurement]:
        """Return a claim's rows at full scale, live or else recorded. Raises ConditionMissing if there are none."""
        try:
            if rows := _full(self.live, claim, paper):
                return rows
        except ConditionMissing as missing:
            if rows := _full(self.recorded, claim, paper):
                return rows
            raise missing from None
        return self.recorded_rows(claim, paper)

    def recorded_rows(self, claim: Claim, paper: Paper) -> list[Measurement]:
        """Return a claim's recorded rows at full scale. Raises ConditionMissing if there are none."""
        if rows := _full(self.recorded, claim, paper):
            return rows
        assert paper.full_scale is not None, "checked where the claims were read"
        model, full = claim.models[0], paper.full_scale
        raise ConditionMissing(
            "weights",
            f"no {model} trained at full scale is here; train it, dense and with --structured 0.8, by "
            f"`edgeai-repro train {model} --init {full.init} --epochs {full.epochs}`",
        )

    def beside(self, claim: Claim, paper: Paper) -> list[Measurement]:
        """Return what was recorded of a claim at reduced scale: findings beside it."""
        if "weights" not in claim.needs or "edge" in claim.needs:
            return []
        return [row for row in _rows(self.recorded, claim, paper) if row.scale == "reduced"]


def _rows(studies: Iterable[Study], claim: Claim, paper: Paper) -> list[Measurement]:
    full = paper.full_scale
    return [] if full is None else [row for study in studies for row in study.rows(claim, full)]


def _full(studies: Iterable[Study], claim: Claim, paper: Paper) -> list[Measurement]:
    return [row for row in _rows(studies, claim, paper) if row.scale == "full"]


def recorded(run: TrainedRun, technique: str, settings: Settings) -> NDArray[np.bool_] | None:
    """Grade by a run's record."""
    for evaluation in run.record.evaluations:
        if (evaluation.technique, evaluation.params) == (technique, settings):
            return evaluation.bits()
    return None


def recorded_studies(folder: Path) -> list[Study]:
    """Return the studies of an evidence folder; none where there is no folder.

    Raises UserError, in one line, where a file was altered since its sum was listed, isn't
    listed, or is missing.
    """
    if not folder.is_dir():
        return []
    listed = dict(_sums(folder / SUMS))
    runs = []
    for path in sorted(folder.glob("*.json")):
        if (found := sha256(path)) != listed.pop(path.name, None):
            raise UserError(
                f"{path}: must have the sha256 that {SUMS} lists (got {found[:12]}…); restore it, or record it anew"
            )
        runs.append(TrainedRun(path.stem, folder, load_record(path)))
    for name in listed:
        raise UserError(f"{folder / name}: must be here, for {SUMS} lists it (got no file); restore it")
    return _studies(runs, "recorded", recorded)


def live_studies(root: Path, data: Path) -> list[Study]:
    """Return the studies of the trained models under `root`, graded on the test images under `data`."""
    from edgeai_repro.measure.trained import Grader

    folders = sorted(path.parent for path in root.glob(f"*/{RESULT}"))
    runs = [TrainedRun(folder.name, folder, load_record(folder / RESULT)) for folder in folders]
    return _studies(runs, "live", Grader(data)) if runs else []


def keep_record(path: Path, folder: Path, name: str) -> Path:
    """Check a training run's record, copy it into an evidence folder as `name`, and list its sha256.

    Raises UserError where the file is no such record.
    """
    load_record(path)
    kept = folder / f"{name}.json"
    write_text(kept, path.read_text(encoding="utf-8"))
    sums = {**dict(_sums(folder / SUMS)), kept.name: sha256(kept)}
    write_text(folder / SUMS, "".join(f"{digest}  {file}\n" for file, digest in sorted(sums.items())))
    return kept


def _studies(runs: Sequence[TrainedRun], source: Literal["live", "recorded"], grade: Grade) -> list[Study]:
    by_recipe: defaultdict[Any, list[TrainedRun]] = defaultdict(list)
    for run in runs:
        by_recipe[run.common].append(run)
    return [Study(group, source, grade) for group in by_recipe.values()]


def _sums(path: Path) -> Iterator[tuple[str, str]]:
    """Yield names and sums of a file in sha256sum's form."""
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            digest, _, name = line.partition("  ")
            yield name, digest
