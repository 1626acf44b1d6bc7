"""Inputs and layers for tests of counters, with their MACs."""

from __future__ import annotations

import torch
from torch import nn

from edgeai_repro.measure.counting.run import Inputs

TOKENS, WIDTH, HEADS = 50, 64, 4
LINEAR = WIDTH * WIDTH * TOKENS
CONVOLUTION = 8 * 8 * 9 * 16 * 16


def tokens() -> Inputs:
    """Return one sequence of tokens."""
    return (torch.zeros(1, TOKENS, WIDTH),)


def image() -> Inputs:
    """Return one small image."""
    return (torch.zeros(1, 8, 16, 16),)


def convolution() -> nn.Module:
    """Return a network of one convolution without biases."""
    return nn.Sequential(nn.Conv2d(8, 8, 3, padding=1, bias=False))
