"""Annotations of GitHub Actions: a message for each claim that does not hold, on the claim's line in its file.

https://docs.github.com/actions/reference/workflow-commands-for-github-actions
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from edgeai_repro.claims.lines import claim_lines
from edgeai_repro.errors import UserError
from edgeai_repro.report import front_page, text
from edgeai_repro.report.document import ClaimEntry, Document, PaperEntry
from edgeai_repro.report.plain import printable_line

VARIABLE = "GITHUB_ACTIONS"  # GitHub sets it to "true"
WARNED = ("artefact", "contradicted")


def commands(document: Document, files: Mapping[str, Path], root: Path) -> list[str]:
    """Return GitHub's workflow command for each claim with an annotation: errors first, then warnings.

    Drift and a failed measurement are errors, an expected artefact or contradiction is a warning. GitHub shows only
    the first ten of each. `files` are the claims files by paper, `root` is the folder of the checkout.
    """
    annotated = [(paper, claim) for paper in document.papers for claim in paper.claims if _level(claim)]
    lines = {paper: _lines(files[paper]) for paper in dict.fromkeys(paper.id for paper, _ in annotated)}
    return [
        _command(level, paper, claim, files[paper.id], lines[paper.id], root)
        for level in ("error", "warning")
        for paper, claim in annotated
        if _level(claim) == level
    ]


def _level(claim: ClaimEntry) -> str:
    if front_page.fails(claim):
        return "error"
    return "warning" if claim.verdict in WARNED else ""


def _lines(file: Path) -> dict[str, int]:
    """Return the lines of the claims, none if the file was removed or broken since the run read it."""
    try:
        return claim_lines(file)
    except UserError:
        return {}  # the annotations then stand on the first line


def _command(
    level: str, paper: PaperEntry, claim: ClaimEntry, file: Path, lines: Mapping[str, int], root: Path
) -> str:
    properties = {
        "file": os.path.relpath(file, root),
        "line": str(lines.get(claim.id, 1)),
        "title": f"{paper.id}/{claim.id}: {text.verdict_label(claim)}",
    }
    given = ",".join(f"{name}={escape_property(value)}" for name, value in properties.items())
    return f"::{level} {given}::{escape_message(printable_line(text.explanation(claim)))}"


def escape_message(message: str) -> str:
    """Return a message as GitHub decodes it again; it stays on one line."""
    return message.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def escape_property(value: str) -> str:
    """Return the value of a property as GitHub decodes it again; nothing in it ends the value."""
    return escape_message(value).replace(":", "%3A").replace(",", "%2C")
