"""Attestations: statements on evidence that in-toto's own library accepts, and that fit one folder only."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from edgeai_repro.errors import UserError
from edgeai_repro.evidence import attestation
from edgeai_repro.evidence.store import update_checksum
from tests.support.commands import Command
from tests.support.records import dense, keep, pruned

VERDICTS = {"paper/holds": True, "paper/drifts": False, "paper/undecided": None}
ROOT = Path(__file__).parents[2]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Evidence of two training runs."""
    return keep(tmp_path / "evidence", a=dense(900), b=pruned(880))


@pytest.fixture
def statement(folder: Path) -> attestation.Statement:
    """The statement on the evidence, with one claim of each kind."""
    return attestation.attest(folder, [], VERDICTS)


def write(statement: attestation.Statement, path: Path, *, signed: bool = False) -> Path:
    """Write a statement as it is, or in the bundle of a signature."""
    text = statement.model_dump_json(by_alias=True)
    if signed:
        payload = base64.b64encode(text.encode()).decode()
        envelope = {"payload": payload, "payloadType": "application/vnd.in-toto+json", "signatures": [{"sig": "x"}]}
        text = json.dumps({"mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json", "dsseEnvelope": envelope})
    path.write_text(text, encoding="utf-8")
    return path


def test_statement_is_one_of_in_toto(statement: attestation.Statement) -> None:
    """The library that in-toto generates from its schema parses both the statement and its predicate."""
    json_format = pytest.importorskip("google.protobuf.json_format", reason="in-toto-attestation isn't installed")
    from in_toto_attestation.predicates.test_result.v0.test_result_pb2 import TestResult
    from in_toto_attestation.v1 import statement_pb2
    from in_toto_attestation.v1.statement import Statement

    document = json.loads(statement.model_dump_json(by_alias=True))

    parsed = json_format.ParseDict(document, statement_pb2.Statement())
    Statement.copy_from_pb(parsed).validate()
    result = json_format.ParseDict(document["predicate"], TestResult())
    assert parsed.predicate_type == "https://in-toto.io/attestation/test-result/v0.1"
    assert {subject.name: dict(subject.digest) for subject in parsed.subject}.keys() == {"a.json", "b.json"}
    assert (result.result, list(result.failed_tests)) == ("FAILED", ["paper/drifts"])


@pytest.mark.parametrize(
    ("verdicts", "result"),
    [({}, "PASSED"), ({"a": True}, "PASSED"), ({"a": True, "b": None}, "WARNED"), (VERDICTS, "FAILED")],
)
def test_worst_verdict_is_the_result(folder: Path, verdicts: dict[str, bool | None], result: str) -> None:
    """A claim with another verdict than expected fails; one without a verdict warns."""
    assert attestation.attest(folder, [], verdicts).predicate.result == result


@pytest.mark.parametrize("signed", [False, True])
def test_unchanged_evidence_fits_its_statement(
    folder: Path, statement: attestation.Statement, tmp_path: Path, signed: bool
) -> None:
    """The statement is read from its own file, and from the bundle with a signature."""
    read, has_signature = attestation.read_statement(write(statement, tmp_path / "s.json", signed=signed))

    attestation.verify(read, folder)

    assert (read, has_signature) == (statement, signed)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ("altered", r"a\.json: must have the sha256 \w{12}… of the statement \(got \w{12}…\); restore it"),
        ("added", r"c\.json: must be named by the statement; write a statement again"),
        ("removed", r"b\.json: must be there, as the statement says; restore it"),
        (
            "other list",
            r"a\.json: must have the sha256 \w{12}… \(got \w{12}…\); restore the file that SHA256SUMS lists",
        ),
    ],
)
def test_evidence_that_was_changed_later_is_refused(
    folder: Path, statement: attestation.Statement, change: str, complaint: str
) -> None:
    """Even with a new list of sums, a file that was altered, added or removed doesn't fit."""
    if change == "altered":
        keep(folder, a=dense(901))
    if change == "added":
        keep(folder, c=dense(902))
    if change == "removed":
        (folder / "b.json").unlink()
        (folder / "SHA256SUMS").unlink()
        update_checksum(folder / "a.json")
    if change == "other list":
        (folder / "a.json").write_text("{}", encoding="utf-8")

    with pytest.raises(UserError, match=complaint):
        attestation.verify(statement, folder)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ({"_type": "https://in-toto.io/Statement/v1"}, "subject: is missing"),
        ({"predicateType": "https://slsa.dev/provenance/v1"}, "predicateType: .*test-result/v0.1"),
        ({"dsseEnvelope": {"payload": "no base64!"}}, "'payload' must be a statement in base64"),
        ({"dsseEnvelope": {"payload": 7}}, "'payload' must be a statement in base64"),
        ([], "must be"),
    ],
)
def test_file_without_a_statement_is_refused(tmp_path: Path, content: Any, complaint: str) -> None:
    """Other documents, other predicates and broken envelopes are refused."""
    path = tmp_path / "s.json"
    path.write_text(json.dumps(content), encoding="utf-8")

    with pytest.raises(UserError, match=complaint):
        attestation.read_statement(path)


def test_commands_attest_and_verify_the_evidence_of_a_folder(
    command: Command, folder: Path, tmp_path: Path, statement: attestation.Statement
) -> None:
    """`attest` writes the statement and its parts, which `verify` and sha256sum's form agree with."""
    out, given = tmp_path / "out", [f"--evidence={folder}"]
    claims = f"--claims-dir={ROOT / 'examples' / 'own_claims' / 'claims'}"

    attested = command("evidence", "attest", *given, claims, f"--output={out}")
    listed = command("evidence", "verify", *given)
    plain = command("evidence", "verify", str(out / "statement.json"), *given)
    signed = command("evidence", "verify", str(write(statement, tmp_path / "b.json", signed=True)), *given)

    assert [status for status, _, _ in (attested, listed, plain, signed)] == [0, 0, 0, 0]
    assert "2 files; PASSED" in attested[1]
    assert "2 files have the sha256 of SHA256SUMS" in listed[1]
    assert "the files are those of the statement: 2 files; FAILED: of the claims, 1 have the expected" in signed[1]
    assert "gh attestation verify" in signed[1]
    assert (out / "subjects.sha256").read_text(encoding="utf-8") == (folder / "SHA256SUMS").read_text(
        encoding="utf-8"
    )
    whole = json.loads((out / "statement.json").read_text(encoding="utf-8"))
    assert json.loads((out / "predicate.json").read_text(encoding="utf-8")) == whole["predicate"]
