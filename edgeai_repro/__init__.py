"""Re-runs the claims of network-compression papers and reports which hold.

Claims are data; a source measures them; `judge` compares the rows with the claim's band. The names below are the
public interface. They are imported when they are first used, because `metric` and `technique` need no torch but
much else.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.2.0"
__all__ = ["Claim", "Interval", "Measurement", "audit", "metric", "technique"]

if TYPE_CHECKING:
    from edgeai_repro import audit
    from edgeai_repro.claims.registry import technique
    from edgeai_repro.claims.schema import Claim
    from edgeai_repro.evidence.measurement import Interval, Measurement
    from edgeai_repro.measure.quantities import metric

_HOMES = {
    "Claim": "claims.schema",
    "Interval": "evidence.measurement",
    "Measurement": "evidence.measurement",
    "metric": "measure.quantities",
    "technique": "claims.registry",
}


def __getattr__(name: str) -> Any:
    """Import a public name from its module."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
