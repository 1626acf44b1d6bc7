"""How far dynamic quantization reaches: what it does to networks, beside the share of nn.Linear in each."""

from __future__ import annotations

from edgeai_repro.networks.variants import display_name
from edgeai_repro.report.document import PaperEntry

METRIC = "linear_share_bytes"  # its rows hold all columns
COLUMNS = {
    "share_of_linear": "share of nn.Linear",
    "reported_parameters_saved": "parameters, reported",
    "reported_macs_saved": "MACs, reported",
    "bytes_saved": "bytes saved",
}
HEADINGS = ("network", *COLUMNS.values())


def table(paper: PaperEntry) -> list[tuple[str, ...]]:
    """Return a line for each network that was measured, the one with the most nn.Linear last; none, no line."""
    found = [row for claim in paper.claims if claim.metric == METRIC for row in claim.rows]
    rows = sorted({row.model: row for row in found}.values(), key=lambda row: float(row.details["share_of_linear"]))
    return [(display_name(row.model), *(percent(row.details[name]) for name in COLUMNS)) for row in rows]


def percent(value: object) -> str:
    """Return a percentage with two decimals, as tables have it; a dash where there is none."""
    return f"{float(value):.2f} %".replace("-0.00", "0.00") if isinstance(value, int | float) else "–"
