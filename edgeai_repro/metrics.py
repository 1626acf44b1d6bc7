"""The metrics that a claim can name: what is measured, what the counters report, what is there. No torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

from edgeai_repro.evidence import Interval, Measurement
from edgeai_repro.registry import UNCOMPRESSED, Settings, metric

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edgeai_repro.claims import Claim
    from edgeai_repro.edge.lab import EdgeLab
    from edgeai_repro.lab import Lab, Profile

LEAST_OF_A_TREND = 3  # values: of two, the second always is more or less
Quantity = Callable[["Profile"], float]
Graded = Mapping[int, "NDArray[np.bool_]"]  # by seed: which images were right, bool (n,)


class UntoldError(LookupError):
    """No trained model tells what was asked; a metric then has no row of it."""


class Grades(Protocol):
    """What tells which test images a trained model gets right: a reading of live or recorded runs."""

    def correct(self, model: str, technique: str, settings: Settings) -> Graded:
        """Return the answer under a technique and its settings, by seed. Raises UntoldError if there is none."""


@metric("size_reduction", unit="%")
def size_reduction(lab: Lab, claim: Claim, model: str) -> Iterator[Measurement]:
    """Bytes saved in the file of the state_dict, against the uncompressed model's."""
    return _reductions(lab, claim, model, reported=lambda profile: profile.state_dict_bytes)


@metric("params_reduction", unit="%", logical=True)
def params_reduction(lab: Lab, claim: Claim, model: str) -> Iterator[Measurement]:
    """Parameters saved: reported by parameters(), logical by the weights that are stored."""
    return _reductions(
        lab,
        claim,
        model,
        reported=lambda profile: profile.reported.parameters,
        logical=lambda profile: profile.logical.parameters,
    )


@metric("macs_reduction", unit="%", logical=True)
def macs_reduction(lab: Lab, claim: Claim, model: str) -> Iterator[Measurement]:
    """Multiply-accumulates saved: reported by thop, logical by the products that are computed."""
    return _reductions(
        lab,
        claim,
        model,
        reported=lambda profile: profile.reported.macs,
        logical=lambda profile: profile.logical.macs,
    )


@metric("executed_macs_reduction", unit="%", logical=True)
def executed_macs_reduction(lab: Lab, claim: Claim, model: str) -> Iterator[Measurement]:
    """As macs_reduction; beside it the share on zero weights, which only a runtime that skips them would save."""
    dense = lab.profile(model).logical
    for row in macs_reduction(lab, claim, model):
        counts = lab.profile(model, claim.technique, row.params).logical
        on_zeros = round(_saved(dense.macs, counts.nonzero_macs), 2)
        yield row.model_copy(update={"params": {**row.params, "macs_on_zero_weights": on_zeros}})


@metric("added_size_reduction", unit="points")
def added_size_reduction(lab: Lab, claim: Claim, model: str) -> Iterator[Measurement]:
    """Points of bytes saved by pruning and quantizing, beyond the better of the two alone."""
    dense = lab.profile(model)
    for settings in claim.settings_for(model):
        parts = [
            lab.profile(model, "structured_pruning", settings),
            lab.profile(model, "dynamic_quantization"),
        ]
        both = lab.profile(model, claim.technique, settings)
        least = min(part.state_dict_bytes for part in parts)
        added = 100 * (least - both.state_dict_bytes) / dense.state_dict_bytes
        yield _row(claim, model, settings, added, seconds=both.seconds)


