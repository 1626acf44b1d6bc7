"""A session reads the claims, checks its options, judges each claim once, and knows what fails the run."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from edgeai_repro.edge import temporary_bundle
from edgeai_repro.errors import UserError
from edgeai_repro.evidence.measurement import Measured, Obstacle
from edgeai_repro.judge.verdict import error_verdict, judge
from edgeai_repro.options import Options
from edgeai_repro.report.results import Results
from edgeai_repro.session import Session
from tests.support.factories import PAPER, claim, claim_entry, judged, paper_yaml, row
from tests.support.sources import FakeSource


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A claims folder with two papers, the first of two claims."""
    claims = tmp_path / "claims"
    claims.mkdir()
    (claims / "a.yaml").write_text(paper_yaml(claim_entry(id="one"), claim_entry(id="two")), encoding="utf-8")
    (claims / "b.yaml").write_text(paper_yaml(paper={**PAPER, "id": "other"}), encoding="utf-8")
    return claims


class TestOptions:
    """Options are parsed from the command line."""

    def test_names_are_separated_by_commas(self) -> None:
        """Spaces around them and a comma at the end do not matter."""
        options = Options.parse(models="convnext_tiny, alexnet", required=" data,edge,")

        assert options.models == ("convnext_tiny", "alexnet")
        assert options.required == {"data", "edge"}

    def test_default_is_no_restriction_and_no_requirement(self) -> None:
        """All models are measured, and every claim may be skipped."""
        options = Options.parse()

        assert (options.models, options.required) == (None, frozenset())

    @pytest.mark.parametrize(
        ("arguments", "complaint"),
        [
            ({"models": ""}, r"--claims-models must name at least one \(got ''\); add a name"),
            ({"required": "wieghts"}, r"--claims-require must name .* \(got 'wieghts'\); did you mean"),
            ({"required": "gpu"}, r"--claims-require must name .* \(got 'gpu'\); known are data, edge, weights"),
            ({"required": " , "}, r"--claims-require must name at least one \(got ' , '\); known are data"),
        ],
    )  # fmt: skip
    def test_unknown_or_missing_name_is_refused(self, arguments: dict[str, Any], complaint: str) -> None:
        """The message has the closest name, or all known names."""
        with pytest.raises(UserError, match=complaint):
            Options.parse(**arguments)

    @pytest.mark.parametrize(
        ("name", "hint"), [("convnext_tinny", "did you mean 'convnext_tiny'"), ("xyzzy", "known are convnext_tiny")]
    )
    def test_unknown_model_is_refused(self, folder: Path, name: str, hint: str) -> None:
        """It is neither a library's network nor one of the claims files."""
        with pytest.raises(UserError, match=rf"--claims-models must name .* \(got '{name}'\); {hint}"):
            Session(folder, Options.parse(models=f"convnext_tiny,{name}"))

    def test_run_may_be_restricted_to_papers(self, folder: Path) -> None:
        """An unknown paper is refused."""
        assert [case.paper.paper.id for case in Session(folder, Options.parse(papers="paper")).cases]

        with pytest.raises(UserError, match=r"--claims-papers must name .* \(got 'papper'\); did you mean 'paper'"):
            Session(folder, Options.parse(papers="papper"))

    def test_mistakes_in_claims_are_kept_for_the_end_of_the_run(self, tmp_path: Path) -> None:
        """The other claims are judged."""
        broken = claim_entry(id="broken", models=["convnext_tinny"])
        (tmp_path / "paper.yaml").write_text(paper_yaml(claim_entry(), broken), encoding="utf-8")

        session = Session(tmp_path)

        assert [case.id for case in session.cases] == ["paper/a-claim"]
        assert ["did you mean 'convnext_tiny'?" in problem for problem in session.problems] == [True]

    def test_bundle_must_exist(self) -> None:
        """The message names its manifest."""
        with pytest.raises(UserError, match=r"nowhere/manifest\.json: "):
            Options.parse(bundle=Path("nowhere"))

    def test_number_of_threads_must_be_positive(self) -> None:
        """The message names the option."""
        with pytest.raises(UserError, match=r"--edge-threads must be 1 or more \(got 0\)"):
            Options.parse(threads=0)

    @pytest.mark.parametrize(
        ("path", "complaint"),
        [(".", r"must be a file's path \(got a folder\)"), ("a.yaml/out.json", "must be writable")],
        ids=["folder", "below-a-file"],
    )
    def test_unwritable_path_is_refused_at_once(self, folder: Path, path: str, complaint: str) -> None:
        """Otherwise the results of a long run would be lost."""
        with pytest.raises(UserError, match=complaint):
            Options.parse(json_path=folder / path)

    def test_check_of_a_writable_path_leaves_no_file(self, folder: Path) -> None:
        """The file is written at the end of the run."""
        Options.parse(json_path=folder / "out.json")

        assert not (folder / "out.json").exists()


