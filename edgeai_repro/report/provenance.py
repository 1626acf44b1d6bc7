"""Where a document comes from: the date, the commit, the command line and its options. No torch."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from pydantic import NonNegativeFloat, NonNegativeInt

from edgeai_repro.evidence import environment
from edgeai_repro.evidence.measurement import Frozen


class Provenance(Frozen):
    """The run that a document comes from.

    `date` is the start of the run in UTC, ISO 8601. `commit` is that of the claims folder's repository, with `+` if
    files were changed since, `unknown` without a repository. `options` are those that were given, by their names.
    `seconds` is how long the run took, `peak_memory` the most bytes that one of its processes held; None if
    unknown.
    """

    date: str
    commit: str
    command: str
    options: dict[str, str]
    seconds: NonNegativeFloat | None = None
    peak_memory: NonNegativeInt | None = None


def describe(folder: Path, command: str, options: dict[str, str]) -> Provenance:
    """Return the provenance of a run of the claims in `folder` that starts now."""
    return Provenance(
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        commit=environment.commit(folder),
        command=command,
        options=options,
    )


def finished(run: Provenance) -> Provenance:
    """Return a run with the seconds since its start and its peak memory, which Windows doesn't tell."""
    seconds = (datetime.now(UTC) - datetime.fromisoformat(run.date)).total_seconds()
    try:
        import resource
    except ImportError:
        return run.model_copy(update={"seconds": seconds})
    processes = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    kilobytes = max(resource.getrusage(process).ru_maxrss for process in processes)
    return run.model_copy(update={"seconds": seconds, "peak_memory": 1024 * kilobytes})
