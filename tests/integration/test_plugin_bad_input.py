"""Bad input to the plugin is one line, before any test is collected."""

from __future__ import annotations

import pytest

from tests.support.factories import paper_yaml
from tests.support.repository import Repository, planted


class TestBadInput:
    """Bad input is an error of one line and status 4, before any test is collected."""

    def _refused(self, repository: Repository, complaint: str, *arguments: str) -> None:
        result = repository.run(*arguments)

        assert result.ret == pytest.ExitCode.USAGE_ERROR
        assert [line for line in result.errlines if line] == [result.errlines[0]], "more than one line"
        assert "Traceback" not in result.stderr.str()
        assert "collected" not in result.stdout.str()
        assert complaint in result.errlines[0]

    @pytest.mark.parametrize(
        ("arguments", "complaint"),
        [
            (["--claims-models=convnext_tinny"], "(got 'convnext_tinny'); did you mean 'convnext_tiny'?"),
            (["--claims-models="], "ERROR: --claims-models must name at least one (got '')"),
            (["--claims-modles=x"], "--claims-modles must be a known option; did you mean '--claims-models'?"),
            (["--claims-require=date"], "(got 'date'); did you mean 'data'?"),
            (["--claims-json=claims"], "claims: must be a file's path (got a folder); add a file name"),
            (["--claims-json=claims/paper.yaml/out.json"], "paper.yaml/out.json: must be writable (got "),
            (["--claims-dir=nowhere"], "nowhere: must be a folder with a claims file"),
            (["--claims-dir=empty"], "empty: must be a folder with a claims file"),
        ],
    )
    def test_wrong_option_is_refused(self, repository: Repository, arguments: list[str], complaint: str) -> None:
        """For an unknown name the message suggests the closest known one."""
        repository.write(planted(10))
        repository.pytester.mkdir("empty")

        self._refused(repository, complaint, *arguments)

    @pytest.mark.parametrize(
        ("text", "complaint"),
        [
            ("paper: [", "paper.yaml, line 2: must be valid YAML ("),
            (paper_yaml(planted(10)) + "claims: []\n", "must be valid YAML (key 'claims' twice); fix that line"),
            (paper_yaml(planted(10), planted(10)), "paper.yaml: claim 'id' must be unique (got 'a-claim' twice)"),
            (
                paper_yaml(planted(10, metric="plantet")),
                "claims[a-claim]: 'metric' must be known (got 'plantet'); did you mean 'planted'?",
            ),
            (
                paper_yaml(planted(10, value="ten")),
                "claims[a-claim].value: must be a valid number",
            ),
            (
                paper_yaml(planted(10, expected="attainable")),
                "must not be 'attainable' for a claim without 'choice'",
            ),
        ],
    )
    def test_wrong_claims_file_is_refused(self, repository: Repository, text: str, complaint: str) -> None:
        """The message names the file, the claim, the rule, the value received and the next step."""
        repository.claims.parent.mkdir()
        repository.claims.write_text(text, encoding="utf-8")

        self._refused(repository, complaint)

    def test_missing_claims_folder_is_refused(self, repository: Repository) -> None:
        """The folder comes from the ini option."""
        self._refused(repository, "claims: must be a folder with a claims file, *.yaml with 'paper:' (got no such")

    @pytest.mark.parametrize("fixture", ["verdict", "claim", "implication_result", "latency", "report_outcome"])
    def test_fixture_without_a_claims_folder_fails_its_test_only(
        self, repository: Repository, fixture: str
    ) -> None:
        """The message names the fixture that the test takes, not one behind it, and the option."""
        repository.pytester.makeini("[pytest]")
        repository.pytester.makepyfile(test_paper=f"def test_it({fixture}): pass\ndef test_other(): pass")

        result = repository.run()

        result.assert_outcomes(errors=1, passed=1)
        message = f"the test takes {fixture!r}, but the claims folder is missing; name one with --claims-dir=DIR"
        assert message in result.stdout.str()

    @pytest.mark.parametrize(
        "option", ["--claims-json=out.json", "--claims-models=alexnet", "--claims-require=data"]
    )
    def test_option_without_a_claims_folder_is_refused(self, repository: Repository, option: str) -> None:
        """It would have no effect."""
        repository.pytester.makeini("[pytest]")

        self._refused(repository, f"{option.partition('=')[0]} needs a claims folder, which is missing", option)
