"""The roofline: the least and the expected time of one image on a device, in milliseconds.

After Williams, Waterman & Patterson, *Roofline* (CACM 2009), for one image at a time: each weight is read once from
the nearest level of memory that holds all weights, while all products are computed. Activations are assumed to stay
in the nearest cache. If they don't, one image takes longer, so the lower bound still holds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from edgeai_repro.devices.spec import Device, Precision
from edgeai_repro.networks.variants import Architecture, layers

Variant = Literal["fp32", "int8", "pruned + int8"]
VARIANTS: tuple[Variant, ...] = ("fp32", "int8", "pruned + int8")
# CIFAR-10's, doubled, and ImageNet's: those that a paper which doesn't state its resolution may have used
RESOLUTIONS = (32, 64, 224)


@dataclass(frozen=True)
class Work:
    """The work for one image: bytes of weights to read, and multiply-accumulates (MACs) at either precision."""

    bytes: int
    fp32_macs: int
    int8_macs: int

    @property
    def macs(self) -> tuple[tuple[Precision, int], ...]:
        """The MACs of each precision that occurs."""
        by_precision: tuple[tuple[Precision, int], ...] = (("fp32", self.fp32_macs), ("int8", self.int8_macs))
        return tuple((precision, count) for precision, count in by_precision if count)


@dataclass(frozen=True)
class Estimate:
    """The times of one variant at one resolution on one device.

    `bound_ms` is the lower bound; `expected_ms` is the time at published rates, None if there are none. `level`
    is the memory that holds the weights, `limit` the part of the work that sets the bound, `basis` the networks
    whose rates were published.
    """

    device: str
    resolution: int
    variant: Variant
    work: Work
    level: str
    limit: Literal["reading", "computing"]
    bound_ms: float
    expected_ms: float | None
    basis: str | None


@dataclass(frozen=True)
class Times:
    """The times of some work on one device; the fields are those of `Estimate`."""

    level: str
    limit: Literal["reading", "computing"]
    bound_ms: float
    expected_ms: float | None
    basis: str | None


def pruned_widths(architecture: Architecture, target: float) -> tuple[int, ...]:
    """Return the hidden widths after the same share `target`, in [0, 1), is pruned from every block, rounded.

    Pruning by training cuts some blocks more than others; equal shares need no training. Raises ValueError if
    `target` is outside [0, 1).
    """
    if not 0 <= target < 1:
        raise ValueError(f"'target' must be in [0, 1) (got {target})")
    return tuple(round(width * (1 - target)) for width in architecture.hidden_widths)


def work(architecture: Architecture, resolution: int, variant: Variant, *, target: float) -> Work:
    """Return the work for one image in closed form.

    `resolution` is in pixels, `target` is the share of the hidden widths that is pruned. Int8 is dynamic
    quantization: the weights of Linear layers are int8; their biases and all other layers stay fp32. Scales and
    zero points, a few bytes per layer, are left out.
    """
    hidden = pruned_widths(architecture, target) if variant == "pruned + int8" else None
    size = fp32_macs = int8_macs = 0
    for layer in layers(architecture, resolution=resolution, hidden_widths=hidden):
        if variant != "fp32" and layer.kind == "linear":
            size += layer.weights + 4 * layer.others
            int8_macs += layer.macs
        else:
            size += 4 * layer.parameters
            fp32_macs += layer.macs
    return Work(size, fp32_macs, int8_macs)


def estimate(
    device: Device, architecture: Architecture, resolution: int, variant: Variant, *, target: float
) -> Estimate:
    """Return the estimate for one device, resolution and variant; the arguments are those of `work`."""
    needed = work(architecture, resolution, variant, target=target)
    return Estimate(
        device=device.key, resolution=resolution, variant=variant, work=needed, **vars(times(device, needed))
    )


def times(device: Device, needed: Work) -> Times:
    """Return the lower bound of the time of some work on a device, and the expectation at published rates."""
    level, gb_per_s = device.memory_level_for(needed.bytes)
    reading = _milliseconds(needed.bytes, gb_per_s)
    computing = sum(_milliseconds(count, device.peak(precision)) for precision, count in needed.macs)
    published = [(count, rate) for precision, count in needed.macs if (rate := device.published_rate(precision))]
    complete = len(published) == len(needed.macs)
    computing_at_rates = sum(_milliseconds(count, rate.gmac_per_s) for count, rate in published)
    return Times(
        level=level,
        limit="reading" if reading > computing else "computing",
        bound_ms=max(reading, computing),
        expected_ms=max(reading, computing_at_rates) if complete else None,
        basis=", ".join(dict.fromkeys(rate.model for _, rate in published)) if complete else None,
    )


def estimates(
    devices: Iterable[Device],
    architecture: Architecture,
    *,
    target: float,
    resolutions: Sequence[int] = RESOLUTIONS,
    variants: Sequence[Variant] = VARIANTS,
) -> Iterator[Estimate]:
    """Yield the estimates for all devices, resolutions and variants, nested in this order."""
    for device in devices:
        for resolution in resolutions:
            for variant in variants:
                yield estimate(device, architecture, resolution, variant, target=target)


def _milliseconds(amount: float, giga_per_s: float) -> float:
    return amount / (giga_per_s * 1e6)
