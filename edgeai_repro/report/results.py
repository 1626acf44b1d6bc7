"""The results of a run. Each travels from the process that judged it to the one that writes the files."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from pydantic import Field

from edgeai_repro.evidence.measurement import Environment, Frozen
from edgeai_repro.report.document import ClaimEntry, ImplicationEntry


class Result(Frozen):
    """The result of one claim or implication.

    `case` is the id of the claim or implication, with its paper. `environment` is that of the process that judged
    it. `seconds` are those that each step took in this process since its previous result.
    """

    case: str
    entry: ClaimEntry | ImplicationEntry
    environment: Environment
    seconds: dict[str, float] = Field(default_factory=dict)


@dataclass
class Results:
    """The results so far, by the ids of their cases, and the seconds that each step took in all processes.

    `environment` is that of the last process that had loaded torch, or of the last if none had; None if there is no
    result.
    """

    claims: dict[str, ClaimEntry] = field(default_factory=dict)
    implications: dict[str, ImplicationEntry] = field(default_factory=dict)
    seconds: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    environment: Environment | None = None

    @property
    def is_empty(self) -> bool:
        """Whether there is no result yet."""
        return not (self.claims or self.implications)

    def add(self, result: Result) -> None:
        """Add a result. An error doesn't replace the verdict that another test of the claim got."""
        if isinstance(result.entry, ImplicationEntry):
            self.implications[result.case] = result.entry
        elif result.entry.verdict != "error" or result.case not in self.claims:
            self.claims[result.case] = result.entry
        if self.environment is None or result.environment.engine or not self.environment.engine:
            self.environment = result.environment
        for step, seconds in result.seconds.items():
            self.seconds[step] += seconds
