"""Rows, settings and a network for the tests of audits."""

from __future__ import annotations

from torch import nn

from edgeai_repro.audit.audit import techniques_of
from edgeai_repro.audit.schema import Audit, Row

UNCOMPRESSED_ONLY = {name: [] for name in techniques_of()}  # settings of an audit: no technique is tried


def row_of(technique: str, result: Audit) -> Row:
    """Return the row of a technique."""
    return next(row for row in result.rows if row.technique == technique)


def net() -> nn.Module:
    """Return a small network for 8 × 8 pixels."""
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(144, 2))
