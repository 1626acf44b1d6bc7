"""The plugin in another repository, which has its own metric, claims file and test."""

from __future__ import annotations

import re
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from edgeai_repro.evidence import environment
from edgeai_repro.report import document
from tests.support.factories import paper_yaml
from tests.support.repository import CONFTEST, PLUGINS, Repository, planted, swept

IMPLICATION = {
    "id": "it",
    "rule": "int8-ceiling",
    "claims": {"size_by_quantization": "a-claim"},
    "given": {"models": "convnext_tiny"},
    "expect": True,
}
HEADING = "flips if"


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


class TestFile:
    """--claims-json writes the verdicts to a file, whole or not at all."""

    def test_file_contains_the_verdicts_and_all_rows(self, repository: Repository) -> None:
        """The end of the output names the file."""
        claim = planted(10, models=["convnext_tiny", "alexnet"], quantifier="every")

        result = repository.judge(claim, arguments=(f"--claims-json={repository.json}",))

        result.stdout.fnmatch_lines(["verdicts and rows: *out.json"])
        (paper,) = document.read(repository.json).papers
        (entry,) = paper.claims
        assert (entry.id, entry.verdict) == ("a-claim", "reproduced")
        details = {"resolution": 32, "classes": 10, "reported": 10, "planted": True}
        assert [row.details for row in entry.rows] == [details, details]
        assert [row.model for row in entry.rows] == ["convnext_tiny", "alexnet"]

    def test_failed_run_replaces_the_file(self, repository: Repository) -> None:
        """An older file is overwritten, although a test failed."""
        repository.json.write_text("old", encoding="utf-8")

        result = repository.judge(planted(20), arguments=(f"--claims-json={repository.json}",))

        result.assert_outcomes(failed=1)
        assert repository.verdicts() == {"a-claim": "contradicted"}

    def test_interrupted_run_writes_the_verdicts_so_far(self, repository: Repository) -> None:
        """The file is complete, and no temporary file is left."""
        result = repository.judge(
            planted(10, id="first"),
            planted("interrupted", id="second"),
            planted(10, id="third"),
            arguments=(f"--claims-json={repository.json}",),
        )

        assert result.ret == pytest.ExitCode.INTERRUPTED
        assert repository.verdicts() == {"first": "reproduced"}
        assert document.read(repository.json).partial
        result.stdout.fnmatch_lines(["Partial: the run was interrupted*"])
        assert not list(repository.pytester.path.glob(".out.json*"))

    def test_collect_only_keeps_the_file(self, repository: Repository) -> None:
        """`--collect-only` judges nothing, so an older file stays unchanged."""
        repository.json.write_text("old", encoding="utf-8")

        repository.judge(planted(10), arguments=("--collect-only", f"--claims-json={repository.json}"))

        assert repository.json.read_text(encoding="utf-8") == "old"

    @pytest.mark.parametrize("exception", [OSError(28, "No space left on device"), KeyboardInterrupt()])
    def test_failed_write_keeps_the_older_file(
        self, repository: Repository, monkeypatch: pytest.MonkeyPatch, exception: BaseException
    ) -> None:
        """A full disk or Ctrl-C leaves the older file unchanged, and no temporary file."""
        repository.json.write_text("old", encoding="utf-8")

        def stopped(_: int) -> None:
            raise exception

        monkeypatch.setattr("edgeai_repro.files.os.fsync", stopped)
        result = repository.judge(planted(10), arguments=(f"--claims-json={repository.json}",))

        if isinstance(exception, KeyboardInterrupt):
            assert result.ret == pytest.ExitCode.INTERRUPTED
            result.stdout.fnmatch_lines(["edgeai-repro: interrupted"])
        else:
            assert result.ret == pytest.ExitCode.USAGE_ERROR
            result.stdout.fnmatch_lines(["*ERROR: *out.json: must be writable (got No space left on device); *"])
        assert repository.json.read_text(encoding="utf-8") == "old"
        assert not list(repository.pytester.path.glob(".out.json*"))


