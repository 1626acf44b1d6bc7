"""The page that `make sweep` writes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from tests.support.zoo_counts import Comparison

COLUMNS: dict[str, Callable[[Comparison], bool]] = {
    "networks": lambda one: True,
    "run": lambda one: not one.fails,
    "MACs within 0.1 %": lambda one: abs(one.difference) <= 0.001,
    "1 %": lambda one: abs(one.difference) <= 0.01,
    "5 %": lambda one: abs(one.difference) <= 0.05,
    "parameters equal": lambda one: bool(one.torch_macs) and one.parameters == one.torch_parameters,
    "explained": lambda one: one.outcome == "explained",
    "refused": lambda one: bool(one.refused),
    "differ": lambda one: one.outcome == "differs",
}


def summary(comparisons: Sequence[Comparison]) -> Iterator[str]:
    yield from (one.model_dump_json() for one in comparisons if one.outcome not in ("agrees",))
    for name, holds in COLUMNS.items():
        yield f"{name} {sum(map(holds, comparisons))}"


def page(comparisons: Sequence[Comparison]) -> str:
    return "\n".join(summary(comparisons)) + "\n"
