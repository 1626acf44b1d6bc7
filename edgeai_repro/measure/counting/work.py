"""The work of a run: multiply-accumulates by operator and kind."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from edgeai_repro.measure.counting.stored_values import StoredValue

Kind = Literal["conv", "linear", "attention", "other"]


@dataclass
class Work:
    """The multiply-accumulates of one operator in all its calls.

    `nonzero_macs` leaves out those of weights that are 0; `activation_macs` are those of two activations.
    """

    operator: str
    kind: Kind
    calls: int = 0
    macs: int = 0
    nonzero_macs: int = 0
    activation_macs: int = 0
    bit_operations: int = 0

    def add(self, macs: int, nonzero: int, activation: int, bits: int) -> None:
        """Add the multiply-accumulates of one product, of operands whose bits multiply to `bits`."""
        self.macs += macs
        self.nonzero_macs += nonzero
        self.activation_macs += activation
        self.bit_operations += macs * bits


@dataclass
class Run:
    """What a run shows: the work of each operator, and operators without a rule.

    `kinds` says what each stored value is used for. `weights` has the number of weights, and of those that are not
    0, of each value that doesn't show it: a buffer that serves as a weight, or several weights packed into a value.
    """

    work: dict[tuple[str, Kind], Work] = field(default_factory=dict)
    uncounted: set[str] = field(default_factory=set)
    kinds: dict[StoredValue, Kind] = field(default_factory=dict)
    weights: dict[StoredValue, tuple[int, int]] = field(default_factory=dict)

    def of(self, operator: str, kind: Kind) -> Work:
        """Return the work of an operator that is of one kind."""
        return self.work.setdefault((operator, kind), Work(operator, kind))
