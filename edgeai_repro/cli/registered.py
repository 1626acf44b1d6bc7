"""`edgeai-repro claims metrics` and `claims techniques`: what a claim can name. Runs without torch."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from edgeai_repro.errors import require_known

if TYPE_CHECKING:
    from edgeai_repro.claims.entries import Metric, Technique

WIDTH = 78
Entry = TypeVar("Entry", "Metric", "Technique")
Names = Annotated[list[str] | None, typer.Argument(metavar="NAME…", help="Show only these (default: all).")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]


def metrics(names: Names = None, as_json: AsJson = False) -> None:
    """List what a claim can measure, with its conditions.

    Each metric has its unit, what it needs, the conditions that a claim must or may give it, and their values.

    Example: edgeai-repro claims metrics params_reduction
    """
    import edgeai_repro.builtin  # noqa: F401 - registers the metrics and techniques that claims name
    from edgeai_repro.claims.registry import METRICS

    chosen = _chosen("metric", names, METRICS)
    if as_json:
        _print_json(chosen)
        return
    for metric in chosen:
        unit = f" [{metric.unit}]" if metric.unit else ""
        needs = f", needs {' and '.join(metric.needs)}" if metric.needs else ""
        _print_entry(f"{metric.name}{unit}, {metric.source}{needs}", _about_metric(metric))
    given = dict.fromkeys(name for metric in chosen for name in (*metric.conditions, *metric.optional))
    _print_entry("Values of conditions", (f"{name}: {_allowed(name)}" for name in given if _allowed(name)))


def techniques(names: Names = None, as_json: AsJson = False) -> None:
    """List how a claim can compress, with the settings.

    Each technique has the settings that a claim must or may give it, and their range.

    Example: edgeai-repro claims techniques structured_pruning
    """
    import edgeai_repro.builtin  # noqa: F401 - registers the metrics and techniques that claims name
    from edgeai_repro.claims.registry import TECHNIQUES

    chosen = _chosen("technique", names, TECHNIQUES)
    if as_json:
        _print_json(chosen)
        return
    for technique in chosen:
        package = f", needs the package {technique.package}" if technique.package else ""
        _print_entry(f"{technique.name}{package}", _about_technique(technique))
    typer.echo("none\n    the network is not compressed" if not names else "", nl=not names)


def _chosen(kind: str, names: Sequence[str] | None, registered: Mapping[str, Entry]) -> list[Entry]:
    """Return the entries to show. Raises UserError for an unknown name."""
    for name in names or ():
        require_known(kind, name, registered)
    return [registered[name] for name in names or registered]


def _about_metric(metric: Metric) -> Iterator[str]:
    yield metric.description
    if metric.techniques:
        yield f"techniques: {', '.join(metric.techniques)}"
    if metric.compares != "never":
        yield f"compares with 'against': {metric.compares}"
    if metric.over:
        yield f"a trend over the setting {metric.over}"
    if metric.conditions:
        yield f"conditions, all needed: {', '.join(metric.conditions)}"
    if metric.optional:
        yield f"conditions, optional: {', '.join(metric.optional)}"
    for name, values in metric.values.items():
        yield f"{name}: {', '.join(map(str, values))}"


def _about_technique(technique: Technique) -> Iterator[str]:
    yield technique.description
    for kind, names in (("needed", technique.settings), ("optional", technique.optional)):
        for name in names:
            yield f"setting {name}, {kind}{f': {_allowed(name)}' if _allowed(name) else ''}"


def _allowed(name: str) -> str:
    """Return what a setting or condition means, and the values that it may have; empty if unknown."""
    from edgeai_repro.claims.values import MEANINGS, RANGES, VALUES

    allowed = RANGES[name].text if name in RANGES else ", ".join(map(str, VALUES.get(name, ())))
    return "; ".join(filter(None, [MEANINGS.get(name), allowed]))


def _print_json(entries: Sequence[Metric | Technique]) -> None:
    data = [
        {
            "name": entry.name,
            "description": entry.description,
            "unit": getattr(entry, "unit", ""),
            "needed": list(entry.needed),
            "optional": list(entry.optional),
            "values": {name: _allowed(name) for name in (*entry.needed, *entry.optional) if _allowed(name)},
        }
        for entry in entries
    ]
    typer.echo(json.dumps(data, indent=1))


def _print_entry(title: str, lines: Iterable[str]) -> None:
    typer.echo(title)
    for line in lines:
        typer.echo(textwrap.fill(line, WIDTH, initial_indent=4 * " ", subsequent_indent=8 * " "))
