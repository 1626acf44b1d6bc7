"""The command line, `edgeai-repro`. Exit status: 0 as expected, 1 drift, 2 usage, 3 a requirement is missing."""

from __future__ import annotations

import sys
from typing import Annotated, NoReturn

import typer

from edgeai_repro import __version__
from edgeai_repro.cli import (
    MISSING,
    USAGE,
    audit,
    badge,
    bundle,
    claims,
    crate,
    data,
    diff,
    evidence,
    grid,
    merge,
    networks,
    reproduce,
)
from edgeai_repro.cli import train as training
from edgeai_repro.errors import MissingRequirement, UserError, as_line
from edgeai_repro.extras import missing_package

# A line with only \b keeps click from rewrapping the paragraph.
EPILOG = """\b
Examples:
  pytest -m claims --claims-json=verdicts.json    judge every claim on this machine
  edgeai-repro report verdicts.json               write an HTML page of the verdicts
  edgeai-repro audit resnet50                     what compression saves for another model
  edgeai-repro reproduce dq-params                print a claim as a script in plain torch

Exit status: 0 as expected, 1 drift, 2 usage, 3 a requirement is missing."""
app = typer.Typer(
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Check whether published savings by network compression are real. To judge the claims: pytest -m claims",
    epilog=EPILOG,
)
app.add_typer(claims.app, name="claims")
app.add_typer(data.app, name="data")
app.add_typer(evidence.app, name="evidence")
app.command("train")(training.train)
app.command("evaluate")(training.evaluate)
app.command("grid")(grid.grid)
app.command("bundle")(bundle.bundle)
app.command("classify")(bundle.classify)
app.command("rejudge")(evidence.rejudge)
app.command("report")(evidence.report)
app.command("audit")(audit.audit)
app.command("networks")(networks.networks)
app.command("reproduce")(reproduce.reproduce)
app.command("diff")(diff.diff)
app.command("badge")(badge.badge)
app.command("merge")(merge.merge)
app.command("crate")(crate.crate)


def main() -> None:
    """Run the command line. Each mistake of the user is one line on standard error, without a traceback."""
    try:
        app()
    except UserError as error:
        for line in error.args:
            print(f"edgeai-repro: {line}", file=sys.stderr)
        sys.exit(USAGE)
    except MissingRequirement as error:
        _exit(error)
    except ModuleNotFoundError as error:
        if missing := missing_package(error):
            _exit(missing)
        raise


def _exit(missing: MissingRequirement) -> NoReturn:
    print(f"edgeai-repro: {as_line(missing.remedy)}", file=sys.stderr)
    sys.exit(MISSING)


def _show_version(requested: bool) -> None:
    if requested:
        typer.echo(f"edgeai-repro {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Declare the options of the command line itself."""
