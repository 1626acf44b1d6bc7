"""In GitHub Actions, a run annotates the claims that do not hold, and nothing else is taken for a command."""

from __future__ import annotations

import pytest

from tests.support.repository import Repository, planted


@pytest.fixture
def claims(repository: Repository) -> Repository:
    """A repository with an artefact whose reason looks like a command, and a drift."""
    hostile = {"verdict": "artefact", "reason": "it is\n::error::planted ##[error]planted"}
    repository.write(
        planted(10, id="passes"), {**planted(10, 0, id="artefact"), "expect": hostile}, planted(20, id="drifted")
    )
    return repository


def test_claims_are_annotated_in_github_actions(claims: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    """The paths are relative to the checkout."""
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_WORKSPACE", str(claims.pytester.path.parent))
    result = claims.run("-rA")

    lines = claims.claims.read_text("utf-8").splitlines()
    places = {name: lines.index(f"- id: {name}") + 1 for name in ("artefact", "drifted")}
    file = f"file={claims.pytester.path.name}/claims/paper.yaml"
    commands = [line for line in result.outlines if line.lstrip().startswith("::") or "##[" in line]
    assert [command.partition("::")[2].partition("::")[0] for command in commands] == [
        f"error {file},line={places['drifted']},title=paper/drifted%3A contradicted (expected reproduced)",
        f"warning {file},line={places['artefact']},title=paper/artefact%3A artefact",
    ]
    assert "planted" in commands[1]


def test_no_annotation_elsewhere(claims: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal would only show them."""
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)

    assert not [line for line in claims.run().outlines if line.startswith("::")]
