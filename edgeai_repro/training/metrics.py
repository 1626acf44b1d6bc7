"""The metrics of trained models: accuracy, what compression does to it, and what pre-training gains. No torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

from edgeai_repro.claims.registry import UNCOMPRESSED, Settings, metric
from edgeai_repro.evidence.measurement import Curve, Interval, Measurement

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edgeai_repro.claims.schema import Claim

LEAST_OF_A_TREND = 3  # values: of two, the second always is more or less
CorrectBySeed = Mapping[int, "NDArray[np.bool_]"]  # by seed: which images were right, bool (n,)


class NotEvaluatedError(LookupError):
    """No trained model tells what was asked; a metric then has no row of it."""


class CorrectnessSource(Protocol):
    """What tells which test images a trained model gets right: a reading of live or recorded runs."""

    def correct(self, model: str, technique: str, settings: Settings) -> CorrectBySeed:
        """Return the answer under a technique and its settings, by seed. Raises UntoldError if there is none."""


@metric("accuracy", unit="%")
def accuracy(grades: CorrectnessSource, claim: Claim, model: str) -> Iterator[Measurement]:
    """Top-1 accuracy on the test images, with Wilson's interval."""
    from edgeai_repro.evidence.statistics import wilson

    for settings in claim.settings_for(model):
        with suppress(NotEvaluatedError):
            correct = grades.correct(model, claim.technique, settings)
            intervals = [wilson(int(graded.sum()), len(graded)) for graded in correct.values()]
            yield _estimate(claim, model, settings, intervals, _images(correct))


@metric("accuracy_change", unit="points")
def accuracy_change(grades: CorrectnessSource, claim: Claim, model: str) -> Iterator[Measurement]:
    """Top-1 accuracy less the uncompressed model's, on the same images; in points, or relative to it."""
    from edgeai_repro.evidence.statistics import paired_difference, relative_difference

    for settings in claim.settings_for(model):
        compression = {name: value for name, value in settings.items() if name != "reading"}
        difference = relative_difference if settings.get("reading") == "relative" else paired_difference
        with suppress(NotEvaluatedError):
            baseline = grades.correct(model, UNCOMPRESSED, {})
            compressed = grades.correct(model, claim.technique, compression)
            changes = _paired(difference, baseline, compressed)
            yield _estimate(claim, model, settings, changes, _images(compressed))


@metric("accuracy_trend", unit="τ")
def accuracy_trend(grades: CorrectnessSource, claim: Claim, model: str) -> Iterator[Measurement]:
    """Kendall's tau of sparsity and lost accuracy."""
    from edgeai_repro.evidence.statistics import kendall_trend

    grid = claim.settings_for(model)
    if len(grid) < LEAST_OF_A_TREND:
        return
    sparsities = [float(settings["sparsity"]) for settings in grid]
    with suppress(NotEvaluatedError):
        graded = [grades.correct(model, claim.technique, settings) for settings in grid]
        taus = [
            Interval.exact(-kendall_trend(sparsities, [float(correct[seed].mean()) for correct in graded]).tau)
            for seed in _common(*graded)
        ]
        seen = f"{len(grid)} from {min(sparsities)} to {max(sparsities)}"
        row = _estimate(claim, model, {"sparsities": seen}, taus, _images(graded[0]))
        accuracies = [100 * sum(float(right.mean()) for right in each.values()) / len(each) for each in graded]
        curve = Curve(over="sparsity", unit="%", points=list(zip(sparsities, accuracies, strict=True)))
        yield row.model_copy(update={"curve": curve})


@metric("pretraining_gain", unit="points")
def pretraining_gain(grades: CorrectnessSource, claim: Claim, model: str) -> Iterator[Measurement]:
    """Top-1 accuracy of the compressed model from pre-trained weights, less that of the one from scratch."""
    from edgeai_repro.evidence.statistics import paired_difference

    for settings in claim.settings_for(model):
        with suppress(NotEvaluatedError):
            scratch = grades.correct(model, claim.technique, {**settings, "init": "scratch"})
            pretrained = grades.correct(model, claim.technique, {**settings, "init": "pretrained"})
            gains = _paired(paired_difference, scratch, pretrained)
            yield _estimate(claim, model, settings, gains, _images(pretrained))


def _common(*graded: CorrectBySeed) -> list[int]:
    """Return the seeds that all have. Raises UntoldError where there is none: only equal seeds are compared."""
    seeds = sorted(set.intersection(*(set(by_seed) for by_seed in graded)))
    if not seeds:
        raise NotEvaluatedError("no seed that all have")
    return seeds


def _paired(
    difference: Callable[[NDArray[np.bool_], NDArray[np.bool_]], Interval],
    baseline: CorrectBySeed,
    candidate: CorrectBySeed,
) -> list[Interval]:
    return [difference(baseline[seed], candidate[seed]) for seed in _common(baseline, candidate)]


def _images(graded: CorrectBySeed) -> int:
    return len(next(iter(graded.values())))


def _estimate(claim: Claim, model: str, settings: Settings, by_seed: Sequence[Interval], n: int) -> Measurement:
    """Return a row of the mean over seeds; its interval is the mean one, with_seed_spread by the spread over seeds."""
    from edgeai_repro.evidence.statistics import seed_spread, with_seed_spread

    value, low, high = (
        sum(getattr(interval, end) for interval in by_seed) / len(by_seed) for end in ("value", "low", "high")
    )
    spread = seed_spread([interval.value for interval in by_seed])
    interval = with_seed_spread(Interval(value=value, low=min(low, value), high=max(high, value)), spread)
    return Measurement(model=model, technique=claim.technique, params=dict(settings), reported=interval, n=n)
