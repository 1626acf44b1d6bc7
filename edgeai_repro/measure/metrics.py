"""The metrics that are counted: what common counters report of a network, and what is there. No torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from edgeai_repro.claims.implications import INT8_SAVES
from edgeai_repro.claims.registry import UNCOMPRESSED
from edgeai_repro.claims.schema import Claim
from edgeai_repro.evidence.measurement import Curve, Interval, Measurement, Setting, Settings, percent_saved
from edgeai_repro.measure.compressed_models import ClaimNetworks
from edgeai_repro.measure.network_profiles import Profile
from edgeai_repro.measure.quantities import (
    BYTES,
    MACS,
    PARAMETERS,
    Quantity,
    metric,
    of_macs,
    of_parameters,
    reductions,
)

MEGA = 1e6
QUANTIZED_LINEARS = ("dynamic_quantization", "torchao_int8_dynamic")


@metric("size_reduction", unit="%", better="higher", compares="sometimes")
def size_reduction(networks: ClaimNetworks, claim: Claim, model: str) -> Iterator[Measurement]:
    """Bytes saved in the file of the state_dict, compared with the uncompressed model."""
    return reductions(networks, claim, model, BYTES)


@of_parameters("params_reduction", unit="%", better="higher", compares="sometimes")
def params_reduction(networks: ClaimNetworks, claim: Claim, model: str) -> Iterator[Measurement]:
    """Parameters saved: reported by parameters(), actual by the weights that are stored."""
    return reductions(networks, claim, model, PARAMETERS)


@metric("reported_params_reduction", unit="%", better="higher", counter="parameters()")
def reported_params_reduction(networks: ClaimNetworks, claim: Claim, model: str) -> Iterator[Measurement]:
    """Parameters saved as parameters() reports it, for claims about that report and not about the network."""
    return reductions(networks, claim, model, Quantity(PARAMETERS.reported, None))


@of_macs("macs_reduction", unit="%", better="higher", compares="sometimes")
def macs_reduction(networks: ClaimNetworks, claim: Claim, model: str) -> Iterator[Measurement]:
    """Multiply-accumulates saved: reported by thop, actual by the products that are computed."""
    return reductions(networks, claim, model, MACS)


@metric("executed_macs_reduction", unit="%", better="higher", counter="thop", has_actual=True)
def executed_macs_reduction(networks: ClaimNetworks, claim: Claim, model: str) -> Iterator[Measurement]:
    """Multiply-accumulates saved, with a note of the share on zero weights, which most runtimes do not skip."""
    dense = networks.profile(model).actual
    for row in macs_reduction(networks, claim, model):
        counts = networks.profile(model, claim.technique, row.settings).actual
        on_zeros = round(percent_saved(dense.macs, counts.nonzero_macs), 2)
        yield row.model_copy(update={"notes": {**row.notes, "macs_on_zero_weights": on_zeros}})


@metric("added_size_reduction", unit="points", better="higher", techniques=["combined"])
def added_size_reduction(networks: ClaimNetworks, claim: Claim, model: str) -> Iterator[Measurement]:
    """Points of bytes that pruning and quantizing together save beyond the better of the two."""
    dense = networks.profile(model)
    for settings, _ in claim.variants_for(model):
        parts = [
            networks.profile(model, "structured_pruning", settings),
            networks.profile(model, "dynamic_quantization"),
        ]
        both = networks.profile(model, claim.technique, settings)
        smallest = min(part.state_dict_bytes for part in parts)
        added = 100 * (smallest - both.state_dict_bytes) / dense.state_dict_bytes
        yield _row(claim, model, added, settings=settings, seconds=both.seconds)


@metric("compression_trend", unit="τ", better="higher", deflated=True, over="sparsity")
def compression_trend(networks: ClaimNetworks, claim: Claim, model: str) -> Iterator[Measurement]:
    """Kendall's tau of sparsity and saving: non-zeros and deflated bytes must follow it, dense bytes must not."""
    from edgeai_repro.evidence.statistics import kendall_trend

    grid = [settings for settings, _ in claim.variants_for(model)]
    profiles = [networks.profile(model, claim.technique, settings) for settings in grid]
    sparsities = [float(settings["sparsity"]) for settings in grid]
    quantities: dict[str, tuple[str, Callable[[Profile], float]]] = {
        "non-zero parameters": ("M", lambda profile: profile.actual.nonzero_parameters),
        "deflated bytes": ("MB", lambda profile: float(profile.deflated_bytes or 0)),
        "dense bytes": ("MB", lambda profile: profile.state_dict_bytes),
    }
    for name, (unit, quantity) in quantities.items():
        values = [quantity(profile) for profile in profiles]
        tau = -kendall_trend(sparsities, values).tau
        # "Dense bytes do not fall" is turned round, so that 1 always means "as claimed".
        reported = 1 - abs(tau) if name == "dense bytes" else tau
        points = [(sparsity, value / MEGA) for sparsity, value in zip(sparsities, values, strict=True)]
        yield Measurement(
            model=model,
            technique=claim.technique,
            notes={"quantity": name},
            reported=Interval.exact(reported),
            n=len(grid),
            seconds=sum(profile.seconds for profile in profiles),
            curve=Curve(over="sparsity", unit=unit, points=points),
        )


