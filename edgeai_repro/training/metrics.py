"""The metrics of trained models: accuracy, its change by compression, and the gain by pre-training. No torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Protocol

from edgeai_repro.claims import registry
from edgeai_repro.claims.entries import MetricGroup
from edgeai_repro.claims.registry import RUNTIME, UNCOMPRESSED
from edgeai_repro.claims.schema import Claim, Variant
from edgeai_repro.claims.values import explain
from edgeai_repro.evidence.measurement import Curve, Interval, Measurement, Settings

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edgeai_repro.evidence.trained_run import TrainedRun

LEAST_OF_A_TREND = 3  # values: two values always form a trend


class NotEvaluatedError(LookupError):
    """No trained model matches the request, so the metric yields no row."""


@dataclass(frozen=True)
class Answer:
    """The test images that a model gets right, bool (n,), by seed, and the training runs of these seeds."""

    by_seed: Mapping[int, NDArray[np.bool_]]
    runs: Mapping[int, TrainedRun] = field(default_factory=dict)

    @property
    def images(self) -> int:
        """The number of test images."""
        return len(next(iter(self.by_seed.values())))


class CorrectnessSource(Protocol):
    """A source of per-image correctness: live evaluation, recorded runs, or a deployed model."""

    def correct(self, model: str, technique: str, settings: Settings, init: str | None = None) -> Answer:
        """Return the answer of a model under a technique and its settings.

        `init` asks for runs from "scratch" or from "pretrained" weights. Raises NotEvaluatedError if no model
        matches.
        """


TRAINED: MetricGroup[CorrectnessSource] = MetricGroup("trained", needs=("data", "weights"))
metric = partial(registry.metric, group=TRAINED)
explain(reading="whether the change is in points, or relative to the accuracy")


@metric("accuracy", unit="%", better="higher", optional=(RUNTIME,), values={RUNTIME: ("onnxruntime",)})
def accuracy(source: CorrectnessSource, claim: Claim, model: str) -> Iterator[Measurement]:
    """Top-1 accuracy on the test images, with Wilson's interval."""
    from edgeai_repro.evidence.statistics import wilson

    for variant in claim.variants_for(model):
        with suppress(NotEvaluatedError):
            answer = source.correct(model, claim.technique, variant[0])
            intervals = [wilson(int(correct.sum()), len(correct)) for correct in answer.by_seed.values()]
            yield _estimate(claim, model, variant, intervals, [answer])


@metric(
    "accuracy_change",
    unit="points",
    better="higher",
    optional=("reading",),
    values={"reading": ("points", "relative")},
)
def accuracy_change(source: CorrectnessSource, claim: Claim, model: str) -> Iterator[Measurement]:
    """Top-1 accuracy minus that of the uncompressed model, on the same images; in points, or relative to it."""
    from edgeai_repro.evidence.statistics import paired_difference, relative_difference

    for variant in claim.variants_for(model):
        settings, conditions = variant
        difference = relative_difference if conditions.get("reading") == "relative" else paired_difference
        with suppress(NotEvaluatedError):
            baseline = source.correct(model, UNCOMPRESSED, {})
            compressed = source.correct(model, claim.technique, settings)
            changes = _paired(difference, baseline, compressed)
            yield _estimate(claim, model, variant, changes, [baseline, compressed])


@metric("accuracy_trend", unit="τ", better="higher", over="sparsity")
def accuracy_trend(source: CorrectnessSource, claim: Claim, model: str) -> Iterator[Measurement]:
    """Kendall's tau of sparsity and lost accuracy."""
    from edgeai_repro.evidence.statistics import kendall_trend

    grid = [settings for settings, _ in claim.variants_for(model)]
    if len(grid) < LEAST_OF_A_TREND:
        return
    sparsities = [float(settings["sparsity"]) for settings in grid]
    with suppress(NotEvaluatedError):
        answers = [source.correct(model, claim.technique, settings) for settings in grid]
        taus = [
            Interval.exact(
                -kendall_trend(sparsities, [float(answer.by_seed[seed].mean()) for answer in answers]).tau
            )
            for seed in _common_seeds(answers)
        ]
        row = _estimate(claim, model, ({}, {}), taus, answers)
        swept = f"{len(grid)} from {min(sparsities)} to {max(sparsities)}"
        curve = Curve(
            over="sparsity", unit="%", points=list(zip(sparsities, map(_mean_top1, answers), strict=True))
        )
        yield row.model_copy(update={"notes": {"sparsities": swept, **row.notes}, "curve": curve})


@metric("pretraining_gain", unit="points", better="higher")
def pretraining_gain(source: CorrectnessSource, claim: Claim, model: str) -> Iterator[Measurement]:
    """Top-1 accuracy of the compressed model from pre-trained weights, minus that of the one from scratch."""
    from edgeai_repro.evidence.statistics import paired_difference

    for variant in claim.variants_for(model):
        with suppress(NotEvaluatedError):
            scratch = source.correct(model, claim.technique, variant[0], init="scratch")
            pretrained = source.correct(model, claim.technique, variant[0], init="pretrained")
            gains = _paired(paired_difference, scratch, pretrained)
            yield _estimate(claim, model, variant, gains, [scratch, pretrained])


def _common_seeds(answers: Sequence[Answer]) -> list[int]:
    """Return the seeds that all answers have. Raises NotEvaluatedError for none: only equal seeds are compared."""
    seeds = sorted(set.intersection(*(set(answer.by_seed) for answer in answers)))
    if not seeds:
        raise NotEvaluatedError("the runs have no seed in common")
    return seeds


def _paired(
    difference: Callable[[NDArray[np.bool_], NDArray[np.bool_]], Interval], baseline: Answer, candidate: Answer
) -> list[Interval]:
    return [
        difference(baseline.by_seed[seed], candidate.by_seed[seed]) for seed in _common_seeds([baseline, candidate])
    ]


def _mean_top1(answer: Answer) -> float:
    """Return top-1 accuracy in percent, the mean over seeds."""
    return 100 * sum(float(correct.mean()) for correct in answer.by_seed.values()) / len(answer.by_seed)


def _estimate(
    claim: Claim, model: str, variant: Variant, by_seed: Sequence[Interval], answers: Sequence[Answer]
) -> Measurement:
    """Return a row with the mean over seeds; its interval is the mean one, widened by the spread over seeds.

    Its notes and evidence name the training runs behind the answers.
    """
    from edgeai_repro.evidence.statistics import seed_spread, with_seed_spread

    value, low, high = (
        sum(getattr(interval, end) for interval in by_seed) / len(by_seed) for end in ("value", "low", "high")
    )
    spread = seed_spread([interval.value for interval in by_seed])
    interval = with_seed_spread(Interval(value=value, low=min(low, value), high=max(high, value)), spread)
    seeds = _common_seeds(answers)
    runs = {
        answer.runs[seed].name: answer.runs[seed] for answer in answers for seed in seeds if seed in answer.runs
    }
    budget = next((run.budget for run in runs.values()), {})
    settings, conditions = variant
    return Measurement(
        model=model,
        technique=claim.technique,
        settings=settings,
        conditions=conditions,
        notes={**budget, "seeds": len(seeds)} if runs else {},
        reported=interval,
        n=answers[0].images,
        evidence=", ".join(runs) or None,
        seconds=sum(run.record.seconds for run in runs.values()),
    )
