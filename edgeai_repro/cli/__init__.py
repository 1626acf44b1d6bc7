"""The command `edgeai-repro`, one file per command or group of commands."""

import typer

from edgeai_repro.report.plain import printable

# Exit statuses: another verdict than expected, a mistake of the user, a missing requirement.
DRIFT, USAGE, MISSING = 1, 2, 3


def echo(text: str, *, end: str = "\n", err: bool = False) -> None:
    """Print a text that may contain texts of others: what a terminal would obey is written out."""
    typer.echo(printable(f"{text}{end}"), nl=False, err=err)
