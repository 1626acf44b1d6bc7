"""`edgeai-repro claims new` and `claims check`: write the start of a claims file, and check files in seconds."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgeai_repro import __version__
from edgeai_repro.cli import USAGE, echo
from edgeai_repro.errors import UserError, as_line, one_line
from edgeai_repro.extras import missing_package
from edgeai_repro.report.plain import on_one_line

if TYPE_CHECKING:
    from edgeai_repro.claims.schema import ClaimCase, Paper
    from edgeai_repro.measure.compressed_models import CompressedModels


def new_file(
    paper: Annotated[str, typer.Argument(metavar="ID", help="the paper's id: iandola2016")],
    title: Annotated[str, typer.Option(help="Title of the paper.")] = "TITLE",
    authors: Annotated[str, typer.Option(help="Authors, separated by commas.")] = "AUTHORS",
    year: Annotated[int | None, typer.Option(help="Year (default: this one).")] = None,
    url: Annotated[str, typer.Option(help="Address of the paper.")] = "",
    folder: Annotated[Path, typer.Option("--claims-dir", metavar="DIR", help="Folder of claims files.")] = Path(
        "claims"
    ),
) -> None:
    """Write a new claims file, with one claim of each kind.

    DIR/ID.yaml has the paper's data; its claims are comments. DIR/schema.json is for editors.

    Example: edgeai-repro claims new iandola2016 --title="SqueezeNet" --authors="Iandola et al." --year=2016
    """
    from importlib.resources import files
    from json import dumps
    from re import fullmatch

    import edgeai_repro.builtin  # noqa: F401 - the schema completes the names of metrics and techniques
    from edgeai_repro.claims.editor_schema import SCHEMA, json_schema
    from edgeai_repro.claims.paper_info import NAME
    from edgeai_repro.files import write_text

    if not fullmatch(NAME, paper):
        raise UserError(f"ID must be small letters and digits, with hyphens (got {paper!r}); iandola2016 is one")
    path = folder / f"{paper}.yaml"
    if path.exists():
        raise UserError(f"{path}: must not exist yet; edit it, or choose another id")
    values = {
        "ID": paper,
        "TITLE": dumps(title, ensure_ascii=False),
        "AUTHORS": dumps(authors, ensure_ascii=False),
        "YEAR": str(year or datetime.now(UTC).year),
        "URL": dumps(url),
    }
    text = (files("edgeai_repro.claims") / "new.yaml.txt").read_text(encoding="utf-8")
    for name, value in values.items():
        text = text.replace(f"<{name}>", value)
    folder.mkdir(parents=True, exist_ok=True)
    write_text(path, text)
    if not (folder / SCHEMA).exists():
        write_text(folder / SCHEMA, json_schema(__version__))
    typer.echo(f"{path}: edit it, then run `edgeai-repro claims check {path}`")


def check_files(
    paths: Annotated[list[Path], typer.Argument(metavar="FILE…", help="claims files, or devices.yaml")],
    counts: Annotated[
        bool, typer.Option(help="Count the networks of claims that need no more, which takes seconds.")
    ] = True,
    code: Annotated[
        bool,
        typer.Option(help="Run the code that comes with a file: conftest.py next to it, and FILE.py:FUNCTION."),
    ] = True,
) -> None:
    """Check claims files: bands, settings, counts and verdicts.

    It shows each claim's band, its networks' counts, and the verdict by counts alone.

    With --no-code a file from elsewhere can be checked before anyone has read the code that comes with it.

    Example: edgeai-repro claims check claims/iandola2016.yaml
    """
    import edgeai_repro.builtin  # noqa: F401 - registers the metrics and techniques that claims name
    from edgeai_repro.claims.editor_schema import schema_hint
    from edgeai_repro.claims.load import load_file
    from edgeai_repro.claims.schema import Paper

    problems: list[str] = []
    for path in paths:
        try:
            loaded = load_file(path, code=code)
        except UserError as error:
            problems += str(error).splitlines()
            continue
        content = f"{len(loaded.claims)} claims" if isinstance(loaded, Paper) else f"{len(loaded.devices)} devices"
        known = len(problems)
        if isinstance(loaded, Paper) and counts:
            for line in _judged(loaded, problems, code=code):
                echo(on_one_line(line))
        found = len(problems) - known
        typer.echo(f"{path}: {content}, {f'{found} with a problem, see below' if found else 'all right'}")
        if hint := schema_hint(path, __version__):
            echo(as_line(hint), err=True)
    for problem in problems:
        echo(f"edgeai-repro: {problem}", err=True)
    if problems:
        raise typer.Exit(USAGE)


def _judged(paper: Paper, problems: list[str], *, code: bool) -> Iterator[str]:
    """Yield the lines about each claim; the networks that can't be built or counted are added to the problems."""
    from edgeai_repro.measure.compressed_models import CompressedModels

    models = CompressedModels(paper.cases)
    for case in paper.cases:
        try:
            yield from _claim_lines(case, models, code=code)
        except ModuleNotFoundError as error:
            if (missing := missing_package(error)) is None:
                raise
            yield f"    networks are not counted: {missing.remedy}"
            return
        except Exception as error:  # a user's network may raise anything; the other claims are still checked
            text = one_line(error)
            problems.append(text if text.startswith(str(paper.file)) else f"{paper.file}: {case.claim.id}: {text}")


def _claim_lines(case: ClaimCase, models: CompressedModels, *, code: bool) -> Iterator[str]:
    from edgeai_repro.claims.registry import METRICS, UNCOMPRESSED, measured_on
    from edgeai_repro.judge.formatting import describe_row, format_band, format_value
    from edgeai_repro.judge.verdict import judge

    claim = case.claim
    yield f"{case.id}: {claim.metric} of {', '.join(claim.models)}, band {format_band(claim)}"
    unmeasured = {
        "trained": "needs trained weights",
        "deployed": "needs a deployed model",
        "compressed": f"needs networks compressed by {claim.technique}" if claim.technique != UNCOMPRESSED else "",
    }[measured_on(claim)]
    if not unmeasured and METRICS[claim.metric].timed:
        unmeasured = "is timed"
    if not code and _runs_code(case):
        unmeasured = "is built by a function of its own, which --no-code doesn't run"
    if unmeasured:
        yield f"    {unmeasured}: judged by pytest -m claims"
        return
    measured = models.measure(case)
    for row in measured.rows:
        actual = "" if row.actual is None else f", actual {format_value(claim, row, row.actual)}"
        yield f"    {describe_row(row)}: reported {format_value(claim, row, row.reported)}{actual}"
    verdict = judge(claim, measured)
    drift = f", but {claim.expect.verdict} is expected" if verdict.drifted else ""
    yield f"    {verdict.verdict}{drift}: {verdict.reason}"


def _runs_code(case: ClaimCase) -> bool:
    """Return whether a network of a claim is built by a function in a file."""
    from edgeai_repro.networks.specs import Alternatives, Function

    networks = case.paper.networks
    specs = [networks[name] for name in case.claim.networks]
    specs += [networks[name] for spec in specs if isinstance(spec, Alternatives) for name in spec.of.values()]
    return any(isinstance(spec, Function) for spec in specs)
