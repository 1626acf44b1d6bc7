"""Finds weights that are stored as floats but take few values: quantized in value, not in storage. No torch."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

LEVELS = 256  # of 8 bits
MANY = 2 * LEVELS  # weights of a channel that take at most 256 values don't do so by chance
FEWEST = 8  # weights of a channel; fewer may lie on a grid by chance
STEPS = 4  # a channel's two nearest values are at most so many steps of its grid apart
TOLERANCE = 0.02  # of a step: fp32 rounds 255 steps by 255 × 255 × 6e-8 of a step
SAMPLE = 64  # channels that are judged first; if none of them has few levels, no other is expected to
HALF_SAMPLE = 1024  # values
Array = npt.NDArray[Any]


class Levels(NamedTuple):
    """How many weights of a tensor lie on at most 256 levels per channel, and how many of them could be judged.

    `bits` number the levels of the channel that has most; 0 if no weight lies on few levels. `half` is "bfloat16"
    or "float16" if all the weights have values of that type, though they are stored in fp32.
    """

    quantized: int
    judged: int
    bits: int
    half: str


def find_levels(weight: Array) -> Levels:
    """Judge a tensor of floats with two or more dimensions, by channels along its first or its second axis."""
    if not weight.size:
        return Levels(0, 0, 0, "")
    values = np.asarray(weight, np.float32)
    levels = _along(values)
    if not levels.quantized:
        levels = _along(np.moveaxis(values, 1, 0))
    return levels if levels.quantized or weight.dtype != np.float32 else levels._replace(half=_half(values))


def _along(values: Array) -> Levels:
    """Judge a tensor by channels along its first axis."""
    chosen = values[:: -(-len(values) // SAMPLE)]
    levels = _by_channel(chosen.reshape(len(chosen), -1))
    if not levels.quantized:
        judged = np.count_nonzero(values) if levels.judged else 0
        return levels._replace(judged=int(judged))
    return _by_channel(values.reshape(len(values), -1))


def _by_channel(channels: Array) -> Levels:
    """Judge the weights of shape (channels, weights)."""
    nonzero = np.count_nonzero(channels, axis=1)
    judged = quantized = most = 0
    many = nonzero >= MANY
    if many.any():
        judged += int(nonzero[many].sum())
        distinct = _distinct(channels[many])
        few = (distinct <= LEVELS) & (distinct > 2)  # a constant, also with zeros, is initialized so
        quantized += int(nonzero[many][few].sum())
        most = int(distinct[few].max(initial=0))
    some = (nonzero >= FEWEST) & ~many
    if some.any():
        judged += int(nonzero[some].sum())
        on_grid, steps = _on_grid(channels[some])
        quantized += int(nonzero[some][on_grid].sum())
        most = max(most, int(steps[on_grid].max(initial=0)))
    return Levels(quantized, judged, int(most - 1).bit_length() if most else 0, "")


def _distinct(channels: Array) -> Array:
    """Return the number of different values in each channel."""
    ordered = np.sort(channels, axis=1)
    distinct: Array = 1 + np.count_nonzero(ordered[:, 1:] != ordered[:, :-1], axis=1)
    return distinct


def _on_grid(channels: Array) -> tuple[Array, Array]:
    """Return which channels have only multiples of a step, at most 255 from lowest to highest, and how many levels.

    The step is the smallest distance of two values, or a half, a third or a quarter of it.
    """
    ordered = np.sort(np.concatenate([channels, np.zeros((len(channels), 1))], axis=1).astype(np.float64), axis=1)
    gaps = np.diff(ordered, axis=1)
    extent = ordered[:, -1] - ordered[:, 0]
    real = gaps > extent[:, None] * 1e-6  # equal values, rounded
    varied = _distinct(channels) > 2  # a constant lies on any grid, also with zeros
    nearest = np.where(real, gaps, np.inf).min(axis=1)
    on_grid, levels = np.zeros(len(channels), bool), np.zeros(len(channels), np.int64)
    for divisor in range(1, STEPS + 1):
        with np.errstate(invalid="ignore", divide="ignore"):
            steps = ordered / (nearest / divisor)[:, None]
            extents = extent / nearest * divisor
            fits = (np.abs(steps - np.round(steps)) < TOLERANCE).all(axis=1) & (extents < LEVELS) & varied
        levels[fits & ~on_grid] = np.round(extents[fits & ~on_grid]).astype(np.int64) + 1
        on_grid |= fits
    return on_grid, levels


def _half(values: Array) -> str:
    """Return the 16-bit type that holds every value exactly, if the values differ enough to tell."""
    sample = values.reshape(-1)[:HALF_SAMPLE]
    if len(np.unique(sample)) < FEWEST:
        return ""
    for part in (sample, values.reshape(-1)):
        bfloat16 = not (np.ascontiguousarray(part).view(np.uint32) & 0xFFFF).any()
        with np.errstate(over="ignore"):
            float16 = bool((part.astype(np.float16) == part).all())
        if not (bfloat16 or float16):
            return ""
    return "bfloat16" if bfloat16 else "float16"
