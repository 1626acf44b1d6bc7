"""The report as Markdown."""

from __future__ import annotations

from itertools import takewhile

import pytest

pytest.importorskip("jinja2", reason="the report's template engine isn't installed")

from edgeai_repro.report import markdown
from tests.support.reports import HOSTILE, networks, run


def _table(text: str, first: str) -> list[str]:
    """Return the lines of the table whose head begins with a word."""
    lines = text.splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith(f"| {first} |"))
    return list(takewhile(str.strip, lines[start:]))


class TestRender:
    """What stands in it."""

    def test_verdicts(self) -> None:
        """The first table has a line for each claim, with its verdict, and numbers as everywhere else."""
        lines = _table(markdown.render(run()), "claim")

        assert len(lines) == 2 + 6
        assert "| artefact-claim | ≠ artefact (expected reproduced) | 10 % | 10.5 % | 0 % | 9 … 11 |" in lines[4]

    def test_counted(self) -> None:
        """What counters report stands beside what is so, model by model."""
        text = markdown.render(run())

        assert "| artefact-claim | convnext\\_tiny |  | 10.5 % | 0 % |" in text
        assert "| artefact-claim | convnext\\_small |  | 9.5 % | 0 % |" in text

    def test_roofline(self) -> None:
        """Each device's bound and expectation is a line; where no rate is published, it says so."""
        lines = _table(markdown.render(run()), "device")

        assert any(line.startswith("| Raspberry Pi 5") and "| 224 | fp32 |" in line for line in lines)
        assert any(line.startswith("| Jetson") and line.endswith("| – |") for line in lines)

    def test_reach(self) -> None:
        """What dynamic quantization does to each network is a line, the one with the most nn.Linear last."""
        lines = _table(markdown.render(networks()), "network")

        assert lines[0] == "| network | share of nn.Linear | parameters, reported | MACs, reported | bytes saved |"
        assert [line.partition(" | ")[0] for line in lines[2:]] == ["| ResNet-50", "| ConvNeXt-Tiny"]
        assert lines[-1].endswith("| 93.14 % | 93.14 % | 93.24 % | 69.70 % |")
        assert "How far dynamic quantization reaches" not in markdown.render(run())

    def test_claim(self) -> None:
        """A claim tells its quote, its assumptions in words, its rows, and the command that reproduces it."""
        text = markdown.render(run())
        _, _, claim = text.partition("### artefact-claim")

        assert "> “it is 10 % smaller” (abstract, sentence 1)" in claim
        assert "- Assumed: how it was counted: by hand" in claim
        assert "| convnext\\_tiny (decides) |" in claim
        assert "<code>pytest -m claims -k paper/artefact-claim</code>" in claim

    def test_markup_is_text(self) -> None:
        """HTML and Markdown in a claim's text come out as the text that they are, also in a table."""
        text = markdown.render(run(title=HOSTILE))

        assert "<script" not in text
        assert "&lt;script&gt;document.title = 'owned'&lt;/script&gt; &amp; \"quoted\" \\| \\*starred\\*" in text
        assert {line.replace("\\|", "").count("|") for line in _table(text, "claim")} == {8}

    def test_newlines(self) -> None:
        """A text of several lines doesn't end its table."""
        text = markdown.render(run(hostile="one\n\n# two"))

        assert "“one \\# two”" in text

    def test_same_bytes(self) -> None:
        """The same document gives the same bytes."""
        assert markdown.render(run()) == markdown.render(run())

    def test_empty(self) -> None:
        """A run without a claim says so."""
        nothing = run().model_copy(update={"papers": []})

        assert markdown.render(nothing).startswith("No claim was judged.")
