"""Muon steps along orthogonal matrices, as torch's own does in bf16, and trains convolutions and biases, too."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from edgeai_repro.training.muon import ITERATIONS, Muon, orthogonal


def matrix(*shape: int, seed: int = 0) -> torch.Tensor:
    """Return normal random numbers."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("shape", [(16, 40), (40, 16)])
def test_the_step_is_torchs(shape: tuple[int, int]) -> None:
    """Three steps on weights of a fixed size agree with torch.optim.Muon, as closely as its bf16 allows."""
    start = matrix(*shape)
    ours, theirs = nn.Parameter(start.clone()), nn.Parameter(start.clone())
    optimizer = Muon([ours], lr=0.1, momentum=0.9)
    lr = 0.1 / max(1, shape[0] / shape[1]) ** 0.5  # torch multiplies it by this root
    reference = torch.optim.Muon([theirs], lr=lr, momentum=0.9, weight_decay=0.0, ns_steps=ITERATIONS)
    for step in range(3):
        theirs.data *= shape[0] ** 0.5 / theirs.data.norm()
        ours.grad = theirs.grad = matrix(*shape, seed=step + 1)
        optimizer.step()
        reference.step()

    assert (ours - theirs).norm() < 0.01 * (theirs - start).norm()


def test_singular_values_become_near_one() -> None:
    """They spread over two orders of magnitude before."""
    left, right = (torch.linalg.qr(matrix(20, 20, seed=seed)).Q for seed in (1, 2))
    spread = left @ torch.diag(torch.logspace(0, -1.5, 20)) @ right

    values = torch.linalg.svdvals(orthogonal(spread))

    assert values.min() > 0.3
    assert values.max() < 1.3


def test_a_convolution_is_one_matrix_in_any_memory_format() -> None:
    """The step of a (K, C, 3, 3) weight is that of its (K, 9 C) matrix."""
    flat, conv = nn.Parameter(matrix(8, 36)), nn.Parameter(matrix(8, 36).view(8, 4, 3, 3))
    conv.data = conv.data.to(memory_format=torch.channels_last)
    for parameter in (flat, conv):
        parameter.grad = matrix(8, 36, seed=1).view(parameter.shape)
        Muon([parameter], lr=0.1, momentum=0.9).step()

    torch.testing.assert_close(conv.flatten(1), flat)


@pytest.mark.parametrize("size", [1e-3, 1e3])
def test_the_size_of_a_weight_has_no_effect(size: float) -> None:
    """Without a gradient it is scaled to the root of its rows, and the direction stays."""
    weight = nn.Parameter(size * matrix(4, 9))
    weight.grad = torch.zeros(4, 9)
    Muon([weight], lr=0.1, momentum=0.9).step()

    torch.testing.assert_close(weight.detach(), 2 * matrix(4, 9) / matrix(4, 9).norm())


@pytest.mark.parametrize(("size", "moved"), [(1e-6, 0.01), (1e6, 0.01), (0.0, 0.0)])
def test_a_vector_moves_by_a_tenth_of_the_learning_rate(size: float, moved: float) -> None:
    """Whatever the size of its gradient; one without a gradient stays."""
    bias = nn.Parameter(torch.zeros(10))
    bias.grad = size * matrix(10)
    Muon([bias], lr=0.1, momentum=0.9).step()

    assert bias.square().mean().sqrt().item() == pytest.approx(moved, rel=1e-3)
