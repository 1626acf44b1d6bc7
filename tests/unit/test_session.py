"""One run of the claims: its restrictions, what fails it, and what it found."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edgeai_repro.edge import temporary_bundle
from edgeai_repro.errors import UserError
from edgeai_repro.judge.verdict import judge, not_testable
from edgeai_repro.session import Session
from tests.support.factories import PAPER, claim, claim_entry, paper_yaml, row


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A claims folder with two papers, the first of two claims."""
    claims = tmp_path / "claims"
    claims.mkdir()
    (claims / "a.yaml").write_text(paper_yaml(claim_entry(id="one"), claim_entry(id="two")), encoding="utf-8")
    (claims / "b.yaml").write_text(paper_yaml(paper={**PAPER, "id": "other"}), encoding="utf-8")
    return claims


def _prepare(folder: Path, **options: Any) -> Session:
    return Session.from_options(folder, **{"models": None, "required": None, "json_path": None, **options})


def test_names(folder: Path) -> None:
    """Claims have full names, paper by paper."""
    assert [name for name, _ in _prepare(folder).claims] == ["paper/one", "paper/two", "other/a-claim"]


def test_restrictions(folder: Path) -> None:
    """Names come with commas, and spaces around them."""
    run = _prepare(folder, models="convnext_tiny, alexnet", required=" data,edge,")

    assert run.models == ("convnext_tiny", "alexnet")
    assert run.required == {"data", "edge"}


def test_unrestricted(folder: Path) -> None:
    """Without restrictions all models are in, and no condition is required."""
    run = _prepare(folder)

    assert (run.models, run.required) == (None, frozenset())


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"models": "convnext_tinny"}, r"--claims-models must name .* \(got 'convnext_tinny'\); did you mean"),
        ({"models": "convnext_tiny,darknet"}, r"--claims-models must .* \(got 'darknet'\); known are alexnet, "),
        ({"models": ""}, r"--claims-models must name at least one \(got ''\); known are convnext_atto"),
        ({"required": "wieghts"}, r"--claims-require must name .* \(got 'wieghts'\); did you mean"),
        ({"required": "gpu"}, r"--claims-require must name .* \(got 'gpu'\); known are data, edge, weights"),
        ({"required": " , "}, r"--claims-require must name at least one \(got ' , '\); known are data"),
    ],
)  # fmt: skip
def test_refused(folder: Path, options: dict[str, str], complaint: str) -> None:
    """Raises UserError for an unknown name, with the nearest, and for no name at all."""
    with pytest.raises(UserError, match=complaint):
        _prepare(folder, **options)


def test_unwritable(folder: Path) -> None:
    """Raises UserError at once if the file couldn't be written at the end, and leaves no trace if it could."""
    with pytest.raises(UserError, match=r"must be a file's path \(got a folder\)"):
        _prepare(folder, json_path=folder)
    with pytest.raises(UserError, match=r"must be writable"):
        _prepare(folder, json_path=folder / "a.yaml" / "out.json")

    _prepare(folder, json_path=folder / "out.json")
    assert not (folder / "out.json").exists()


class TestFails:
    """What a run fails on."""

    @pytest.fixture
    def run(self, folder: Path) -> Session:
        """A run that requires the data."""
        return _prepare(folder, required="data")

    def test_as_expected(self, run: Session) -> None:
        """A verdict as expected doesn't fail, a contradiction neither."""
        contradicted = claim(expect={"verdict": "contradicted", "reason": "the test says so"})

        assert run.failure_reason(judge(claim(), [row(10.0)])) is None
        assert run.failure_reason(judge(contradicted, [row(12.0)])) is None

    def test_drift(self, run: Session) -> None:
        """Drift fails, with what came, what was expected, and why it was."""
        assert run.failure_reason(judge(claim(), [row(12.0)])) == (
            "'a-claim' must be reproduced (got contradicted: 12 % (convnext_tiny) lies 1 points over the band, "
            "9 … 11 %); it was expected because the test says so"
        )

    def test_required(self, run: Session) -> None:
        """A missing condition fails where the run requires it, with the remedy; another one doesn't."""
        asked = claim(needs=["data"])

        assert run.failure_reason(not_testable(asked, "data", "set EDGEAI_DATA")) == (
            "'a-claim' must be testable, --claims-require data: set EDGEAI_DATA"
        )
        assert run.failure_reason(not_testable(asked, "weights", "supply them")) is None

    def test_restricted(self, run: Session) -> None:
        """What a restriction to some models leaves open doesn't fail: it was asked for."""
        assert run.failure_reason(not_testable(claim(), "models", "left out")) is None


def test_document(folder: Path) -> None:
    """The document holds what was found so far, in the files' order; a paper without findings is left out."""
    run = _prepare(folder)
    for name in ("two", "one"):
        run.verdicts[f"paper/{name}"] = judge(claim(id=name), [row(10.0)])

    (paper,) = run.document().papers

    assert [entry.id for entry in paper.claims] == ["one", "two"]


def test_deployed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A claim about what is deployed goes to the edge lab, which says what it lacks, and never to the lab."""
    entry = claim_entry(id="fast", metric="latency", technique="combined")
    (folder / "a.yaml").write_text(paper_yaml(entry), encoding="utf-8")
    temporary_bundle.make.cache_clear()
    monkeypatch.setattr(temporary_bundle, "find_spec", lambda _: None)

    found = _prepare(folder).judge("paper/fast", lab=None)  # type: ignore[arg-type]

    assert (found.verdict, found.condition) == ("not_testable", "edge")
    assert "--bundle DIR" in found.reason


@pytest.mark.parametrize(
    ("options", "device", "complaint"),
    [
        ({"bundle": Path("nowhere")}, "", r"nowhere/manifest\.json: must be a readable JSON file"),
        ({"threads": 0}, "", r"--edge-threads must be 1 or more \(got 0\)"),
        ({}, "toaster", r"EDGEAI_DEVICE must name a device of devices\.yaml \(got 'toaster'\)"),
    ],
)
def test_edge_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], device: str, complaint: str
) -> None:
    """Raises UserError at once for a bundle, a number of threads or a device that can't be."""
    monkeypatch.setenv("EDGEAI_DEVICE", device)

    with pytest.raises(UserError, match=complaint):
        _prepare(folder, **options)
