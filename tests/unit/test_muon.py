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
    """Three steps agree with torch.optim.Muon at the same settings, as closely as its bf16 allows."""
    ours, theirs = nn.Parameter(matrix(*shape)), nn.Parameter(matrix(*shape))
    settings = {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.05}
    optimizers = [
        Muon([ours], **settings),
        torch.optim.Muon([theirs], **settings, ns_steps=ITERATIONS, adjust_lr_fn="match_rms_adamw"),
    ]
    for step in range(3):
        for parameter, optimizer in zip((ours, theirs), optimizers, strict=True):
            parameter.grad = matrix(*shape, seed=step + 1)
            optimizer.step()

    moved = (theirs - matrix(*shape)).norm()
    assert (ours - theirs).norm() < 0.01 * moved


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
        Muon([parameter], lr=0.1, momentum=0.9, weight_decay=0.0).step()

    torch.testing.assert_close(conv.flatten(1), flat)


def test_a_vector_moves_by_the_learning_rate() -> None:
    """Whatever the size of its gradient; one without a gradient stays."""
    for size, moved in ((1e-6, 0.1), (1e6, 0.1), (0.0, 0.0)):
        bias = nn.Parameter(torch.zeros(10))
        bias.grad = size * matrix(10)
        Muon([bias], lr=0.1, momentum=0.9, weight_decay=0.0).step()
        assert bias.square().mean().sqrt().item() == pytest.approx(moved, rel=1e-3)


def test_weights_decay() -> None:
    """By the learning rate times the decay, as AdamW's."""
    weight = nn.Parameter(matrix(4, 4))
    weight.grad = torch.zeros(4, 4)
    Muon([weight], lr=0.1, momentum=0.9, weight_decay=0.5).step()

    torch.testing.assert_close(weight.detach(), 0.95 * matrix(4, 4))
