"""The table of what dynamic quantization saves in networks with few and many nn.Linear layers."""

from __future__ import annotations

import math

from edgeai_repro.evidence.measurement import Measurement
from edgeai_repro.networks.variants import display_name
from edgeai_repro.report.document import PaperEntry

MEASURED = "linear_share_bytes", "dynamic_quantization"  # metric and technique; the rows hold all columns
COLUMNS = {
    "share_of_linear": "share of nn.Linear",
    "reported_parameters_saved": "parameters, reported",
    "reported_macs_saved": "MACs, reported",
    "bytes_saved": "bytes saved",
}
HEADINGS = ("network", *COLUMNS.values())


def table(paper: PaperEntry) -> list[tuple[str, ...]]:
    """Return the effect of dynamic quantization, one line per network, ordered by the share of nn.Linear.

    The list is empty if no claim measured it.
    """
    claims = [claim for claim in paper.claims if (claim.metric, claim.technique) == MEASURED]
    rows = [row for claim in claims for row in claim.rows]
    unique = {row.model: row for row in rows}.values()
    ordered = sorted(unique, key=_share_of_linear)
    return [(display_name(row.model), *(percent(row.details.get(name)) for name in COLUMNS)) for row in ordered]


def _share_of_linear(row: Measurement) -> float:
    """Return the share by which networks are ordered; a row without it comes last."""
    share = row.details.get("share_of_linear")
    return share if isinstance(share, int | float) else math.inf


def percent(value: object) -> str:
    """Return a percentage with two decimals, as in tables; a dash if there is none."""
    return f"{float(value):.2f} %".replace("-0.00", "0.00") if isinstance(value, int | float) else "–"
