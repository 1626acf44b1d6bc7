"""What is timed against others: a model of a bundle in a runtime. No torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from edgeai_repro.claims.schema import Claim
from edgeai_repro.edge.bundle import TECHNIQUE_OF_VARIANT, Variant

Runtime = Literal["onnxruntime", "eager"]


@dataclass(frozen=True)
class Contender:
    """A model of the bundle in a runtime: what is timed against others."""

    runtime: Runtime
    variant: Variant

    def __str__(self) -> str:
        """Return its name in tables and test ids."""
        return f"{self.variant}-{self.runtime}"


def needs_timing_of(claim: Claim, contender: Contender) -> bool:
    """Tell whether a claim's verdict uses a contender's times."""
    if not claim.deployed:
        return False
    settings = claim.settings
    pairs = {
        (claim.technique, str(settings.get("runtime", ["onnxruntime"])[0])),
        (str(settings.get("baseline", [""])[0]), str(settings.get("baseline_runtime", [""])[0])),
    }
    return (TECHNIQUE_OF_VARIANT[contender.variant], contender.runtime) in pairs