class TestJudge:
    """The source of a claim's metric measures it, and the band decides."""

    def test_cases_are_named_by_paper_and_claim(self, folder: Path) -> None:
        """They are in the order of the files."""
        assert [case.id for case in Session(folder).cases] == ["paper/one", "paper/two", "other/a-claim"]

    @pytest.mark.parametrize(("value", "verdict"), [(10.0, "reproduced"), (12.0, "contradicted")])
    def test_row_of_the_source_is_judged(self, folder: Path, value: float, verdict: str) -> None:
        """The claims are on compressed models."""
        session = Session(folder)
        session.sources["compressed"] = FakeSource(value)

        assert session.judge(session.cases[0]).verdict == verdict

    def test_claim_is_measured_once(self, folder: Path) -> None:
        """The second call returns the same verdict."""
        session, source = Session(folder), FakeSource(10.0)
        session.sources["compressed"] = source

        first, second = (session.judge(session.cases[0]) for _ in range(2))

        assert first is second
        assert source.measured == ["paper/one"]

    def test_plan_keeps_the_restriction_to_models(self, folder: Path) -> None:
        """The claim about another model is not testable."""
        session = Session(folder, Options(models=("alexnet",)))
        session.plan(session.cases)

        verdict = session.judge(session.cases[0])

        assert (verdict.verdict, verdict.requirement) == ("not_testable", "models")

    def test_claim_about_latency_needs_a_bundle_or_the_packages_that_build_one(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It goes to the deployed models, not to the compressed ones. The remedy is the option --bundle."""
        entry = claim_entry(
            id="fast", metric="latency", technique="combined", settings={"target": 0.8}, needs=["edge"]
        )
        (folder / "a.yaml").write_text(paper_yaml(entry), encoding="utf-8")
        temporary_bundle.make_bundle.cache_clear()
        monkeypatch.setitem(sys.modules, "onnx", None)  # so that it can't be found
        session, compressed = Session(folder), FakeSource(10.0)
        session.sources["compressed"] = compressed

        verdict = session.judge(session.cases[0])

        assert (verdict.verdict, verdict.requirement) == ("not_testable", "edge")
        assert "without onnx;" in verdict.reason
        assert "--bundle=DIR" in verdict.reason
        assert compressed.measured == []


class TestFailureReason:
    """Drift fails a run, and so does a missing requirement that the run requires."""

    @pytest.fixture
    def session(self, folder: Path) -> Session:
        """A session that requires the data."""
        return Session(folder, Options.parse(required="data"))

    def test_expected_verdict_does_not_fail(self, session: Session) -> None:
        """Not even a contradiction, if the claims file expects it."""
        contradicted = claim(expect={"verdict": "contradicted", "reason": "for the test"})

        assert session.failure_reason(judged(claim(), [row(10.0)])) is None
        assert session.failure_reason(judged(contradicted, [row(12.0)])) is None

    def test_drift_fails_with_both_verdicts_and_their_reasons(self, session: Session) -> None:
        """It names the claim, the expected verdict with its reason, and the actual one with its reason."""
        verdict = judged(claim(), [row(12.0)])

        failure = session.failure_reason(verdict)

        assert failure is not None
        assert failure.startswith(f"'a-claim' must be reproduced (got contradicted: {verdict.reason}); ")
        assert failure.endswith(claim().expect.reason)

    def test_required_condition_that_is_missing_fails_with_the_remedy(self, session: Session) -> None:
        """It names the claim and the option."""
        verdict = judge(claim(needs=["data"]), Measured(obstacle=Obstacle("data", "set EDGEAI_DATA")))

        failure = session.failure_reason(verdict)

        assert failure is not None
        assert failure.startswith("'a-claim' ")
        assert "--claims-require=data" in failure
        assert failure.endswith("set EDGEAI_DATA")

    @pytest.mark.parametrize("kind", ["weights", "models"])
    def test_another_missing_condition_does_not_fail(self, session: Session, kind: Any) -> None:
        """The user asked for a restriction to some models."""
        verdict = judge(claim(needs=["data"]), Measured(obstacle=Obstacle(kind, "supply it")))

        assert verdict.requirement == kind
        assert session.failure_reason(verdict) is None


class TestDocument:
    """The document contains the results so far."""

    def test_claims_are_in_the_order_of_the_file(self, folder: Path) -> None:
        """A paper without results is left out."""
        session, results = Session(folder), Results()
        session.sources["compressed"] = FakeSource(10.0)
        one, two, _ = session.cases
        for case in (two, one):
            results.add(session.result(case, session.judge(case)))

        (paper,) = session.document(results).papers

        assert [entry.id for entry in paper.claims] == ["one", "two"]

    def test_failed_measurement_is_an_error(self, folder: Path) -> None:
        """It is no verdict, and the reason is shown."""
        session, results = Session(folder), Results()
        case = session.cases[0]
        results.add(session.result(case, error_verdict(case.claim, "it broke")))

        (paper,) = session.document(results).papers

        assert [(entry.verdict, entry.reason) for entry in paper.claims] == [("error", "it broke")]


def test_unknown_device_is_refused_at_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """EDGEAI_DEVICE must name a device of devices.yaml."""
    monkeypatch.setenv("EDGEAI_DEVICE", "toaster")

    with pytest.raises(UserError, match=r"EDGEAI_DEVICE must .*\(got 'toaster'\)"):
        Session(folder)