@metric("compression_trend", unit="τ", deflated=True)
def compression_trend(lab: Lab, claim: Claim, model: str) -> Iterator[Measurement]:
    """Kendall's tau of sparsity and saving: non-zeros and deflated bytes must follow it, dense bytes must not."""
    from edgeai_repro.statistics import kendall_trend

    grid = claim.settings_for(model)
    profiles = [lab.profile(model, claim.technique, settings) for settings in grid]
    sparsities = [float(settings["sparsity"]) for settings in grid]
    quantities: dict[str, Quantity] = {
        "non-zero parameters": lambda profile: profile.logical.nonzero_parameters,
        "deflated bytes": lambda profile: float(profile.deflated_bytes or 0),
        "dense bytes": lambda profile: profile.state_dict_bytes,
    }
    for name, quantity in quantities.items():
        tau = -kendall_trend(sparsities, [quantity(profile) for profile in profiles]).tau
        # "Dense bytes don't fall" is stated the other way round, so that 1 is always "as claimed".
        value = 1 - abs(tau) if name == "dense bytes" else tau
        yield Measurement(
            model=model,
            technique=claim.technique,
            params={"quantity": name},
            reported=Interval.exact(value),
            n=len(grid),
            seconds=sum(profile.seconds for profile in profiles),
        )


@metric("imbalance", unit="%")
def imbalance(lab: Lab, claim: Claim, model: str) -> Iterator[Measurement]:
    """The convolutions' share of the MACs, and the fully connected layers' share of the parameters."""
    by_kind = lab.by_kind(model)
    total = sum(by_kind.values(), type(by_kind["conv"])())
    shares = {
        "MACs in convolutions": by_kind["conv"].macs / total.macs,
        "parameters in fully connected": by_kind["linear"].parameters / total.parameters,
    }
    for name, share in shares.items():
        yield _row(claim, model, {"share": name}, 100 * share, seconds=0.0)


def _reductions(
    lab: Lab, claim: Claim, model: str, *, reported: Quantity, logical: Quantity | None = None
) -> Iterator[Measurement]:
    dense = lab.profile(model)
    for settings in claim.settings_for(model):
        profile = lab.profile(model, claim.technique, settings)
        yield _row(
            claim,
            model,
            settings,
            _saved(reported(dense), reported(profile)),
            None if logical is None else _saved(logical(dense), logical(profile)),
            seconds=profile.seconds,
        )


def _saved(before: float, after: float) -> float:
    return 100 * (before - after) / before


def _row(
    claim: Claim,
    model: str,
    settings: Settings,
    reported: float,
    logical: float | None = None,
    *,
    seconds: float,
) -> Measurement:
    return Measurement(
        model=model,
        technique=claim.technique,
        params=dict(settings),
        reported=Interval.exact(reported),
        logical=None if logical is None else Interval.exact(logical),
        seconds=seconds,
    )


@metric("accuracy", unit="%")
def accuracy(grades: Grades, claim: Claim, model: str) -> Iterator[Measurement]:
    """Top-1 accuracy on the test images, with Wilson's interval."""
    from edgeai_repro.statistics import wilson

    for settings in claim.settings_for(model):
        with suppress(UntoldError):
            correct = grades.correct(model, claim.technique, settings)
            intervals = [wilson(int(graded.sum()), len(graded)) for graded in correct.values()]
            yield _estimate(claim, model, settings, intervals, _images(correct))


@metric("accuracy_change", unit="points")
def accuracy_change(grades: Grades, claim: Claim, model: str) -> Iterator[Measurement]:
    """Top-1 accuracy less the uncompressed model's, on the same images; in points, or relative to it."""
    from edgeai_repro.statistics import paired_difference, relative_difference

    for settings in claim.settings_for(model):
        compression = {name: value for name, value in settings.items() if name != "reading"}
        difference = relative_difference if settings.get("reading") == "relative" else paired_difference
        with suppress(UntoldError):
            baseline = grades.correct(model, UNCOMPRESSED, {})
            compressed = grades.correct(model, claim.technique, compression)
            changes = _paired(difference, baseline, compressed)
            yield _estimate(claim, model, settings, changes, _images(compressed))


