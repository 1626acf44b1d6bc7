"""Metrics of models as they are published, and of how far dynamic quantization reaches into them. No torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from edgeai_repro.claims.registry import metric
from edgeai_repro.evidence.measurement import Interval, Measurement

if TYPE_CHECKING:
    from edgeai_repro.claims.schema import Claim
    from edgeai_repro.measure.compressed_models import CompressedModels, Profile

INT8_SAVES = 0.75  # of fp32's four bytes int8 keeps one


@metric("params", unit="M")
def params(lab: CompressedModels, claim: Claim, model: str) -> Iterator[Measurement]:
    """Millions of parameters of the uncompressed model, with the claim's number of classes."""
    for settings in claim.settings_for(model):
        network = lab.build_on_meta(model, int(settings["classes"]))
        millions = sum(parameter.numel() for parameter in network.parameters()) / 1e6
        yield Measurement(
            model=model, technique=claim.technique, params=settings, reported=Interval.exact(millions)
        )


@metric("macs", unit="G", actual=True)
def macs(lab: CompressedModels, claim: Claim, model: str) -> Iterator[Measurement]:
    """Billions of multiply-accumulates for one image: reported by thop, actual those of weights."""
    from edgeai_repro.measure import counts

    for settings in claim.settings_for(model):
        network, resolution = lab.build_on_meta(model, int(settings["classes"])), int(settings["resolution"])
        yield Measurement(
            model=model,
            technique=claim.technique,
            params=settings,
            reported=Interval.exact(counts.reported(network, resolution).macs / 1e9),
            actual=Interval.exact(counts.actual(network, resolution).macs / 1e9),
        )


@metric("linear_share_params", unit="points")
def linear_share_params(lab: CompressedModels, claim: Claim, model: str) -> Iterator[Measurement]:
    """Distance of the reported drop in parameters from the share of them that stands in nn.Linear."""
    reach = _reach(lab, claim, model)
    yield _row(claim, model, reach, abs(reach["reported_parameters_saved"] - reach["share_of_linear"]))


@metric("linear_share_bytes", unit="points")
def linear_share_bytes(lab: CompressedModels, claim: Claim, model: str) -> Iterator[Measurement]:
    """Distance of the bytes saved from three quarters of the share of parameters that stands in nn.Linear."""
    reach = _reach(lab, claim, model)
    yield _row(claim, model, reach, abs(reach["bytes_saved"] - INT8_SAVES * reach["share_of_linear"]))


def _reach(lab: CompressedModels, claim: Claim, model: str) -> dict[str, float]:
    """Return the share of nn.Linear in a model and what quantizing it saves, all in percent."""
    from edgeai_repro.measure import counts

    dense, quantized = lab.profile(model), lab.profile(model, claim.technique)

    def saved(quantity: Callable[[Profile], float]) -> float:
        return 100 * (1 - quantity(quantized) / quantity(dense))

    return {
        "share_of_linear": 100 * counts.linear_share(lab.build_on_meta(model)),
        "reported_parameters_saved": saved(lambda profile: profile.reported.parameters),
        "reported_macs_saved": saved(lambda profile: profile.reported.macs),
        "bytes_saved": saved(lambda profile: profile.state_dict_bytes),
    }


def _row(claim: Claim, model: str, reach: dict[str, float], distance: float) -> Measurement:
    return Measurement(
        model=model,
        technique=claim.technique,
        params={name: round(value, 2) for name, value in reach.items()},
        reported=Interval.exact(round(distance, 9)),  # beyond, two quotients of the same counts differ
    )
