"""What metrics count of a network, and what two networks are compared by. No torch.

The reported quantity is what common counters report, or what the authors of a paper counted (`convention`). The
actual one is what is stored or computed; a claim's conditions can leave out what a paper may not have counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from edgeai_repro.claims import registry
from edgeai_repro.claims.schema import Claim
from edgeai_repro.evidence.measurement import MISSED, Interval, Measurement, Settings
from edgeai_repro.measure.compressed_models import COMPRESSED, ClaimNetworks
from edgeai_repro.measure.conditions import COUNTER, FOLDED, LEFT_OUT
from edgeai_repro.measure.network_profiles import Profile

Compare = Callable[[float, float], float]  # of the other network's quantity, and of the model's own

PARAMETER_CONDITIONS = ("biases", "batchnorm", "convention", "kept")
MAC_CONDITIONS = ("linear_layers", "convention", "counter", "kept")

# Decorators that register a metric of networks: any, one of parameters, one of MACs.
metric = partial(registry.metric, group=COMPRESSED)
of_parameters = partial(metric, counter="parameters()", has_actual=True, optional=PARAMETER_CONDITIONS)
of_macs = partial(metric, counter="thop", has_actual=True, optional=MAC_CONDITIONS)


@dataclass(frozen=True)
class Quantity:
    """A quantity of a network: as reported, and as it actually is under a claim's conditions (None: the same)."""

    reported: Callable[[Profile], float]
    actual: Callable[[Profile, Settings], float] | None


def _parameters(profile: Profile, conditions: Settings) -> float:
    """Return the parameters that count. BatchNorm that is folded leaves one bias per channel."""
    batchnorm = {LEFT_OUT: profile.parts.batchnorm, FOLDED: profile.parts.batchnorm / 2}
    biases = profile.parts.biases if conditions.get("biases") == LEFT_OUT else 0
    return profile.actual.parameters - biases - batchnorm.get(str(conditions.get("batchnorm")), 0)


def _macs(profile: Profile, conditions: Settings) -> float:
    left_out = profile.parts.linear_macs if conditions.get("linear_layers") == LEFT_OUT else 0
    return profile.actual.macs - left_out


def _value_bytes(profile: Profile, conditions: Settings) -> float:
    return profile.value_bytes - (profile.parts.bias_bytes if conditions.get("biases") == LEFT_OUT else 0)


PARAMETERS = Quantity(lambda profile: profile.reported.parameters, _parameters)
MACS = Quantity(lambda profile: profile.reported.macs, _macs)
BYTES = Quantity(lambda profile: profile.state_dict_bytes, None)
FILE = Quantity(lambda profile: profile.state_dict_bytes, _value_bytes)


def amounts(
    networks: ClaimNetworks, claim: Claim, model: str, quantity: Quantity, unit: Callable[[Settings], float]
) -> Iterator[Measurement]:
    """Yield the quantity of a model, in the units that the conditions ask for."""
    for settings, conditions in claim.variants_for(model):
        profile = networks.profile(model, claim.technique, settings, conditions)
        reported = quantity.reported(profile)
        if (convention := networks.by_convention(model, conditions)) is not None:
            reported = convention[1].parameters if quantity is PARAMETERS else convention[1].macs
        actual = None if quantity.actual is None else quantity.actual(profile, conditions) / unit(conditions)
        found = row(claim, networks, model, reported / unit(conditions), actual, settings, conditions, profile)
        yield _explained(networks, claim, _with_uncounted(found, profile)) if quantity is MACS else found


def reductions(networks: ClaimNetworks, claim: Claim, model: str, quantity: Quantity) -> Iterator[Measurement]:
    """Yield the percentages saved, compared with `against`, or with the uncompressed model."""
    return _comparisons(networks, claim, model, quantity, lambda other, own: 100 * (other - own) / other)


def ratios(networks: ClaimNetworks, claim: Claim, model: str, quantity: Quantity) -> Iterator[Measurement]:
    """Yield the quantity of `against` as a multiple of the model's."""
    return _comparisons(networks, claim, model, quantity, lambda other, own: other / own)


def shares(networks: ClaimNetworks, claim: Claim, model: str, quantity: Quantity) -> Iterator[Measurement]:
    """Yield the model's quantity in percent of that of `against`."""
    return _comparisons(networks, claim, model, quantity, lambda other, own: 100 * own / other)


def _comparisons(
    networks: ClaimNetworks, claim: Claim, model: str, quantity: Quantity, compare: Compare
) -> Iterator[Measurement]:
    """Yield the comparison of a model with another network.

    If the claim names the network `without` the cause of a saving, the reported value is the whole, and the actual
    value the part that is due to the cause.
    """
    for settings, conditions in claim.variants_for(model):
        other = networks.profile(claim.against or model, conditions=conditions)
        own = networks.profile(model, claim.technique, settings, conditions)
        reported = compare(quantity.reported(other), quantity.reported(own))
        if (convention := networks.by_convention(model, conditions)) is not None:
            pair = [counted.parameters if quantity is PARAMETERS else counted.macs for counted in convention]
            reported = compare(*pair)
        actual = None
        if quantity.actual is not None:
            actual = compare(quantity.actual(other, conditions), quantity.actual(own, conditions))
        if claim.without is not None:
            without = networks.profile(claim.without, conditions=conditions)
            measure = quantity.actual or (lambda profile, _: quantity.reported(profile))
            reported = reported if actual is None else actual
            actual = compare(measure(without, conditions), measure(own, conditions))
            other = without
        found = row(claim, networks, model, reported, actual, settings, conditions, own)
        found = _with_uncounted(found, other, own) if quantity is MACS else found
        yield _explained(networks, claim, found) if quantity is MACS and claim.against is None else found


def _with_uncounted(row: Measurement, *profiles: Profile) -> Measurement:
    """Return a row of MACs with the operators that have no rule, which make them a lower bound."""
    names = {name for profile in profiles for name in profile.actual.uncounted}
    return row.model_copy(update={"uncounted": tuple(sorted(names))})


def _explained(networks: ClaimNetworks, claim: Claim, row: Measurement) -> Measurement:
    """Note what the counter misses if the claim holds, but not by what the counter reports."""
    if row.actual is None or row.conditions.get("convention", COUNTER) != COUNTER:
        return row
    actual, reported = (claim.locate(value.low, value.high) for value in (row.actual, row.reported))
    if actual != "inside" or reported == "inside":
        return row
    missed = networks.missed(row.model, claim.technique, row.settings, row.conditions)
    return row.model_copy(update={"notes": {**row.notes, MISSED: missed}})


def row(
    claim: Claim,
    networks: ClaimNetworks,
    model: str,
    reported: float,
    actual: float | None,
    settings: Settings,
    conditions: Settings,
    profile: Profile,
) -> Measurement:
    """Return the row of a network that was profiled under some settings and conditions."""
    return Measurement(
        model=model,
        technique=claim.technique,
        settings=dict(settings),
        conditions=dict(conditions),
        notes={**profile.notes, **networks.own_conditions(model, conditions)},
        reported=Interval.exact(reported),
        actual=None if actual is None else Interval.exact(actual),
        seconds=profile.seconds,
    )