@metric("accuracy_trend", unit="τ")
def accuracy_trend(grades: Grades, claim: Claim, model: str) -> Iterator[Measurement]:
    """Kendall's tau of sparsity and lost accuracy."""
    from edgeai_repro.statistics import kendall_trend

    grid = claim.settings_for(model)
    if len(grid) < LEAST_OF_A_TREND:
        return
    sparsities = [float(settings["sparsity"]) for settings in grid]
    with suppress(UntoldError):
        graded = [grades.correct(model, claim.technique, settings) for settings in grid]
        taus = [
            Interval.exact(-kendall_trend(sparsities, [float(correct[seed].mean()) for correct in graded]).tau)
            for seed in _common(*graded)
        ]
        seen = f"{len(grid)} from {min(sparsities)} to {max(sparsities)}"
        yield _estimate(claim, model, {"sparsities": seen}, taus, _images(graded[0]))


@metric("pretraining_gain", unit="points")
def pretraining_gain(grades: Grades, claim: Claim, model: str) -> Iterator[Measurement]:
    """Top-1 accuracy of the compressed model from pre-trained weights, less that of the one from scratch."""
    from edgeai_repro.statistics import paired_difference

    for settings in claim.settings_for(model):
        with suppress(UntoldError):
            scratch = grades.correct(model, claim.technique, {**settings, "init": "scratch"})
            pretrained = grades.correct(model, claim.technique, {**settings, "init": "pretrained"})
            gains = _paired(paired_difference, scratch, pretrained)
            yield _estimate(claim, model, settings, gains, _images(pretrained))


@metric("latency", unit="ms", deployed=True)
def latency(edge: EdgeLab, claim: Claim, model: str) -> Iterator[Measurement]:
    """Median time for one image on the edge device, with its quartiles."""
    from edgeai_repro.measure.latency import worst_control

    rows = []
    for settings in claim.settings_for(model):
        contender, timing = edge.timing(claim.technique, "onnxruntime", settings)
        rows.append(
            Measurement(
                model=model,
                technique=claim.technique,
                params={**settings, **edge.noted, "p90": round(timing.p90, 3)},
                reported=timing.median,
                n=timing.n,
                evidence=edge.sha256(contender),
                control=worst_control([timing]),
            )
        )
    edge.refuse_elsewhere(claim, rows)
    yield from rows


@metric("speedup", unit="×", deployed=True)
def speedup(edge: EdgeLab, claim: Claim, model: str) -> Iterator[Measurement]:
    """How many times faster one image is than by technique `baseline` in `baseline_runtime`: medians of one run."""
    from edgeai_repro.measure.latency import ratio, worst_control

    for settings in claim.settings_for(model):
        contender, faster = edge.timing(claim.technique, str(settings["runtime"]), settings)
        _, slower = edge.timing(str(settings["baseline"]), str(settings["baseline_runtime"]), settings)
        yield Measurement(
            model=model,
            technique=claim.technique,
            params={**settings, **edge.noted},
            reported=ratio(slower, faster),
            n=faster.n,
            evidence=edge.sha256(contender),
            control=worst_control([slower, faster]),
        )


def _common(*graded: Graded) -> list[int]:
    """Return the seeds that all have. Raises UntoldError where there is none: only equal seeds are compared."""
    seeds = sorted(set.intersection(*(set(by_seed) for by_seed in graded)))
    if not seeds:
        raise UntoldError("no seed that all have")
    return seeds


def _paired(
    difference: Callable[[NDArray[np.bool_], NDArray[np.bool_]], Interval], baseline: Graded, candidate: Graded
) -> list[Interval]:
    return [difference(baseline[seed], candidate[seed]) for seed in _common(baseline, candidate)]


def _images(graded: Graded) -> int:
    return len(next(iter(graded.values())))


def _estimate(claim: Claim, model: str, settings: Settings, by_seed: Sequence[Interval], n: int) -> Measurement:
    """Return a row of the mean over seeds; its interval is the mean one, widened by the spread over seeds."""
    from edgeai_repro.statistics import seed_spread, widened

    value, low, high = (
        sum(getattr(interval, end) for interval in by_seed) / len(by_seed) for end in ("value", "low", "high")
    )
    spread = seed_spread([interval.value for interval in by_seed])
    interval = widened(Interval(value=value, low=min(low, value), high=max(high, value)), spread)
    return Measurement(model=model, technique=claim.technique, params=dict(settings), reported=interval, n=n)