@metric("imbalance", unit="%", techniques=[UNCOMPRESSED])
def imbalance(networks: ClaimNetworks, claim: Claim, model: str) -> Iterator[Measurement]:
    """The share of the MACs in convolutions, and the share of the parameters in fully connected layers."""
    by_kind = networks.by_kind(model)
    shares = {
        "MACs in convolutions": by_kind["conv"].macs / sum(counts.macs for counts in by_kind.values()),
        "parameters in fully connected": by_kind["linear"].parameters
        / sum(counts.parameters for counts in by_kind.values()),
    }
    for name, share in shares.items():
        uncounted = by_kind["other"].uncounted if name.startswith("MACs") else ()
        yield _row(claim, model, 100 * share, notes={"share": name}, uncounted=uncounted)


@metric("linear_share_params", unit="points", better="lower", techniques=QUANTIZED_LINEARS)
def linear_share_params(networks: ClaimNetworks, claim: Claim, model: str) -> Iterator[Measurement]:
    """Distance between the reported drop in parameters and the share of parameters in nn.Linear."""
    savings = _linear_savings(networks, claim, model)
    yield _distance(claim, model, savings, abs(savings["reported_parameters_saved"] - savings["share_of_linear"]))


@metric("linear_share_bytes", unit="points", better="lower", techniques=QUANTIZED_LINEARS)
def linear_share_bytes(networks: ClaimNetworks, claim: Claim, model: str) -> Iterator[Measurement]:
    """Distance between the bytes saved and three quarters of the share of parameters in nn.Linear."""
    savings = _linear_savings(networks, claim, model)
    yield _distance(
        claim, model, savings, abs(savings["bytes_saved"] - INT8_SAVES / 100 * savings["share_of_linear"])
    )


def _linear_savings(networks: ClaimNetworks, claim: Claim, model: str) -> dict[str, float]:
    """Return the share of nn.Linear in a network and the savings of its quantization, all in percent."""
    from edgeai_repro.measure import counts

    dense, quantized = networks.profile(model), networks.profile(model, claim.technique)

    def saved(quantity: Callable[[Profile], float]) -> float:
        return 100 * (1 - quantity(quantized) / quantity(dense))

    return {
        "share_of_linear": 100 * counts.linear_share(networks.on_meta(model).model),
        "reported_parameters_saved": saved(lambda profile: profile.reported.parameters),
        "reported_macs_saved": saved(lambda profile: profile.reported.macs),
        "bytes_saved": saved(lambda profile: profile.state_dict_bytes),
    }


def _distance(claim: Claim, model: str, savings: dict[str, float], distance: float) -> Measurement:
    notes: dict[str, Setting] = {name: round(value, 2) for name, value in savings.items()}
    # Beyond nine digits, two quotients of the same counts differ.
    return _row(claim, model, round(distance, 9), notes=notes)


def _row(
    claim: Claim,
    model: str,
    reported: float,
    actual: float | None = None,
    *,
    settings: Settings | None = None,
    conditions: Settings | None = None,
    notes: Settings | None = None,
    seconds: float = 0.0,
    uncounted: Sequence[str] = (),
) -> Measurement:
    return Measurement(
        model=model,
        technique=claim.technique,
        settings=dict(settings or {}),
        conditions=dict(conditions or {}),
        notes=dict(notes or {}),
        reported=Interval.exact(reported),
        actual=None if actual is None else Interval.exact(actual),
        seconds=seconds,
        uncounted=tuple(uncounted),
    )
