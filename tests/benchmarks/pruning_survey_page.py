"""The page that the survey of pruning writes: how many networks each library prunes, and which it breaks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from importlib.metadata import version

from edgeai_repro.judge.formatting import format_number
from tests.support.pruning import BROKEN, Outcome, Result, Survey

LIBRARIES = ("torch", "torchvision", "timm", "only-train-once", "torch-pruning")
METHODS = ("only_train_once", "torch_pruning", "structured_pruning")
MEANINGS: dict[Result, str] = {
    "exact": "exact",
    "differs": "**broken**: smaller, but its outputs differ",
    "does not run": "**broken**: smaller, but doesn't run",
    "nothing removed": "unchanged",
    "refused": "refused",
    "fails": "an error, or no result in a minute of processor time",
}
INTRODUCTION = """\
# Pruning of 40 families

Written by `make pruning-survey`, with {versions}.

One network of each of 40 families of torchvision and timm, with 10 classes and random weights, loses half of its
channels in three ways:

- **only_train_once** by itself: half of each group that it finds is set to 0, and it writes the smaller network;
- **torch-pruning** by itself: half of each group but the last layer's, by the group's norm, as its manual says;
- **structured_pruning**, the technique of this project: torch-pruning for the groups that can be removed exactly.

Exact means: with random weights, biases and running statistics the smaller network gives the outputs of the
original whose removed values are 0, to 1e-5 of the largest, and the original itself gives others. A percentage is
the share of the parameters that is gone. Networks whose normalisations or attention mix channels can't be exact at
a smaller width: to remove such channels changes more than the removed weights, and training must make up for it.
"""


def page(surveys: Sequence[Survey], families: int) -> str:
    """Return the page; `families` is the number of all, of which some may not be tried yet."""
    versions = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    lines = [INTRODUCTION.format(versions=versions)]
    if len(surveys) < families:
        lines.append(f"**Not complete: {len(surveys)} of {families} families are tried so far.**\n")
    return "\n".join([*lines, *_summary(surveys), "", *_table(surveys), "", *_reasons(surveys), ""])


def _summary(surveys: Sequence[Survey]) -> Iterator[str]:
    yield f"| | {' | '.join(METHODS)} |"
    yield f"|:--|{'--:|' * len(METHODS)}"
    counted = [Counter(getattr(one, method).result for one in surveys) for method in METHODS]
    for result, meaning in MEANINGS.items():
        if any(counter[result] for counter in counted):
            yield f"| {meaning} | {' | '.join(str(counter[result]) for counter in counted)} |"


def _table(surveys: Sequence[Survey]) -> Iterator[str]:
    yield f"| family | network | {' | '.join(METHODS)} |"
    yield f"|:--|:--|{':--|' * len(METHODS)}"
    for one in surveys:
        cells = (_cell(getattr(one, method)) for method in METHODS)
        yield f"| {one.family} | {one.network} | {' | '.join(cells)} |"


def _cell(outcome: Outcome) -> str:
    removed = f", −{format_number(outcome.removed, '%')}" if outcome.removed else ""
    return f"**{outcome.result}**{removed}" if outcome.result in BROKEN else f"{outcome.result}{removed}"


def _reasons(surveys: Sequence[Survey]) -> Iterator[str]:
    """Yield a list of what stopped or broke each network."""
    for one in surveys:
        reasons = [(method, getattr(one, method).detail) for method in METHODS if getattr(one, method).detail]
        if reasons:
            yield f"- {one.family}: " + "; ".join(f"{method}: {_escaped(detail)}" for method, detail in reasons)


def _escaped(text: str) -> str:
    return "".join(f"\\{sign}" if sign in "\\`*_[]<>|" else sign for sign in text)