class TestShown:
    """The header shows what is tested on which machine; the table shows the verdicts."""

    def test_table_appears_once_and_uncoloured_in_a_pipe(self, repository: Repository) -> None:
        """An unexpected verdict is shown with the expected one."""
        result = repository.judge(planted(10, id="one"), planted(20, id="two"), arguments=("-v",))

        text = result.stdout.str()
        assert text.count(HEADING) == 1
        assert "\x1b" not in text
        assert re.search(r"^ two .* contradicted \(expected reproduced\) ", text, re.MULTILINE)

    def test_table_is_coloured_on_request(self, repository: Repository) -> None:
        """`--color=yes` colours it, also in a pipe."""
        result = repository.judge(planted(10), arguments=("--color=yes",))

        assert re.search(r"\x1b\[32mreproduced *\x1b\[0m", result.stdout.str())

    def test_run_without_claims_shows_no_table(self, repository: Repository) -> None:
        """Another test of the repository runs as usual."""
        repository.write(planted(10))
        repository.pytester.makepyfile(test_other="def test_other(): pass")

        result = repository.run("-k", "test_other")

        result.assert_outcomes(passed=1, deselected=1)
        assert HEADING not in result.stdout.str()

    def test_header_shows_claims_versions_machine_and_requirements(
        self, repository: Repository, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It also shows torch's threads and engine, and which of data and edge device are available."""
        backends = SimpleNamespace(quantized=SimpleNamespace(engine="an-engine"))
        torch = SimpleNamespace(get_num_threads=lambda: 7, backends=backends)
        monkeypatch.setitem(sys.modules, "torch", torch)

        result = repository.judge(
            planted(10, id="one"),
            planted(10, id="two"),
            arguments=("-m", "claims", "--claims-models", "convnext_tiny,alexnet"),
        )

        result.stdout.fnmatch_lines(
            [
                "edgeai-repro *: 2 claims of paper; convnext_tiny, alexnet",
                "*torch *numpy *",
                "* cores; 7 threads, engine an-engine",
                "data: not found, set EDGEAI_DATA*edge device: not one, EDGEAI_DEVICE is unset*",
            ]
        )

    def test_without_torch_the_header_notes_it_and_claims_are_judged(
        self, repository: Repository, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A claim that needs no torch passes."""
        monkeypatch.setitem(sys.modules, "torch", None)

        result = repository.judge(planted(10), arguments=("-m", "claims"))

        result.stdout.fnmatch_lines(["* cores; without torch"])
        result.assert_outcomes(passed=1)

    def test_header_shows_variables_and_flags_unknown_ones(
        self, repository: Repository, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """For an unknown EDGEAI_* variable it suggests the closest known one."""
        monkeypatch.setenv("EDGEAI_DATA", "/somewhere")
        monkeypatch.setenv("EDGEAI_DEVICES", "pi5")

        result = repository.judge(planted(10))

        result.stdout.fnmatch_lines(
            ["EDGEAI_DATA=/somewhere", "EDGEAI_DEVICES=pi5 is unknown: did you mean 'EDGEAI_DEVICE'?"]
        )


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


def test_claims_are_judged_without_importing_torch_or_scipy(repository: Repository) -> None:
    """A new process loads the installed plugin; the claim needs neither of the two."""
    repository.write(planted(10))
    loaded = """
def pytest_unconfigure():
    import sys
    print("loaded:", *{"torch", "torchvision", "scipy"} & sys.modules.keys())
"""
    repository.pytester.makeconftest(CONFTEST + loaded)

    result = repository.pytester.runpytest_subprocess("-v")

    result.stdout.fnmatch_lines(["*test_claim[[]paper/a-claim[]] PASSED*", f"*{HEADING}*", "loaded:"])
    assert result.ret == 0


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
        repository.pytester.makepyfile(test_paper=test)
        repository.claims.parent.mkdir()
        repository.claims.write_text(paper_yaml(planted(10), implications=[IMPLICATION]), encoding="utf-8")

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
