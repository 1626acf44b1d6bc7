"""`edgeai-repro evidence`, `rejudge` and `report`: use recorded results, without torch and without data."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgeai_repro.cli import DRIFT, USAGE, echo
from edgeai_repro.cli.claims import Folder
from edgeai_repro.errors import UserError
from edgeai_repro.shipped import CLAIMS, claims_folder

if TYPE_CHECKING:
    from edgeai_repro.claims.schema import ClaimCase
    from edgeai_repro.evidence.attestation import Statement
    from edgeai_repro.judge.verdict import Verdict
    from edgeai_repro.session import Session

app = typer.Typer(no_args_is_help=True, help="Keep results of training runs and edge devices as evidence.")


@app.command("add")
def add(
    run: Annotated[
        Path,
        typer.Argument(
            metavar="RUN",
            help="a training run's folder or result.json, or a file that --claims-json wrote on an edge device",
        ),
    ],
    name: Annotated[str, typer.Option(help="Name in the evidence folder (default: the run's folder).")] = "",
    folder: Annotated[Path, typer.Option("--evidence", metavar="DIR", help="Evidence folder.")] = Path("evidence"),
    model: Annotated[bool, typer.Option(help="Also keep the run's model, in int8, under DIR/models.")] = False,
    claims: Folder = CLAIMS,
) -> None:
    """Check a run's results and add them to the evidence.

    RUN is a training run's record, or an edge device's results. The evidence keeps its sha256.

    Example: edgeai-repro evidence add runs/atto-dense-s0 --name=atto-dense
    """
    from edgeai_repro.evidence.plausibility import check_plausible, cifar10_test_labels
    from edgeai_repro.evidence.store import add_training_record
    from edgeai_repro.evidence.training_record import RESULT, load_record
    from edgeai_repro.files import is_folder, read_json

    path = run / RESULT if is_folder(run) else run
    content = read_json(path)
    if isinstance(content, dict) and "papers" in content:
        from edgeai_repro.devices.spec import load_devices
        from edgeai_repro.report.device_results import add_result

        typer.echo(add_result(path, folder, load_devices(claims_folder(claims))))
        return
    check_plausible(load_record(path), cifar10_test_labels())
    typer.echo(add_training_record(path, folder, name or path.absolute().parent.name))
    if model:
        from edgeai_repro.training.grading import save_quantized

        typer.echo(save_quantized(path.parent, folder / "models"))


Evidence = Annotated[Path, typer.Option("--evidence", metavar="DIR", help="Evidence folder.")]


@app.command("attest")
def attest(
    out: Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="Folder to write.")],
    folder: Evidence = Path("evidence"),
    claims: Folder = CLAIMS,
) -> None:
    """Judge the claims by the evidence, and write what can be signed: an in-toto statement of the result.

    DIR gets statement.json, and its parts for GitHub's attestation action: predicate.json and subjects.sha256.

    Example: edgeai-repro evidence attest --output=attestation
    """
    from edgeai_repro.evidence import attestation
    from edgeai_repro.files import write_text
    from edgeai_repro.judge.rows import DECIDED

    verdicts = {
        case.id: not verdict.drifted if verdict.verdict in DECIDED else None
        for case, verdict in _by_evidence(claims)[1]
    }
    statement = attestation.attest(folder, claims_folder(claims).glob("*.yaml"), verdicts)
    sums = "".join(f"{subject.digest.sha256}  {subject.name}\n" for subject in statement.subject)
    predicate = statement.predicate.model_dump_json(indent=1, by_alias=True)
    write_text(out / "statement.json", statement.model_dump_json(indent=1, by_alias=True) + "\n")
    write_text(out / "predicate.json", predicate + "\n")
    write_text(out / "subjects.sha256", sums)
    typer.echo(f"{out / 'statement.json'}: {_summary(statement)}")


@app.command("verify")
def verify(
    statement: Annotated[
        Path | None,
        typer.Argument(metavar="STATEMENT", help="a statement, or the bundle that GitHub signed"),
    ] = None,
    folder: Evidence = Path("evidence"),
) -> None:
    """Check that the files of the evidence folder are those of its list, and of a statement; nothing is downloaded.

    A signature is checked by `gh attestation verify`.

    Example: edgeai-repro evidence verify attestation/statement.json
    """
    from edgeai_repro.evidence import attestation, store

    if statement is None:
        files = sum(len(store.verified_files(folder / name)) for name in attestation.FOLDERS)
        typer.echo(f"{folder}: {files} files have the sha256 of {store.SUMS}")
        return
    stated, signed = attestation.read_statement(statement)
    attestation.verify(stated, folder)
    echo(f"{folder}: the files are those of the statement: {_summary(stated)}")
    if signed:
        echo(
            f"{statement}: is signed; `gh attestation verify FILE --bundle={statement} --repo=OWNER/NAME` checks it"
        )


def _summary(statement: Statement) -> str:
    result = statement.predicate
    return (
        f"{len(statement.subject)} files; {result.result}: of the claims, {len(result.passed)} have the expected "
        f"verdict, {len(result.failed)} another, {len(result.warned)} none"
    )


def _by_evidence(folder: Path, json_file: Path | None = None) -> tuple[Session, list[tuple[ClaimCase, Verdict]]]:
    """Return a session, and its verdicts on the claims that recorded evidence can decide."""
    from edgeai_repro.claims.registry import measured_on
    from edgeai_repro.options import Options
    from edgeai_repro.session import Session

    command = shlex.join(["edgeai-repro", *sys.argv[1:]])
    options = Options.parse(json_path=json_file, recorded_only=True, command=command)
    session = Session(claims_folder(folder), options)
    cases = [case for case in session.cases if measured_on(case.claim) == "trained"]
    return session, [(case, session.judge(case)) for case in cases]


def rejudge(
    folder: Folder = CLAIMS,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Also write the verdicts to this file.")
    ] = None,
) -> None:
    """Judge the recorded evidence again, without torch and data.

    The exit status is 1 if a verdict differs from the expected one.

    Example: edgeai-repro rejudge --json=verdicts.json
    """
    from edgeai_repro.report import console, terminal
    from edgeai_repro.report.results import Results

    session, verdicts = _by_evidence(folder, json_file)
    results = Results()
    for case, verdict in verdicts:
        results.add(session.result(case, verdict))
    text = terminal.render(session.document(results), colour=console.coloured(), width=console.width())
    typer.echo(text, nl=False)
    session.write(results)
    for problem in session.problems:
        echo(f"edgeai-repro: {problem}", err=True)
    failures = [reason for _, verdict in verdicts if (reason := session.failure_reason(verdict))]
    for failure in failures:
        echo(f"edgeai-repro: {failure}", err=True)
    raise typer.Exit(USAGE if session.problems else DRIFT if failures else 0)


def report(
    json_file: Annotated[Path, typer.Argument(metavar="JSON", help="a file written by --claims-json")],
    folder: Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="Folder for the report.")] = Path(
        "claims-report"
    ),
    evidence: Annotated[
        Path | None,
        typer.Option(
            "--evidence",
            metavar="DIR",
            help="Evidence folder with the results of edge devices (default: next to the claims folder).",
        ),
    ] = None,
    claims: Folder = CLAIMS,
) -> None:
    """Write report.html and report.md from a run's JSON.

    They also show what edge devices contributed to the evidence. No torch is needed.

    Example: edgeai-repro report verdicts.json --output=claims-report
    """
    from edgeai_repro.devices.spec import load_devices
    from edgeai_repro.evidence.store import EVIDENCE
    from edgeai_repro.files import is_folder
    from edgeai_repro.report import files
    from edgeai_repro.report.device_results import load_results

    if evidence is not None and not is_folder(evidence):
        raise UserError(f"{evidence}: must be the evidence folder (got no folder); check --evidence")
    claims = claims_folder(claims)
    devices = load_devices(claims, missing_ok=True)
    results = load_results(evidence or claims.absolute().parent / EVIDENCE, devices)
    for path in files.build(json_file, folder, results):
        typer.echo(path)
