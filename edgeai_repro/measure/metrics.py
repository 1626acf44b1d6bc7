"""The metrics that are counted: what common counters report of a compressed model, and what is there. No torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from edgeai_repro.claims.registry import Settings, metric
from edgeai_repro.evidence.measurement import Curve, Interval, Measurement

if TYPE_CHECKING:
    from edgeai_repro.claims.schema import Claim
    from edgeai_repro.measure.compressed_models import CompressedModels, Profile

MEGA = 1e6
Quantity = Callable[["Profile"], float]


@metric("size_reduction", unit="%")
def size_reduction(lab: CompressedModels, claim: Claim, model: str) -> Iterator[Measurement]:
    """Bytes saved in the file of the state_dict, against the uncompressed model's."""
    return _reductions(lab, claim, model, reported=lambda profile: profile.state_dict_bytes)


@metric("params_reduction", unit="%", actual=True)
def params_reduction(lab: CompressedModels, claim: Claim, model: str) -> Iterator[Measurement]:
    """Parameters saved: reported by parameters(), actual by the weights that are stored."""
    return _reductions(
        lab,
        claim,
        model,
        reported=lambda profile: profile.reported.parameters,
        actual=lambda profile: profile.actual.parameters,
    )


@metric("macs_reduction", unit="%", actual=True)
def macs_reduction(lab: CompressedModels, claim: Claim, model: str) -> Iterator[Measurement]:
    """Multiply-accumulates saved: reported by thop, actual by the products that are computed."""
    return _reductions(
        lab,
        claim,
        model,
        reported=lambda profile: profile.reported.macs,
        actual=lambda profile: profile.actual.macs,
    )


@metric("executed_macs_reduction", unit="%", actual=True)
def executed_macs_reduction(lab: CompressedModels, claim: Claim, model: str) -> Iterator[Measurement]:
    """As macs_reduction; beside it the share on zero weights, which only a runtime that skips them would save."""
    dense = lab.profile(model).actual
    for row in macs_reduction(lab, claim, model):
        counts = lab.profile(model, claim.technique, row.params).actual
        on_zeros = round(_saved(dense.macs, counts.nonzero_macs), 2)
        yield row.model_copy(update={"params": {**row.params, "macs_on_zero_weights": on_zeros}})


@metric("added_size_reduction", unit="points")
def added_size_reduction(lab: CompressedModels, claim: Claim, model: str) -> Iterator[Measurement]:
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
def compression_trend(lab: CompressedModels, claim: Claim, model: str) -> Iterator[Measurement]:
    """Kendall's tau of sparsity and saving: non-zeros and deflated bytes must follow it, dense bytes must not."""
    from edgeai_repro.evidence.statistics import kendall_trend

    grid = claim.settings_for(model)
    profiles = [lab.profile(model, claim.technique, settings) for settings in grid]
    sparsities = [float(settings["sparsity"]) for settings in grid]
    quantities: dict[str, tuple[str, Quantity]] = {
        "non-zero parameters": ("M", lambda profile: profile.actual.nonzero_parameters),
        "deflated bytes": ("MB", lambda profile: float(profile.deflated_bytes or 0)),
        "dense bytes": ("MB", lambda profile: profile.state_dict_bytes),
    }
    for name, (unit, quantity) in quantities.items():
        found = [quantity(profile) for profile in profiles]
        tau = -kendall_trend(sparsities, found).tau
        # "Dense bytes don't fall" is stated the other way round, so that 1 is always "as claimed".
        value = 1 - abs(tau) if name == "dense bytes" else tau
        yield Measurement(
            model=model,
            technique=claim.technique,
            params={"quantity": name},
            reported=Interval.exact(value),
            n=len(grid),
            seconds=sum(profile.seconds for profile in profiles),
            curve=Curve(
                over="sparsity",
                unit=unit,
                points=[(x, y / MEGA) for x, y in zip(sparsities, found, strict=True)],
            ),
        )


@metric("imbalance", unit="%")
def imbalance(lab: CompressedModels, claim: Claim, model: str) -> Iterator[Measurement]:
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
    lab: CompressedModels, claim: Claim, model: str, *, reported: Quantity, actual: Quantity | None = None
) -> Iterator[Measurement]:
    dense = lab.profile(model)
    for settings in claim.settings_for(model):
        profile = lab.profile(model, claim.technique, settings)
        yield _row(
            claim,
            model,
            settings,
            _saved(reported(dense), reported(profile)),
            None if actual is None else _saved(actual(dense), actual(profile)),
            seconds=profile.seconds,
        )


def _saved(before: float, after: float) -> float:
    return 100 * (before - after) / before


def _row(
    claim: Claim,
    model: str,
    settings: Settings,
    reported: float,
    actual: float | None = None,
    *,
    seconds: float,
) -> Measurement:
    return Measurement(
        model=model,
        technique=claim.technique,
        params=dict(settings),
        reported=Interval.exact(reported),
        actual=None if actual is None else Interval.exact(actual),
        seconds=seconds,
    )
