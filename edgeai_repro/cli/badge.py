"""`edgeai-repro badge`: the verdicts of a run as a badge for shields.io's endpoint. Runs without torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer


def badge(
    json_file: Annotated[Path, typer.Argument(metavar="JSON", help="a file written by --claims-json")],
) -> None:
    """Print a run's verdicts as a badge, for shields.io.

    The badge is red if a verdict differs from the expected one. See https://shields.io/badges/endpoint-badge.

    Example: edgeai-repro badge verdicts.json > badge.json
    """
    from edgeai_repro.report import document, front_page, text

    claims = front_page.all_claims(document.read(json_file))
    published = [claim for claim in claims if claim.source != "ours"] or claims
    holding = sum(claim.verdict in ("reproduced", "attainable") for claim in published)
    shown = {
        "schemaVersion": 1,
        "label": "claims",
        "message": f"{holding} of {len(published)} hold",
        "color": "red" if any(map(text.drifted, claims)) else "green",
    }
    typer.echo(json.dumps(shown))
