"""How long one image must take on a device at least, and may be expected to take: the roofline, in milliseconds.

Williams, Waterman & Patterson, *Roofline* (CACM 2009), for one image at a time: every weight is read once, from
the nearest level of memory that holds them all, while every product is computed. Activations count as if they
never left the nearest cache; they can only lengthen it, so the bound stays a bound.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from edgeai_repro.devices.spec import Device, Precision
from edgeai_repro.networks.variants import Architecture, layers

Variant = Literal["fp32", "int8", "pruned + int8"]
VARIANTS: tuple[Variant, ...] = ("fp32", "int8", "pruned + int8")
RESOLUTIONS = (32, 64, 224)  # CIFAR-10's own, doubled, and ImageNet's: what a paper that doesn't say may have fed


@dataclass(frozen=True)
class Work:
    """What one image asks for: bytes of weights to read, and multiply-accumulates at either precision."""

    bytes: int
    fp32_macs: int
    int8_macs: int

    @property
    def macs(self) -> tuple[tuple[Precision, int], ...]:
        """The multiply-accumulates of each precision that occurs."""
        both: tuple[tuple[Precision, int], ...] = (("fp32", self.fp32_macs), ("int8", self.int8_macs))
        return tuple((precision, count) for precision, count in both if count)


@dataclass(frozen=True)
class Estimate:
    """One row: `bound_ms` can't be beaten; `expected_ms` is at published rates, None where there are none.

    `level` holds the weights; `limit` tells which roof makes the bound; `basis` names the published networks.
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


def pruned_widths(architecture: Architecture, target: float) -> tuple[int, ...]:
    """Return the hidden widths with the share `target`, in [0, 1), cut from every block alike, rounded.

    A pruning that learns cuts some blocks harder than others; alike is the assumption that needs no training.
    Raises ValueError for another target.
    """
    if not 0 <= target < 1:
        raise ValueError(f"'target' must be in [0, 1) (got {target})")
    return tuple(round(width * (1 - target)) for width in architecture.hidden_widths)


def work(architecture: Architecture, resolution: int, variant: Variant, *, target: float) -> Work:
    """Count one image's work from the closed form, `resolution` in pixels, `target` the share of hidden widths cut.

    Int8 is dynamic quantization: it touches the weights of Linear layers; their biases and all else stay fp32.
    Scales and zero points, a few bytes a layer, are left out.
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
    """Return the row of one device, input size and variant; the parameters are those of `work`."""
    asked = work(architecture, resolution, variant, target=target)
    level, gb_per_s = device.level(asked.bytes)
    reading = _milliseconds(asked.bytes, gb_per_s)
    computing = sum(_milliseconds(count, device.peak(precision)) for precision, count in asked.macs)
    published = [(count, rate) for precision, count in asked.macs if (rate := device.rate(precision))]
    known = len(published) == len(asked.macs)
    at_rates = sum(_milliseconds(count, rate.gmac_per_s) for count, rate in published)
    return Estimate(
        device=device.key,
        resolution=resolution,
        variant=variant,
        work=asked,
        level=level,
        limit="reading" if reading > computing else "computing",
        bound_ms=max(reading, computing),
        expected_ms=max(reading, at_rates) if known else None,
        basis=", ".join(dict.fromkeys(rate.model for _, rate in published)) if known else None,
    )


def estimates(
    devices: Iterable[Device],
    architecture: Architecture,
    *,
    target: float,
    resolutions: Sequence[int] = RESOLUTIONS,
    variants: Sequence[Variant] = VARIANTS,
) -> Iterator[Estimate]:
    """Yield the rows of all devices, input sizes and variants, nested in this order."""
    for device in devices:
        for resolution in resolutions:
            for variant in variants:
                yield estimate(device, architecture, resolution, variant, target=target)


def _milliseconds(amount: float, giga_per_s: float) -> float:
    return amount / (giga_per_s * 1e6)
