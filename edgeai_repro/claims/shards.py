"""Divides the claims between machines: each is in exactly one shard, and claims on the same networks stay together.

The division depends only on the claims files, so machines that have the same files agree on it. Pure; no torch.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from edgeai_repro.claims.schema import ClaimCase
from edgeai_repro.errors import UserError

OPTION = "--claims-shard"


@dataclass(frozen=True, order=True)
class Shard:
    """A part of the claims: `number` is from 1 to `of`, the number of parts. As text, it is "2/5"."""

    of: int
    number: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Return the shard that a text like "2/5" names. Raises UserError, in one line, for any other text."""
        parts = re.fullmatch(r"([0-9]{1,4})/([0-9]{1,4})", text)
        number, of = (int(part) for part in parts.groups()) if parts else (0, 0)
        if not 1 <= number <= of:
            raise UserError(
                f"{OPTION} must be NUMBER/OF with a number from 1 to OF (got {text!r}); write {OPTION}=2/5 for the "
                "second of five"
            )
        return cls(of, number)

    def __str__(self) -> str:
        """Return the text that `parse` takes."""
        return f"{self.number}/{self.of}"

    def select(self, cases: Sequence[ClaimCase]) -> list[ClaimCase]:
        """Return the claims of this shard, in their order. `cases` are those of all shards."""
        shards = divide(cases, self.of)
        chosen = {case.id for case in shards[self.number - 1]} if self.number <= len(shards) else set()
        return [case for case in cases if case.id in chosen]


def divide(cases: Sequence[ClaimCase], number: int) -> list[list[ClaimCase]]:
    """Divide claims into at most `number` parts with about the same number of rows to measure.

    Claims that share a network, directly or through others, form a cluster, which stays whole if it fits into a
    part. Of a larger one, each group of claims on the same networks stays whole, and goes where most of its
    networks are already needed. So only a few networks are built in more than one part.
    """
    groups = _groups(cases)
    parts = [_Part(index) for index in range(min(number, len(groups)))]
    room = sum(group.rows for group in groups) / max(len(parts), 1)  # of each part
    for cluster in _clusters(groups):
        lightest = min(parts, key=lambda part: (part.rows, part.index))
        if lightest.rows + sum(group.rows for group in cluster) <= room:
            for group in cluster:
                lightest.add(group)
        else:
            for group in cluster:
                _place(group, parts, room)
    return [part.cases for part in parts]


@dataclass(frozen=True)
class _Group:
    """The claims on the same networks, and the number of rows that they measure."""

    networks: frozenset[str]
    cases: list[ClaimCase]
    rows: int

    @property
    def order(self) -> tuple[int, str]:
        """The largest group comes first."""
        return -self.rows, min(case.id for case in self.cases)


@dataclass
class _Part:
    """The claims of a shard so far."""

    index: int
    cases: list[ClaimCase] = field(default_factory=list)
    networks: set[str] = field(default_factory=set)
    rows: int = 0

    def add(self, group: _Group) -> None:
        self.cases += group.cases
        self.networks |= group.networks
        self.rows += group.rows


def _place(group: _Group, parts: Iterable[_Part], room: float) -> None:
    """Add a group to the part with room that needs most of its networks anyway, else to the lightest part."""

    def preference(part: _Part) -> tuple[bool, int, int, int]:
        fits = part.rows + group.rows <= room
        return not fits, -len(part.networks & group.networks) if fits else 0, part.rows, part.index

    min(parts, key=preference).add(group)


def by_networks(cases: Iterable[ClaimCase]) -> dict[frozenset[str], list[ClaimCase]]:
    """Return the claims by their networks. Two papers may give one network two names, or two networks one name."""
    groups: dict[frozenset[str], list[ClaimCase]] = defaultdict(list)
    for case in cases:
        specs = case.paper.networks
        groups[frozenset(repr(specs.get(name, name)) for name in case.claim.networks)].append(case)
    return groups


def _groups(cases: Sequence[ClaimCase]) -> list[_Group]:
    """Return the claims on the same networks together."""
    return [_Group(networks, members, sum(map(_rows, members))) for networks, members in by_networks(cases).items()]


def _rows(case: ClaimCase) -> int:
    claim = case.claim
    return sum(len(claim.variants_for(model)) for model in (*claim.models, *claim.also_shown))


def _clusters(groups: Sequence[_Group]) -> list[list[_Group]]:
    """Return groups that share networks together, directly or through others; the largest cluster comes first."""
    leaders: dict[str, str] = {}  # each network leads to another of its cluster, one to itself

    def leader(network: str) -> str:
        while leaders.setdefault(network, network) != network:
            leaders[network] = network = leaders[leaders[network]]
        return network

    for group in groups:
        first, *others = group.networks
        for other in others:
            leaders[leader(other)] = leader(first)
    clusters: dict[str, list[_Group]] = defaultdict(list)
    for group in sorted(groups, key=lambda group: group.order):
        clusters[leader(next(iter(group.networks)))].append(group)
    return sorted(clusters.values(), key=lambda cluster: (-sum(group.rows for group in cluster), cluster[0].order))
