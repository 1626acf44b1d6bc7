"""Weights that are quantized in value only are found, and others are not, whatever their layer looks like."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from edgeai_repro.audit.levels import find_levels

Floats = npt.NDArray[np.float32]
# Shapes of weights: large and small convolutions, depthwise ones, linear layers, embeddings.
SHAPES = [(64, 64, 3, 3), (64, 3, 7, 7), (128, 64, 1, 1), (96, 1, 7, 7), (500, 512), (10, 16), (1, 50, 64)]
FEW = [(96, 1, 3, 3), (64, 3, 1, 1)]  # filters of 9 and of 3 weights


def weights(shape: tuple[int, ...]) -> Floats:
    """Return normal weights, as a network has before and after training."""
    return np.random.default_rng(0).normal(0, 0.05, shape).astype(np.float32)


def fake_quantized(values: Floats, *, axis: int | None = 0, bits: int = 8) -> Floats:
    """Return weights rounded to the grid of symmetric integers, one scale per channel or (None) per tensor."""
    others = tuple(other for other in range(values.ndim) if other != axis)
    scale = np.abs(values).max(axis=others, keepdims=True) / (2 ** (bits - 1) - 1)
    return (np.round(values / scale) * scale).astype(np.float32)


def pruned(values: Floats) -> Floats:
    """Return weights of which four fifths are 0."""
    return np.where(np.random.default_rng(1).random(values.shape) < 0.8, 0, values).astype(np.float32)


def upper_bits(values: Floats) -> Floats:
    """Return the values rounded down to bfloat16, in fp32."""
    return (values.view(np.uint32) & 0xFFFF0000).view(np.float32)


@pytest.mark.parametrize("shape", [shape for shape in SHAPES if shape[0] > 1])
@pytest.mark.parametrize(("axis", "bits"), [(0, 8), (1, 8), (None, 8), (0, 4)])
def test_fake_quantized_weights_are_found(shape: tuple[int, ...], axis: int | None, bits: int) -> None:
    """Nearly all weights that can be judged lie on few levels, whichever way the scales run."""
    if axis == 1 and shape[1] == 1:
        axis = None  # the channels of a depthwise filter lie along the first axis only
    levels = find_levels(fake_quantized(weights(shape), axis=axis, bits=bits))

    assert levels.quantized > 0.85 * levels.judged > 0
    assert levels.bits == bits


@pytest.mark.parametrize("shape", [*SHAPES, *FEW])
@pytest.mark.parametrize("change", [np.copy, pruned, upper_bits, np.ones_like, np.zeros_like, np.sign])
def test_other_weights_raise_no_alarm(shape: tuple[int, ...], change: object) -> None:
    """Plain, pruned, constant and binary weights and those of 16 bits aren't taken for fake-quantized ones."""
    assert callable(change)
    assert find_levels(change(weights(shape))).quantized == 0


@pytest.mark.parametrize("shape", FEW)
def test_filters_of_few_weights_are_judged_only_if_they_can_be(shape: tuple[int, ...]) -> None:
    """Three weights lie on a grid by chance, so that they raise no alarm; of nine, most do."""
    levels = find_levels(fake_quantized(weights(shape)))

    assert levels.quantized > 0.5 * levels.judged if shape[2] == 3 else levels.quantized == 0


def test_clustered_weights_are_found() -> None:
    """256 values per channel needn't lie on a grid: a codebook of 8 bits can store them."""
    centres = np.sort(np.random.default_rng(2).normal(size=(8, 200)).astype(np.float32), axis=1)
    choices = np.random.default_rng(3).integers(0, 200, (8, 2000))
    levels = find_levels(np.take_along_axis(centres, choices, axis=1))

    assert (levels.quantized, levels.bits) == (16000, 8)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (weights((8, 64)), ""),
        (upper_bits(weights((8, 64))), "bfloat16"),
        (weights((8, 64)).astype(np.float16).astype(np.float32), "float16"),
        (np.ones((8, 64), np.float32), ""),
    ],
)
def test_values_of_16_bits_are_recognized(values: Floats, expected: str) -> None:
    """fp32 tensors with 16-bit values come from a base in 16 bits; constants prove nothing."""
    assert find_levels(values).half == expected


def test_empty_tensors_are_not_judged() -> None:
    """A layer without inputs has no weights."""
    assert find_levels(np.empty((4, 0), np.float32)) == (0, 0, 0, "")
