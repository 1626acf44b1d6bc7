"""The metrics of what a network has, and of how many times as much another one has. No torch."""

from __future__ import annotations

from collections.abc import Iterator

from edgeai_repro.claims.schema import Claim
from edgeai_repro.evidence.measurement import Measurement
from edgeai_repro.measure.compressed_models import ClaimNetworks
from edgeai_repro.measure.quantities import (
    BYTES,
    FILE,
    MAC_CONDITIONS,
    MACS,
    PARAMETERS,
    amounts,
    metric,
    of_macs,
    of_parameters,
    ratios,
    shares,
)

MEGA, MEBI = 1e6, 2**20


@of_parameters("params", unit="M", better="lower", is_count=True, compares="sometimes")
def params(networks: ClaimNetworks, claim: Claim, model: str) -> Iterator[Measurement]:
    """Millions of parameters: reported by parameters(), actual by the weights that are stored."""
    return amounts(networks, claim, model, PARAMETERS, lambda _: 1e6)


@of_macs(
    "macs",
    unit="G",
    better="lower",
    is_count=True,
    compares="sometimes",
    optional=(*MAC_CONDITIONS, "operations_per_mac"),
)
def macs(networks: ClaimNetworks, claim: Claim, model: str) -> Iterator[Measurement]:
    """Billions of multiply-accumulates for one image: reported by thop, actual by the products computed."""
    return amounts(networks, claim, model, MACS, lambda given: 1e9 / float(given.get("operations_per_mac", 1)))


@metric("size", unit="MB", better="lower", counter="the saved file", has_actual=True, optional=("unit", "biases"))
def size(networks: ClaimNetworks, claim: Claim, model: str) -> Iterator[Measurement]:
    """Megabytes, or MiB, of the saved state_dict: reported with its container, actual of its values alone."""
    return amounts(networks, claim, model, FILE, lambda given: MEBI if given.get("unit") == "MiB" else MEGA)


@of_parameters("params_ratio", unit="×", better="higher", compares="always")
def params_ratio(networks: ClaimNetworks, claim: Claim, model: str) -> Iterator[Measurement]:
    """How many times as many parameters `against` has: reported by parameters(), actual by the weights stored."""
    return ratios(networks, claim, model, PARAMETERS)


@of_parameters("params_share", unit="%", better="lower", compares="always")
def params_share(networks: ClaimNetworks, claim: Claim, model: str) -> Iterator[Measurement]:
    """Parameters in percent of those of `against`: reported by parameters(), actual by the weights stored."""
    return shares(networks, claim, model, PARAMETERS)


@of_macs("macs_ratio", unit="×", better="higher", compares="always")
def macs_ratio(networks: ClaimNetworks, claim: Claim, model: str) -> Iterator[Measurement]:
    """How many times as many multiply-accumulates `against` has: reported by thop, actual by the products."""
    return ratios(networks, claim, model, MACS)


@metric("size_ratio", unit="×", better="higher", compares="always")
def size_ratio(networks: ClaimNetworks, claim: Claim, model: str) -> Iterator[Measurement]:
    """How many times as many bytes the file of the state_dict of `against` has."""
    return ratios(networks, claim, model, BYTES)
