"""Where a document comes from: the date, the commit, the command line and its options. No torch."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from edgeai_repro.evidence import environment
from edgeai_repro.evidence.measurement import Frozen


class Provenance(Frozen):
    """The run that a document comes from.

    `date` is the start of the run in UTC, ISO 8601. `commit` is that of the claims folder's repository, with `+` if
    files were changed since, `unknown` without a repository. `options` are those that were given, by their names.
    """

    date: str
    commit: str
    command: str
    options: dict[str, str]


def describe(folder: Path, command: str, options: dict[str, str]) -> Provenance:
    """Return the provenance of a run of the claims in `folder` that starts now."""
    return Provenance(
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        commit=environment.commit(folder),
        command=command,
        options=options,
    )
