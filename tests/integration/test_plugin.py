"""The plugin in another repository, which has its own metric, claims file and test."""

from __future__ import annotations

import re
from typing import Any

import pytest

from edgeai_repro.evidence import environment
from edgeai_repro.report import document
from tests.support.factories import paper_yaml
from tests.support.repository import CONFTEST, HEADING, IMPLICATION, PLUGINS, Repository, planted, swept


class TestOutcomes:
    """Each verdict has one outcome in pytest, and an unexpected verdict fails."""

    @pytest.mark.parametrize(
        ("entry", "outcome"),
        [
            (planted(10), "passed"),
            (swept(10, 20, expected="attainable"), "passed"),
            (planted(10, 0, expected="artefact"), "xfailed"),
            (planted(20, expected="contradicted"), "xfailed"),
            (planted(0, expected="contradicted"), "xfailed"),
            (planted("8.5 9.5"), "skipped"),
            (planted(10, "8.5 9.5"), "skipped"),
            (planted("without data"), "skipped"),
            (planted("noisy"), "skipped"),
        ],
    )
    def test_expected_verdict_passes_or_is_xfailed_or_skipped(
        self, repository: Repository, entry: dict[str, Any], outcome: str
    ) -> None:
        """A claim that holds passes, one that doesn't is xfailed, and one without a decision is skipped."""
        result = repository.judge(entry)

        result.assert_outcomes(**{outcome: 1})
        assert result.ret == 0

    @pytest.mark.parametrize(
        "entry",
        [
            planted(20),
            planted(0),
            planted(10, 0),
            planted(10, expected="contradicted"),
            planted(10, 0, expected="contradicted"),
            planted(10, expected="artefact"),
            planted(20, 0, expected="artefact"),
            swept(10, 10.5, expected="attainable"),
            swept(20, 0, expected="attainable"),
            swept(10, 20, expected="reproduced"),
        ],
    )
    def test_unexpected_verdict_fails(self, repository: Repository, entry: dict[str, Any]) -> None:
        """It fails whether it is worse or better than the expected one."""
        result = repository.judge(entry)

        result.assert_outcomes(failed=1)
        result.stdout.fnmatch_lines(["*'a-claim' must be * (got *); expected because the test says so"])
        assert result.ret == pytest.ExitCode.TESTS_FAILED

    @pytest.mark.parametrize(
        ("reported", "cause"),
        [("broken", "*the infrastructure broke"), ("nan", "*finite number*"), ("inf", "*finite number*")],
    )
    def test_failed_measurement_is_an_error_without_a_verdict(
        self, repository: Repository, reported: str, cause: str
    ) -> None:
        """The table and the file show the error and its reason. A number that isn't finite is an error, too."""
        result = repository.judge(
            planted(reported, expected="contradicted"), arguments=(f"--claims-json={repository.json}",)
        )

        result.assert_outcomes(errors=1)
        result.stdout.fnmatch_lines([cause])
        result.stdout.fnmatch_lines(["*a-claim *10 % *error*", "a-claim  *"])
        assert repository.verdicts() == {"a-claim": "error"}
        ((entry,),) = [paper.claims for paper in document.read(repository.json).papers]
        assert entry.reason.startswith(("RuntimeError: the infrastructure broke", "ValidationError: "))
        assert (entry.rows, entry.row, entry.flip_margin) == ([], None, None)

    def test_xfail_and_skip_show_their_reasons(self, repository: Repository) -> None:
        """An xfail shows the reason from the claims file; a skip shows what to supply, or the numbers."""
        result = repository.judge(
            planted(10, 0, expected="artefact", id="artefact"),
            planted("without data", id="untestable"),
            planted("8.5 9.5", id="open"),
            planted("noisy", id="noisy"),
            arguments=("-rxs", "-v"),
        )

        result.stdout.fnmatch_lines_random(
            [
                "XFAIL test_paper.py::test_claim[[]paper/artefact[]] - artefact: the test says so",
                "SKIPPED * not_testable: CIFAR-10 is missing; set EDGEAI_DATA",
                "SKIPPED * inconclusive: the processor was throttled",
                "SKIPPED * inconclusive: 9 % [[]8.5, 9.5[]] (convnext_tiny*) straddles an edge *",
            ]
        )

    def test_id_of_a_test_is_the_full_name_of_its_claim(self, repository: Repository) -> None:
        """`-k` can select it."""
        result = repository.judge(planted(10, id="one"), planted(10, id="two"), arguments=("-v", "-k", "two"))

        result.stdout.fnmatch_lines(["test_paper.py::test_claim[[]paper/two[]] PASSED*"])
        result.assert_outcomes(passed=1, deselected=1)


