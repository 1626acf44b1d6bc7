"""The plugin in a repository of someone else's: its own metric, its own claims file, its own test."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from edgeai_repro.claims.registry import METRICS
from edgeai_repro.evidence import environment
from edgeai_repro.report import document
from tests.support.factories import claim_entry, paper_yaml

CONFTEST = '''
from edgeai_repro.errors import ConditionMissing
from edgeai_repro.evidence.measurement import Interval, Measurement
from edgeai_repro.claims.registry import metric


def interval(text):
    low, *rest = (float(part) for part in str(text).split())
    high = rest[0] if rest else low
    return Interval(value=(low + high) / 2, low=low, high=high)


@metric("planted", unit="%", actual=True)
def planted(lab, claim, model):
    """What the claim's settings say."""
    for settings in claim.settings_for(model):
        reported = settings["reported"]
        if reported == "broken":
            raise RuntimeError("the infrastructure broke")
        if reported == "interrupted":
            raise KeyboardInterrupt
        if reported == "without data":
            raise ConditionMissing("data", "CIFAR-10 is missing; set EDGEAI_DATA")
        yield Measurement(
            model=model,
            technique=claim.technique,
            params=settings,
            reported=interval(reported),
            actual=interval(settings.get("actual", reported)),
        )
'''
TEST = """
import pytest


@pytest.mark.claims
def test_claim(verdict, settle):
    settle(verdict)
"""
HEADING = "flips if"
# Each run in this process would import hypothesis anew, and rewrite its assertions: a second a run.
PLUGINS = ("-p", "no:cacheprovider", "-p", "no:hypothesispytest", "-p", "no:anyio")


def planted(
    reported: float | str, actual: float | str | None = None, *, expected: str = "reproduced", **fields: Any
) -> dict[str, Any]:
    """Return a claim of 10 ± 1, as its file has it, that is measured as given."""
    settings: dict[str, list[float | str]] = {"reported": [reported]}
    if actual is not None:
        settings["actual"] = [actual]
    expect = {"verdict": expected, "reason": "the test says so"}
    return claim_entry(**{"metric": "planted", "settings": settings, "expect": expect, **fields})


def swept(*reported: float, expected: str) -> dict[str, Any]:
    """Return a claim of 10 ± 1 with a free choice, each value of which is measured as itself."""
    choice = {"name": "reported", "default": reported[0], "swept_on": ["convnext_tiny"]}
    return planted(reported[0], expected=expected, settings={"reported": list(reported)}, choice=choice)


@dataclass
class Repository:
    """Someone's repository, with pytest in it."""

    pytester: pytest.Pytester

    @property
    def claims(self) -> Path:
        """The claims file."""
        return self.pytester.path / "claims" / "paper.yaml"

    @property
    def json(self) -> Path:
        """Where the verdicts go."""
        return self.pytester.path / "out.json"

    def write(self, *claims: dict[str, Any]) -> None:
        """Write the claims file."""
        self.claims.parent.mkdir(exist_ok=True)
        self.claims.write_text(paper_yaml(*claims), encoding="utf-8")

    def run(self, *arguments: str) -> pytest.RunResult:
        """Run pytest there, in this process; warnings are errors."""
        return self.pytester.runpytest_inprocess(*PLUGINS, "-W", "error", *arguments, no_reraise_ctrlc=True)

    def judge(self, *claims: dict[str, Any], arguments: tuple[str, ...] = ()) -> pytest.RunResult:
        """Write the claims file and run pytest."""
        self.write(*claims)
        return self.run(*arguments)

    def verdicts(self) -> dict[str, str]:
        """Read the verdicts in the file."""
        return {entry.id: entry.verdict for paper in document.read(self.json).papers for entry in paper.claims}


@pytest.fixture
def repository(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Iterator[Repository]:
    """A repository with a metric of its own and no claims yet; the environment tells nothing of ours."""
    for name in [name for name in os.environ if name.startswith("EDGEAI_")]:
        monkeypatch.delenv(name)
    pytester.makeini("[pytest]\nclaims_dir = claims\n")
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(test_paper=TEST)
    metrics = dict(METRICS)
    yield Repository(pytester)
    METRICS.clear()
    METRICS.update(metrics)


class TestOutcomes:
    """What pytest shows for each verdict."""

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
        ],
    )
    def test_expected(self, repository: Repository, entry: dict[str, Any], outcome: str) -> None:
        """A verdict as expected passes or is xfailed; one that can't be told is skipped."""
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
    def test_drift(self, repository: Repository, entry: dict[str, Any]) -> None:
        """Another verdict than the expected one fails, for worse and for better."""
        result = repository.judge(entry)

        result.assert_outcomes(failed=1)
        result.stdout.fnmatch_lines(["*'a-claim' must be * (got *); it was expected because the test says so"])
        assert result.ret == pytest.ExitCode.TESTS_FAILED

    @pytest.mark.parametrize(
        ("reported", "cause"),
        [("broken", "*the infrastructure broke"), ("nan", "*finite number*"), ("inf", "*finite number*")],
    )
    def test_error(self, repository: Repository, reported: str, cause: str) -> None:
        """What breaks in measuring, and a number that isn't finite, is an error with a row, and no verdict."""
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

    def test_reasons(self, repository: Repository) -> None:
        """An xfail shows the known reason, a skip what to supply or the figures."""
        result = repository.judge(
            planted(10, 0, expected="artefact", id="artefact"),
            planted("without data", id="untestable"),
            planted("8.5 9.5", id="open"),
            arguments=("-rxs", "-v"),
        )

        result.stdout.fnmatch_lines_random(
            [
                "XFAIL test_paper.py::test_claim[[]paper/artefact[]] - artefact: the test says so",
                "SKIPPED * not_testable: CIFAR-10 is missing; set EDGEAI_DATA",
                "SKIPPED * inconclusive: 9 % [[]8.5, 9.5[]] (convnext_tiny*) straddles an edge *",
            ]
        )

    def test_ids(self, repository: Repository) -> None:
        """A test's id is the claim's full name."""
        result = repository.judge(planted(10, id="one"), planted(10, id="two"), arguments=("-v", "-k", "two"))

        result.stdout.fnmatch_lines(["test_paper.py::test_claim[[]paper/two[]] PASSED*"])
        result.assert_outcomes(passed=1, deselected=1)


class TestRestrictions:
    """Options that narrow or sharpen a run."""

    def test_require(self, repository: Repository) -> None:
        """A skip that a required condition explains fails; another skip doesn't."""
        claims = planted("without data", id="of-data"), planted("8.5 9.5", id="open")

        repository.judge(*claims, arguments=("--claims-require=weights,edge",)).assert_outcomes(skipped=2)
        result = repository.judge(*claims, arguments=("--claims-require=data",))

        result.assert_outcomes(failed=1, skipped=1)
        result.stdout.fnmatch_lines(
            ["*'of-data' must be testable, --claims-require data: CIFAR-10 is missing; set EDGEAI_DATA"]
        )

    def test_models(self, repository: Repository) -> None:
        """A restricted run measures just the models given, and marks as partial what they can't settle."""
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
        assert "convnext_small left out; run without --claims-models" in text
        assert "elsewhere convnext_base left out; run without --claims-models" in text
        (paper,) = document.read(repository.json).papers
        assert {row.model for entry in paper.claims for row in entry.rows} == {"convnext_tiny"}

    def test_other_folder(self, repository: Repository) -> None:
        """--claims-dir goes before the ini's folder."""
        repository.write(planted(10, id="ours"))
        elsewhere = repository.pytester.mkdir("elsewhere")
        (elsewhere / "paper.yaml").write_text(paper_yaml(planted(10, id="theirs")), encoding="utf-8")

        result = repository.run("--claims-dir=elsewhere", "-v")

        result.stdout.fnmatch_lines(["*paper/theirs*PASSED*"])


class TestFile:
    """--claims-json."""

    def test_written(self, repository: Repository) -> None:
        """The file holds the verdicts and all rows, and says so at the end."""
        claim = planted(10, models=["convnext_tiny", "alexnet"], quantifier="every")

        result = repository.judge(claim, arguments=(f"--claims-json={repository.json}",))

        result.stdout.fnmatch_lines(["verdicts and rows: *out.json"])
        (paper,) = document.read(repository.json).papers
        (entry,) = paper.claims
        assert (entry.id, entry.verdict) == ("a-claim", "reproduced")
        assert [row.model for row in entry.rows] == ["convnext_tiny", "alexnet"]

    def test_failed(self, repository: Repository) -> None:
        """The file is written when tests fail, and replaces an older one."""
        repository.json.write_text("old", encoding="utf-8")

        result = repository.judge(planted(20), arguments=(f"--claims-json={repository.json}",))

        result.assert_outcomes(failed=1)
        assert repository.verdicts() == {"a-claim": "contradicted"}

    def test_interrupted(self, repository: Repository) -> None:
        """An interrupted run writes what it had found, whole, and leaves nothing beside it."""
        result = repository.judge(
            planted(10, id="first"),
            planted("interrupted", id="second"),
            planted(10, id="third"),
            arguments=(f"--claims-json={repository.json}",),
        )

        assert result.ret == pytest.ExitCode.INTERRUPTED
        assert repository.verdicts() == {"first": "reproduced"}
        assert not list(repository.pytester.path.glob(".out.json*"))

    def test_collected_only(self, repository: Repository) -> None:
        """A run that only collects leaves an older file alone."""
        repository.json.write_text("old", encoding="utf-8")

        repository.judge(planted(10), arguments=("--collect-only", f"--claims-json={repository.json}"))

        assert repository.json.read_text(encoding="utf-8") == "old"

    @pytest.mark.parametrize("exception", [OSError(28, "No space left on device"), KeyboardInterrupt()])
    def test_never_half(
        self, repository: Repository, monkeypatch: pytest.MonkeyPatch, exception: BaseException
    ) -> None:
        """What stops the writing of the file leaves the older one as it was."""
        repository.json.write_text("old", encoding="utf-8")

        def stopped(_: int) -> None:
            raise exception

        monkeypatch.setattr("edgeai_repro.files.os.fsync", stopped)
        try:
            result = repository.judge(planted(10), arguments=(f"--claims-json={repository.json}",))
        except KeyboardInterrupt:
            assert isinstance(exception, KeyboardInterrupt)
        else:
            assert result.ret == pytest.ExitCode.USAGE_ERROR
            result.stdout.fnmatch_lines(["*ERROR: *out.json: must be writable (got No space left on device); *"])

        assert repository.json.read_text(encoding="utf-8") == "old"
        assert not list(repository.pytester.path.glob(".out.json*"))


class TestShown:
    """The header and the table."""

    def test_table_once(self, repository: Repository) -> None:
        """The table stands at the end, once, plain where it is piped."""
        result = repository.judge(planted(10, id="one"), planted(20, id="two"), arguments=("-v",))

        text = result.stdout.str()
        assert text.count(HEADING) == 1
        assert "\x1b" not in text
        assert re.search(r"^ two .* contradicted \(expected reproduced\) ", text, re.MULTILINE)

    def test_colour(self, repository: Repository) -> None:
        """With --color=yes the table is coloured."""
        result = repository.judge(planted(10), arguments=("--color=yes",))

        assert re.search(r"\x1b\[32mreproduced *\x1b\[0m", result.stdout.str())

    def test_no_table(self, repository: Repository) -> None:
        """A run without claims shows no table."""
        repository.write(planted(10))
        repository.pytester.makepyfile(test_other="def test_other(): pass")

        result = repository.run("-k", "test_other")

        result.assert_outcomes(passed=1, deselected=1)
        assert HEADING not in result.stdout.str()

    def test_header(self, repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
        """The header tells what is tested, with what versions, threads and engine, and what is here."""
        quantized = SimpleNamespace(quantized=SimpleNamespace(engine="an-engine"))
        torch = SimpleNamespace(get_num_threads=lambda: 7, backends=quantized)
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

    def test_without_torch(self, repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
        """Where torch isn't installed, the header says so, and claims that don't need it are judged."""
        monkeypatch.setitem(sys.modules, "torch", None)

        result = repository.judge(planted(10), arguments=("-m", "claims"))

        result.stdout.fnmatch_lines(["* cores; without torch"])
        result.assert_outcomes(passed=1)

    def test_variables(self, repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
        """Every EDGEAI_* variable is echoed, and an unknown one flagged with the nearest known."""
        monkeypatch.setenv("EDGEAI_DATA", "/somewhere")
        monkeypatch.setenv("EDGEAI_DEVICES", "pi5")

        result = repository.judge(planted(10))

        result.stdout.fnmatch_lines(
            ["EDGEAI_DATA=/somewhere", "EDGEAI_DEVICES=pi5 is unknown: did you mean 'EDGEAI_DEVICE'?"]
        )


class TestBadInput:
    """One line and status 4, before anything is collected, let alone built."""

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
            (["--claims-require=date"], "(got 'date'); did you mean 'data'?"),
            (["--claims-json=claims"], "claims: must be a file's path (got a folder); add a file name"),
            (["--claims-json=claims/paper.yaml/out.json"], "paper.yaml/out.json: must be writable (got "),
            (["--claims-dir=nowhere"], "nowhere: must be a folder with a claims file"),
            (["--claims-dir=empty"], "empty: must be a folder with a claims file"),
        ],
    )
    def test_options(self, repository: Repository, arguments: list[str], complaint: str) -> None:
        """A wrong option is refused; an unknown name with the nearest known."""
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
                "claims[a-claim]: metric must be known (got 'plantet'; did you",
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
    def test_files(self, repository: Repository, text: str, complaint: str) -> None:
        """A wrong claims file is refused with file, claim, rule, what came and what to do."""
        repository.claims.parent.mkdir()
        repository.claims.write_text(text, encoding="utf-8")

        self._refused(repository, complaint)

    def test_no_folder(self, repository: Repository) -> None:
        """The folder that the ini names must be there."""
        self._refused(repository, "claims: must be a folder with a claims file, *.yaml with 'paper:' (got no such")

    def test_no_ini(self, repository: Repository) -> None:
        """A test that takes a claim needs a claims folder; status 4 says how to name it."""
        repository.pytester.makeini("[pytest]")

        result = repository.run()

        assert result.ret == pytest.ExitCode.USAGE_ERROR
        assert "there is no claims folder; name one with --claims-dir" in result.stdout.str()

    @pytest.mark.parametrize(
        "option", ["--claims-json=out.json", "--claims-models=alexnet", "--claims-require=data"]
    )
    def test_options_alone(self, repository: Repository, option: str) -> None:
        """An option that nothing would read is refused."""
        repository.pytester.makeini("[pytest]")

        self._refused(repository, f"{option.partition('=')[0]} must come with a claims folder (got none)", option)


def test_foreign_repository(repository: Repository) -> None:
    """In a process of its own, claims are judged without torch and scipy being imported, by the plugin alone."""
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
    """Repositories that have other things in mind."""

    def test_plain(self, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
        """In a repository without claims the plugin shows nothing but its name among the plugins."""
        for name in environment.VARIABLES:
            monkeypatch.delenv(name, raising=False)
        pytester.makepyfile("def test_one(): pass")

        result = pytester.runpytest_inprocess(*PLUGINS)

        result.assert_outcomes(passed=1)
        assert result.stdout.str().lower().count("edgeai") == 1

    def test_fixture_of_that_name(self, pytester: pytest.Pytester) -> None:
        """In a repository without claims, a fixture named `claim` is left alone."""
        fixture = "import pytest\n\n@pytest.fixture\ndef claim():\n    return {'sub': 'someone'}\n\n"
        pytester.makepyfile(f"{fixture}def test_token(claim): assert claim['sub'] == 'someone'")

        pytester.runpytest_inprocess(*PLUGINS).assert_outcomes(passed=1)

    def test_parametrized_further(self, repository: Repository) -> None:
        """A test may have parameters of its own; each claim is measured once, and stands in the table once."""
        counted = CONFTEST.replace("    for settings", "    print('measured:', claim.id)\n    for settings")
        repository.pytester.makeconftest(counted)
        mark = "@pytest.mark.parametrize('more', [1, 2])"
        repository.pytester.makepyfile(test_paper=f"import pytest\n\n{mark}\ndef test_claim(verdict, more): pass")

        result = repository.judge(planted(10), arguments=("-s", f"--claims-json={repository.json}"))

        result.assert_outcomes(passed=2)
        assert result.stdout.str().count("measured: a-claim") == 1
        assert repository.verdicts() == {"a-claim": "reproduced"}
