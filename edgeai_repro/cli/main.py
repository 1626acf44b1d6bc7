"""The command line, `edgeai-repro`. Exit status: 0 as expected, 1 drift, 2 usage, 3 a condition is missing."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from edgeai_repro import __version__
from edgeai_repro.cli import arguments, audit, bundle, claims, data, evidence
from edgeai_repro.cli import train as training
from edgeai_repro.errors import MissingRequirement, UserError

USAGE, MISSING = 2, 3
# A line of \b keeps click from filling the paragraph.
EPILOG = """\b
Examples:
  pytest -m claims --claims-json verdicts.json    judge every claim on this machine
  edgeai-repro report verdicts.json               make a page of it
  edgeai-repro audit resnet50                     what compression buys for another model
  edgeai-repro reproduce dq-params                a claim as a script in plain torch

Exit status: 0 as expected, 1 drift, 2 usage, 3 a condition is missing."""
app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Find out whether published network-compression savings are real. The verdicts: pytest -m claims",
    epilog=EPILOG,
)
app.add_typer(claims.app, name="claims")
app.add_typer(data.app, name="data")
app.add_typer(evidence.app, name="evidence")
app.command("train")(training.train)
app.command("evaluate")(training.evaluate)
app.command("bundle")(bundle.bundle)
app.command("classify")(bundle.classify)
app.command("rejudge")(evidence.rejudge)
app.command("report")(evidence.report)
app.command("audit")(audit.audit)
app.command("reproduce")(arguments.reproduce)
app.command("diff")(arguments.diff)


def main() -> None:
    """Run the command line; a user's mistake is one line on standard error, without a traceback."""
    try:
        app()
    except UserError as error:
        print(f"edgeai-repro: {error}", file=sys.stderr)
        sys.exit(USAGE)
    except MissingRequirement as missing:
        print(f"edgeai-repro: {missing}", file=sys.stderr)
        sys.exit(MISSING)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"edgeai-repro {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Take the options of all commands; the subcommands do the work."""