class TestRestrictions:
    """Options that restrict a run, or make it stricter."""

    def test_require_option_fails_a_claim_that_lacks_a_requirement(self, repository: Repository) -> None:
        """A claim that lacks another requirement, or is inconclusive, is still skipped."""
        claims = planted("without data", id="of-data"), planted("8.5 9.5", id="open")

        repository.judge(*claims, arguments=("--claims-require=weights,edge",)).assert_outcomes(skipped=2)
        result = repository.judge(*claims, arguments=("--claims-require=data",))

        result.assert_outcomes(failed=1, skipped=1)
        result.stdout.fnmatch_lines(
            ["*'of-data' must be testable with --claims-require=data: CIFAR-10 is missing; set EDGEAI_DATA"]
        )

    def test_restricted_run_measures_only_the_given_models(self, repository: Repository) -> None:
        """A claim that these models can't decide is skipped; the reason names the models that were left out."""
        both = ["convnext_tiny", "convnext_small"]
        every: dict[str, Any] = {"models": both, "quantifier": "every"}
        result = repository.judge(
            planted(10, id="open", **every),
            planted(0, id="settled", expected="contradicted", **every),
            planted(10, id="elsewhere", models=["convnext_base"]),
            arguments=("--claims-models=convnext_tiny", f"--claims-json={repository.json}"),
        )

        result.assert_outcomes(skipped=2, xfailed=1)
        text = " ".join(result.stdout.str().split())
        assert "can't decide the claim without convnext_small; add them to --claims-models" in text
        assert "elsewhere convnext_base not in --claims-models; add it or drop the option" in text
        (paper,) = document.read(repository.json).papers
        assert {row.model for entry in paper.claims for row in entry.rows} == {"convnext_tiny"}

    def test_claims_dir_option_overrides_the_ini_option(self, repository: Repository) -> None:
        """Only the claims of the named folder are judged."""
        repository.write(planted(10, id="ours"))
        elsewhere = repository.pytester.mkdir("elsewhere")
        (elsewhere / "paper.yaml").write_text(paper_yaml(planted(10, id="theirs")), encoding="utf-8")

        result = repository.run("--claims-dir=elsewhere", "-v")

        result.stdout.fnmatch_lines(["*paper/theirs*PASSED*"])


class TestElsewhere:
    """The plugin doesn't get in the way of other tests."""

    def test_repository_without_claims_sees_only_the_name_of_the_plugin(
        self, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The name is in pytest's list of plugins."""
        for name in environment.VARIABLES:
            monkeypatch.delenv(name, raising=False)
        pytester.makepyfile("def test_one(): pass")

        result = pytester.runpytest_inprocess(*PLUGINS)

        result.assert_outcomes(passed=1)
        assert result.stdout.str().lower().count("edgeai") == 1

    def test_own_fixture_named_claim_still_works(self, pytester: pytest.Pytester) -> None:
        """A repository without claims may define a fixture of that name."""
        fixture = "import pytest\n\n@pytest.fixture\ndef claim():\n    return {'sub': 'someone'}\n\n"
        pytester.makepyfile(f"{fixture}def test_token(claim): assert claim['sub'] == 'someone'")

        pytester.runpytest_inprocess(*PLUGINS).assert_outcomes(passed=1)

    def test_claim_is_measured_once_for_all_parameters_of_its_test(self, repository: Repository) -> None:
        """The claim also has only one line in the table."""
        counting = CONFTEST.replace("    for settings", "    print('measured:', claim.id)\n    for settings")
        repository.pytester.makeconftest(counting)
        mark = "@pytest.mark.parametrize('more', [1, 2])"
        repository.pytester.makepyfile(test_paper=f"import pytest\n\n{mark}\ndef test_claim(verdict, more): pass")

        result = repository.judge(planted(10), arguments=("-s", f"--claims-json={repository.json}"))

        result.assert_outcomes(passed=2)
        assert result.stdout.str().count("measured: a-claim") == 1
        assert len(re.findall(r"^ a-claim ", result.stdout.str(), re.MULTILINE)) == 1
        assert repository.verdicts() == {"a-claim": "reproduced"}


class TestFixtures:
    """Fixtures other than `verdict`, and the former names of two fixtures."""

    def test_claim_and_its_paper_are_fixtures(self, repository: Repository) -> None:
        """A test that takes them judges nothing, so no table is shown."""
        test = "def test_claim(claim, claim_case): assert claim_case.claim is claim and claim_case.paper.claims"
        repository.pytester.makepyfile(test_paper=test)

        result = repository.judge(planted(10, id="one"), planted(20, id="two"))

        result.assert_outcomes(passed=2)
        assert HEADING not in result.stdout.str()

    def test_implication_is_checked_once_and_written(self, repository: Repository) -> None:
        """Its result is in the file, next to the verdicts."""
        test = (
            "def test_it(implication_result, implication): assert implication.id == implication_result.id == 'it'"
        )
        implication = {**IMPLICATION, "claims": {"size_by_quantization": "a-claim"}}
        repository.pytester.makepyfile(test_paper=test)
        repository.claims.parent.mkdir()
        repository.claims.write_text(paper_yaml(planted(10), implications=[implication]), encoding="utf-8")

        result = repository.run("-v", f"--claims-json={repository.json}")

        result.assert_outcomes(passed=1)
        result.stdout.fnmatch_lines(["test_paper.py::test_it[[]paper/it[]] PASSED*"])
        (paper,) = document.read(repository.json).papers
        assert [entry.id for entry in paper.implications] == ["it"]

    @pytest.mark.parametrize(
        ("former", "current"), [("settle", "report_outcome"), ("finding", "implication_result")]
    )
    def test_former_name_of_a_fixture_fails_with_the_new_one(
        self, repository: Repository, former: str, current: str
    ) -> None:
        """The message is one line, without a traceback."""
        repository.pytester.makepyfile(test_paper=f"def test_claim({former}): pass")

        result = repository.judge(planted(10))

        result.assert_outcomes(errors=1)
        result.stdout.fnmatch_lines([f"the fixture '{former}' is now called '{current}'; rename it"])
        result.stdout.no_fnmatch_line("*Traceback*")
        result.stdout.no_fnmatch_line("*.py:[0-9]*")
