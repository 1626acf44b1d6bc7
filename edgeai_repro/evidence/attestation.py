"""Attestations of evidence: an in-toto statement that names the files by sha256 and the tests that they passed.

A statement has the predicate "test result" (https://in-toto.io/attestation/test-result/v0.1). GitHub's attestation
action signs it. Here it is written and compared with the files; `gh attestation verify` checks signatures.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from edgeai_repro.checksums import sha256
from edgeai_repro.errors import UserError
from edgeai_repro.evidence.measurement import Frozen
from edgeai_repro.evidence.store import SUMS, read_sums, verified_files
from edgeai_repro.files import read_json
from edgeai_repro.parsing import parse_json
from edgeai_repro.validation import parse_as

STATEMENT: Literal["https://in-toto.io/Statement/v1"] = "https://in-toto.io/Statement/v1"
TEST_RESULT: Literal["https://in-toto.io/attestation/test-result/v0.1"] = (
    "https://in-toto.io/attestation/test-result/v0.1"
)
FOLDERS = (".", "devices")  # of an evidence folder, each with its own list of sums
ATTEST = "write a statement again with `edgeai-repro evidence attest`"
Outcome = Literal["PASSED", "WARNED", "FAILED"]


class Digest(Frozen):
    """The sha256 of a file."""

    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Resource(Frozen):
    """A file by its path in its folder and its sha256."""

    name: str
    digest: Digest


class TestResult(Frozen):
    """The predicate: which claims have their expected verdict by the evidence (passed), another (failed) or none.

    `configuration` are the claims files that the evidence was judged by.
    """

    __test__ = False  # pytest would collect it

    result: Outcome
    configuration: list[Resource]
    passed: list[str] = Field(default_factory=list, alias="passedTests")
    warned: list[str] = Field(default_factory=list, alias="warnedTests")
    failed: list[str] = Field(default_factory=list, alias="failedTests")


class Statement(Frozen):
    """An in-toto statement on the files of an evidence folder."""

    model_config = ConfigDict(serialize_by_alias=True)

    type: Literal["https://in-toto.io/Statement/v1"] = Field(STATEMENT, alias="_type")
    subject: list[Resource] = Field(min_length=1)
    predicate_type: Literal["https://in-toto.io/attestation/test-result/v0.1"] = Field(
        TEST_RESULT, alias="predicateType"
    )
    predicate: TestResult


def attest(folder: Path, claims: Iterable[Path], verdicts: dict[str, bool | None]) -> Statement:
    """Return the statement on an evidence folder. Raises UserError for a file that isn't the listed one.

    `claims` are the claims files. `verdicts` are the claims on trained models: whether each has its expected
    verdict, None without a verdict.
    """
    passed, failed, warned = (
        [name for name, one in verdicts.items() if one is kind] for kind in (True, False, None)
    )
    files = [Resource(name=path.name, digest=Digest(sha256=sha256(path))) for path in sorted(claims)]
    predicate = TestResult(
        result="FAILED" if failed else "WARNED" if warned else "PASSED",
        configuration=files,
        passedTests=passed,
        warnedTests=warned,
        failedTests=failed,
    )
    if not (subjects := _subjects(folder)):
        raise UserError(
            f"{folder}: must hold evidence (got none in {SUMS}); add some with `edgeai-repro evidence add`"
        )
    return Statement(subject=subjects, predicate=predicate)


def read_statement(path: Path) -> tuple[Statement, bool]:
    """Return the statement in a file, and whether the file also has a signature, which isn't checked here.

    The file is a statement, or the bundle of Sigstore that GitHub's action and `gh attestation download` write.
    Raises UserError for any other file.
    """
    document = read_json(path)
    envelope = document.get("dsseEnvelope", document) if isinstance(document, dict) else None
    if not isinstance(envelope, dict) or "payload" not in envelope:
        return parse_as(Statement, document, path), False
    try:
        payload: Any = parse_json(base64.b64decode(envelope["payload"], validate=True).decode())
    except (binascii.Error, TypeError, ValueError) as error:
        raise UserError(f"{path}: 'payload' must be a statement in base64 (got {error}); {ATTEST}") from None
    return parse_as(Statement, payload, path), bool(envelope.get("signatures"))


def verify(statement: Statement, folder: Path) -> None:
    """Raise UserError unless the files of an evidence folder are the subjects of a statement, all of them."""
    stated = {subject.name: subject.digest.sha256 for subject in statement.subject}
    actual = {subject.name: subject.digest.sha256 for subject in _subjects(folder)}
    problems = [
        f"{folder / name}: must be there, as the statement says; restore it" for name in stated.keys() - actual
    ]
    problems += [f"{folder / name}: must be named by the statement; {ATTEST}" for name in actual.keys() - stated]
    problems += [
        f"{folder / name}: must have the sha256 {stated[name][:12]}… of the statement (got {actual[name][:12]}…); "
        "restore it"
        for name in stated.keys() & actual
        if stated[name] != actual[name]
    ]
    if problems:
        raise UserError(*sorted(problems))


def _subjects(folder: Path) -> list[Resource]:
    """Return the files of an evidence folder after comparing each with its listed sha256."""
    subjects = []
    for name in FOLDERS:
        verified_files(folder / name)
        sums = read_sums(folder / name)
        subjects += [
            Resource(name=str(Path(name) / file), digest=Digest(sha256=sums[file])) for file in sorted(sums)
        ]
    return subjects
