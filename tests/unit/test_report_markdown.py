"""The Markdown report."""

from __future__ import annotations

from itertools import takewhile

import pytest

pytest.importorskip("jinja2", reason="the report's template engine isn't installed")

from edgeai_repro.claims.schema import Paper
from edgeai_repro.report import document, markdown
from edgeai_repro.report.document import LARGE, Document
from tests.support.factories import claim, judged, paper_entry, row
from tests.support.reports import HERE, HOSTILE, networks, run


def _table(text: str, first: str) -> list[str]:
    """Return the lines of the table whose first heading is `first`."""
    lines = text.splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith(f"| {first} |"))
    return list(takewhile(str.strip, lines[start:]))


class TestRender:
    """The content of the Markdown report."""

    def test_first_table_has_the_verdicts(self) -> None:
        """The first table has one line per claim, with its verdict and numbers."""
        lines = _table(markdown.render(run()), "claim")

        assert len(lines) == 2 + 6
        assert "| artefact-claim | ≠ artefact (expected reproduced) | 10 % | 10.5 % | 0 % | 9 … 11 |" in lines[4]

    def test_reported_and_actual_are_listed_by_model(self) -> None:
        """Reported and actual values are listed model by model."""
        text = markdown.render(run())

        assert "| artefact-claim | convnext\\_tiny |  | 10.5 % | 0 % |" in text
        assert "| artefact-claim | convnext\\_small |  | 9.5 % | 0 % |" in text

    def test_actual_value_names_what_it_does_not_count(self) -> None:
        """Each row with an actual value names the operators that are not part of it."""
        read = Paper.model_validate(paper_entry())
        rows = [row(10.0, 10.0, uncounted=("aten::stft",))]
        entry = document.paper_entry(read, [document.claim_entry(judged(claim(), rows))], [])

        text = markdown.render(Document(environment=HERE, papers=[entry]))

        assert text.count("10 % (not counted: aten::stft)") == 2  # among the claims, and model by model
        assert "| 10 | 10 (not counted: aten::stft) |" in text  # among the rows

    def test_devices_have_bounds_and_expectations(self) -> None:
        """There is one line per device and variant, with a dash if no rate is published."""
        lines = _table(markdown.render(run()), "device")

        assert any(line.startswith("| Raspberry Pi 5") and "| 224 | fp32 |" in line for line in lines)
        assert any(line.startswith("| Jetson") and line.endswith("| – |") for line in lines)

    def test_effect_of_quantization_on_networks_is_a_table(self) -> None:
        """The table has one line per network, ordered by the share of nn.Linear."""
        lines = _table(markdown.render(networks()), "network")

        assert lines[0] == "| network | share of nn.Linear | parameters, reported | MACs, reported | bytes saved |"
        assert [line.partition(" | ")[0] for line in lines[2:]] == ["| ResNet-50", "| ConvNeXt-Tiny"]
        assert lines[-1].endswith("| 93.14 % | 93.14 % | 93.24 % | 69.70 % |")
        assert "Effect of dynamic quantization on other networks" not in markdown.render(run())

    def test_claim_has_all_its_parts(self) -> None:
        """A claim has its quote, assumptions, rows, and the command that reproduces it."""
        text = markdown.render(run())
        _, _, claim = text.partition("### artefact-claim")

        assert "> “it is 10 % smaller” (abstract, sentence 1)" in claim
        assert "- Assumed: how it was counted: by hand" in claim
        assert "| convnext\\_tiny (decides) |" in claim
        assert "<code>pytest -m claims -k paper/artefact-claim</code>" in claim

    def test_markup_is_text(self) -> None:
        """HTML and Markdown in a claim's text are escaped, also in tables."""
        text = markdown.render(run(title=HOSTILE))

        assert "<script" not in text
        assert "&lt;script&gt;document.title = 'owned'&lt;/script&gt; &amp; \"quoted\" \\| \\*starred\\*" in text
        assert {line.replace("\\|", "").count("|") for line in _table(text, "claim")} == {8}

    def test_line_break_does_not_end_a_table(self) -> None:
        """A text with line breaks becomes one line."""
        text = markdown.render(run(hostile="one\n\n# two"))

        assert "“one \\# two”" in text

    def test_same_document_gives_the_same_bytes(self) -> None:
        """Rendering twice gives the same bytes."""
        assert markdown.render(run()) == markdown.render(run())

    def test_run_without_claims_says_so(self) -> None:
        """If no claim was judged, the report says so."""
        nothing = run().model_copy(update={"papers": []})

        assert markdown.render(nothing).startswith("No claim was judged.")


class TestSummary:
    """The report of a run that is too large for the summary of a CI job."""

    @pytest.mark.parametrize("papers", [1, LARGE // 100, 10_000])
    def test_claims_that_fail_the_run_are_listed_first(self, papers: int) -> None:
        """All of them are, if they fit; each paper has a line, if that fits."""
        text = markdown.render(many(LARGE + 1 if papers < LARGE else papers, papers=papers, failing=3))

        assert len(text.encode()) <= markdown.MOST_BYTES
        assert (
            "Of the 3 that fail the run, 3 are listed; report.html and the file of --claims-json have all." in text
        )
        assert text.count("contradicted (expected reproduced)") == 3
        assert "### " not in text

    def test_as_many_as_fit_are_listed(self) -> None:
        """Of 10,000 claims, all of which fail."""
        text = markdown.render(many(10_000, papers=10, failing=10_000))
        listed = text.count("contradicted (expected reproduced)")

        assert markdown.MOST_BYTES / 4 < len(text.encode()) <= markdown.MOST_BYTES
        assert f"Of the 10000 that fail the run, {listed} are listed" in text

    def test_few_claims_with_long_texts_are_shortened(self) -> None:
        """Bytes count, not claims; the control is the same run with short texts."""
        long = run(hostile="a long text " * 50_000)

        assert len(markdown.render(long).encode()) <= markdown.MOST_BYTES
        assert "This is a summary" in markdown.render(long)
        assert "This is a summary" not in markdown.render(run())

    def test_partial_run_names_only_the_file_that_it_writes(self) -> None:
        """It has no HTML page."""
        partial = many(LARGE + 1, papers=1, failing=1).model_copy(update={"partial": True})

        assert "1 are listed; the file of --claims-json has all." in markdown.render(partial)


def many(claims: int, *, papers: int, failing: int) -> Document:
    """Return a run with many claims of several papers; the last of all claims fail the run."""
    good, bad = (document.claim_entry(judged(claim(), [row(value, value)])) for value in (10.0, 20.0))
    entry = document.paper_entry(Paper.model_validate(paper_entry()), [], [])
    of_each = claims // papers
    numbers = [
        range(of_each * paper, claims if paper == papers - 1 else of_each * (paper + 1)) for paper in range(papers)
    ]
    return Document(
        environment=HERE,
        papers=[
            entry.model_copy(
                update={
                    "id": f"paper-{paper}",
                    "claims": [
                        (bad if number >= claims - failing else good).model_copy(update={"id": f"claim-{number}"})
                        for number in of_paper
                    ],
                }
            )
            for paper, of_paper in enumerate(numbers)
        ],
    )
