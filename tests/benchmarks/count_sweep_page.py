"""The page that `make sweep` writes: how many counts agree with torch's, and why the others don't."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from importlib.metadata import version

from tests.support.zoo_counts import AGREES, Comparison

LIBRARIES = ("torch", "torchvision", "timm")
Test = Callable[[Comparison], bool]
COLUMNS: dict[str, Test] = {
    "networks": lambda one: True,
    "run": lambda one: not one.fails,
    "within 0.1 %": lambda one: _within(one, AGREES),
    "1 %": lambda one: _within(one, 0.01),
    "5 %": lambda one: _within(one, 0.05),
    "parameters equal": lambda one: _counted(one) and one.parameters == one.torch_parameters,
    "explained": lambda one: one.outcome == "explained",
    "refused": lambda one: one.outcome == "refused",
    "not explained": lambda one: one.outcome == "differs",
}
INTRODUCTION = """\
# Counts of every network

Written by `make sweep`, with {versions}.

It counts every network of torchvision and every architecture of timm, with random weights, and compares

- MACs with half of what torch's `FlopCounterMode` counts, torch's fused transformer operators switched off;
- parameters with the sum of `numel()` over `parameters()`;
- int8 networks with the fused float networks that they were made from: the same MACs and parameters, and 8 × 8 bit
  operations per MAC.

Networks run on the meta device, without values. Detectors, int8 networks and the few that need values run on the
CPU.
"""


def page(comparisons: Sequence[Comparison], networks: int) -> str:
    """Return the page; `networks` is the number of all, of which some may not be counted yet."""
    versions = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    lines = [INTRODUCTION.format(versions=versions)]
    if len(comparisons) < networks:
        lines.append(f"**Not complete: {len(comparisons)} of {networks} networks are counted so far.**\n")
    return "\n".join([*lines, *summary(comparisons), *_exceptions(comparisons), ""])


def summary(comparisons: Sequence[Comparison]) -> Iterator[str]:
    """Yield a table: how many networks of each kind agree."""
    kinds: defaultdict[str, list[Comparison]] = defaultdict(list)
    for one in comparisons:
        kinds[_kind(one)].append(one)
    yield f"| | {' | '.join(COLUMNS)} |"
    yield f"|:--|{'--:|' * len(COLUMNS)}"
    for name, members in [*kinds.items(), ("all", list(comparisons))]:
        yield f"| {name} | {' | '.join(str(sum(map(test, members))) for test in COLUMNS.values())} |"


def _exceptions(comparisons: Sequence[Comparison]) -> Iterator[str]:
    headings = {
        "explained": "Explained differences",
        "differs": "Differences that are not explained",
        "refused": "Networks that our counter refuses",
        "does not run": "Networks that do not run",
    }
    for outcome, heading in headings.items():
        reasons: defaultdict[str, list[Comparison]] = defaultdict(list)
        for one in comparisons:
            if one.outcome == outcome:
                reasons[reason(one)].append(one)
        if reasons:
            yield from ("", f"## {heading}", "", "| reason | networks |", "|:--|:--|")
            for text, members in sorted(reasons.items()):
                yield f"| {text} | {', '.join(_named(one) for one in members)} |"


def reason(one: Comparison) -> str:
    """Return in words why the counts of a network are not the same."""
    if one.fails or one.refused:
        return (one.fails or one.refused).replace("|", "\\|")
    parts = []
    if one.buffers:
        parts.append(
            f"`parameters()` leaves out the weights in the buffer{'s'[: len(one.buffers) > 1]} {_some(one.buffers)}"
        )
    if one.missing:
        parts.append(
            f"FlopCounterMode has no formula for {' and '.join(f'`{name}`' for name in sorted(one.missing))}"
        )
    elif not _within(one, AGREES):
        parts.append("other MACs")
    if one.uncounted:
        parts.append(f"no rule for {' and '.join(f'`{name}`' for name in one.uncounted)}")
    if one.parameters != one.torch_parameters and not one.buffers:
        parts.append("other parameters")
    if one.int8 != one.quantized:
        parts.append("other bits")
    return "; ".join(parts)


def _some(names: Collection[str]) -> str:
    """Return the first name, and how many there are."""
    first = next(iter(names))
    return f"`{first}`" + (f" and {len(names) - 1} more like it" if len(names) > 1 else "")


def _named(one: Comparison) -> str:
    """Return a network's name, with the differences that it has."""
    differences = []
    if _counted(one) and not _within(one, AGREES):
        differences.append(f"{one.difference:+.2%}")
    if _counted(one) and one.parameters != one.torch_parameters:
        differences.append(f"{one.parameters - one.torch_parameters:+,} parameters")
    return f"`{one.id}`" + (f" ({', '.join(differences)})" if differences else "")


def _kind(one: Comparison) -> str:
    library, _, _ = one.id.partition(":")
    task = one.family.partition(".")[0]
    tasks = ("segmentation", "detection", "video", "optical_flow", "quantization")
    if library != "torchvision":
        return library
    return f"torchvision, {task.replace('_', ' ') if task in tasks else 'classification'}"


def _counted(one: Comparison) -> bool:
    return not one.fails and not one.refused


def _within(one: Comparison, share: float) -> bool:
    return _counted(one) and abs(one.difference) <= share
